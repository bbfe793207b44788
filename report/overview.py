"""What a report says of all experiments at once: a table, a figure, and the chain of questions."""

from evaluation.tables import check_one_table
from report.figures import draw_results
from report.material import Material, dev_name
from report.records import Experiment
from report.wording import image, joined, lower_is_better, number, table, value

NOT_A_COLUMN = ("density",)  # it stands in each experiment's own table


def overview(material: Material) -> str:
    """Return the table of all experiments, the best first, and the figure of the metric that decides.

    Raises ``MetricError`` when their numbers cannot stand in one table.
    """
    if not material.judged:
        return "No run here was judged on the test split: `inference.py` does that."
    check_one_table({it.name: it.evaluations[0] for it in material.judged})
    first, floor = material.metrics[0], material.floor
    sign = 1 if lower_is_better(first) else -1
    ranked = sorted(material.judged, key=lambda it: sign * it.result(first).mean)
    rows = [row(material, it) for it in ranked]
    cells = {name: value(floor[name]) for name in material.metrics if name in floor}
    said = shared(rows, cells)
    if floor:
        cells |= {"experiment": "*floor: real photos*", "excess": "0"}
        rows.append({column: cells.get(column, "") for column in rows[0]})
    path = material.folder / "figures" / "all.svg"
    draw_results({it.name: it.result(first) for it in ranked}, first, floor.get(first), path, material.best.name)
    figure = image(f"{first} of all experiments", path, material.folder)
    return joined([table(list(rows[0]), [list(cells.values()) for cells in rows]), said, figure])


def row(material: Material, experiment: Experiment) -> dict[str, str]:
    """Return the cells of an experiment by column; the excess over the floor is that of the metric that decides."""
    origin, (first, *others), floor = experiment.evaluations[0]["origin"], material.metrics, material.floor
    dev = dev_name(experiment, first)
    result = experiment.result(first)
    return {
        "experiment": f"[{experiment.name}](#{experiment.name})",
        "seeds": str(len(experiment.evaluations)),
        first: value(result),
        "excess": number(result.mean - floor[first].mean) if first in floor else "–",
        **{name: value(experiment.result(name)) for name in others if not name.startswith(NOT_A_COLUMN)},
        f"{dev.removeprefix('val_')}, dev" if dev else "dev": value(experiment.last(dev)) if dev else "–",
        "images seen": number(origin.get("training_images_seen", "–")),
        "parameters": number(origin.get("parameters", "–")),
        "evaluations an image": number(origin.get("evaluations_per_image", "–")),
    }


def shared(rows: list[dict[str, str]], floor: dict[str, str]) -> str:
    """Take a column whose cells are all alike out of the rows, and say it in a sentence: tables are wide enough."""
    alike = {column: cell for column, cell in rows[0].items() if all(it.get(column) == cell for it in rows)}
    for cells in rows if len(rows) > 1 else []:
        for column in alike:
            cells.pop(column, None)
    beside = {column: f" (real photos {floor[column]})" for column in floor}
    said = [f"{column} {cell}{beside.get(column, '')}" for column, cell in alike.items()]
    return f"The same for all: {', '.join(said)}." if alike and rows[1:] else ""


def chain(material: Material) -> str:
    """Return a line for each experiment and study: the question, what was expected, what came out, what was next."""
    rows = []
    for it in [*material.told, *material.told_studies]:
        if it.header:
            told = [it.header.get(name, "–") for name in ("Question", "Expected", "Conclusion", "Next")]
            rows.append([f"[{it.name}](#{it.name})", *told])
    for name, header in material.planned.items():
        rows.append(
            [name, header.get("Question", "–"), header.get("Expected", "–"), "*written down, not run yet*", "–"]
        )
    return table(["experiment", "question", "expected", "came out", "next"], rows) if rows else ""
