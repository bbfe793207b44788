"""Results as a person reads them: value, floor, excess. Numbers that cannot be compared never stand in one table."""

from typing import Any

from utils.errors import MetricError

Record = dict[str, Any]  # what metrics.json and evaluate.py's JSON hold
MUST_AGREE = {
    "split": "judged on different splits",
    "file_format": "measured with different file formats",
    "real_content": "judged by different reference images",
    "real_images": "judged by different numbers of images",
}
LOSSLESS = "lossless"  # what ``file_format`` is for images from memory and for files that keep every pixel
EARLIER_WORDS = ("as the files are", "from memory, 8 bits a channel")  # of records made before it was one word


def result_table(record: Record) -> str:
    """Return the results of one evaluation, a metric a line: value, spread; of a floor the same, and the excess."""
    floor = record.get("analyses", {}).get("floor", {}).get("results", {})
    rows = [["", "value", "+-", "floor", "+-", "excess"]]
    for name in figures(record["results"] or floor):
        value, below = record["results"].get(name), floor.get(name, {})
        excess = None if value is None or not below else value - below["mean"]
        error = None if value is None else spread(record, name)
        rows.append([name, *map(number, (value, error, below.get("mean"), below.get("std"), excess))])
    return aligned(rows if floor else [row[:3] for row in rows])


def figures(results: Record) -> list[str]:
    """Name the results that are figures of merit, not errors of another."""
    return [name for name in results if not name.endswith(("_std", "_se"))]


def spread(record: Record, name: str) -> float | None:
    """Return the standard deviation over seeds; of a single seed the metric's own standard error, if it has one."""
    return record.get("std", {}).get(name, record["results"].get(f"{name}_se"))


def comparison_table(records: dict[str, Record]) -> str:
    """Return several evaluations, one a line. Raises ``MetricError`` when their numbers are not comparable."""
    check_one_table(records)
    names = figures(next(iter(records.values()))["results"])
    rows = [["", *names]]
    for title, record in records.items():
        missing = [name for name in names if name not in record["results"]]
        if missing:
            raise MetricError(f"{title} has no {missing[0]}: evaluate it with the same metrics")
        rows.append([title, *(number(record["results"][name], spread(record, name)) for name in names)])
    return aligned(rows)


def check_one_table(records: dict[str, Record]) -> None:
    """Raise ``MetricError`` when numbers of different features, splits or protocols would stand side by side."""
    if not records:
        raise MetricError("there is no record to make a table of")
    (first, reference), *others = records.items()
    for title, record in others:
        for key, reason in MUST_AGREE.items():
            theirs, ours = condition(record, key), condition(reference, key)
            if theirs != ours:
                raise MetricError(f"{first} and {title} were {reason} ({ours}, {theirs}): they cannot share a table")
        for metric, features in record["origin"].get("features", {}).items():
            if features != reference["origin"].get("features", {}).get(metric, features):
                raise MetricError(f"{first} and {title}: {metric} saw different features, they cannot share a table")


def condition(record: Record, key: str) -> Any:
    """Return one of ``MUST_AGREE`` from a record's origin; earlier words for lossless files are read as that."""
    origin = record["origin"]
    if origin.get(key) is None:
        raise MetricError(f"a record does not say its {key}, so nothing can stand beside it: evaluate again")
    value = origin[key]
    if key != "file_format" or value not in EARLIER_WORDS:
        return value
    jpeg = {".jpg", ".jpeg", ".jfif"} & set(origin.get("files", {}).get("fake", {}))
    return f"{value}: {', '.join(sorted(jpeg))}" if jpeg else LOSSLESS


def number(value: float | None, error: float | None = None) -> str:
    """Write a number with four digits, and its spread beside it."""
    if value is None:
        return ""
    return f"{value:.4g}" if error is None else f"{value:.4g} +- {error:.2g}"


def aligned(rows: list[list[str]]) -> str:
    """Lay a table out in columns: the first to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [[cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))]
             for row in rows]  # fmt: skip
    return "\n".join("  ".join(line).rstrip() for line in lines)
