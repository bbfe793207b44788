"""How numbers and tables are written in the reports."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.floor import Spread
from utils.errors import DataError

PLACE = re.compile(r"\{\{([^{}]+)\}\}")


def value(spread: Spread | None) -> str:
    """Write mean and standard deviation over training seeds, to the deviation's second digit; a dash for nothing."""
    return "–" if spread is None else plus_minus(spread.mean, spread.std)


def plus_minus(mean: float, std: float | None) -> str:
    """Write a mean and its standard deviation, if it has one, to the deviation's second digit."""
    if not std:
        return number(mean)
    digits = max(1 - math.floor(math.log10(std)), 0)
    return f"{mean:.{digits}f} ± {std:.{digits}f}"


def number(it: Any) -> str:
    """Write a number so that nothing is lost that matters: four digits, thousands apart."""
    if isinstance(it, bool) or not isinstance(it, (int, float)):
        return str(it)
    return f"{it:,}" if isinstance(it, int) else f"{it:.4g}"


def lower_is_better(metric: str) -> bool:
    return metric.startswith(("fid", "kid"))


def best_of(results: Mapping[str, Spread | None], metric: str) -> str | None:
    """Return whose mean is best; None where nobody has one."""
    sign = 1 if lower_is_better(metric) else -1
    means = {name: sign * spread.mean for name, spread in results.items() if spread}
    return min(means, key=means.get) if means else None


def comparison(ours: Spread, theirs: Spread) -> str:
    """Say how far two results are apart, and whether the spread over training seeds explains it."""
    difference = ours.mean - theirs.mean
    if ours.std is None or theirs.std is None:
        return f"difference {difference:+.3g}; one seed only, so the spread is not known"
    error = math.hypot(ours.std / len(ours.values) ** 0.5, theirs.std / len(theirs.values) ** 0.5)
    times = abs(difference) / max(error, 1e-12)
    meaning = "more than seeds explain" if times > 2 else "no more than seeds explain"
    return f"difference {difference:+.3g}, {times:.1f} times its standard error {error:.2g}: {meaning}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def bullets(fields: Mapping[str, str], names: Sequence[str]) -> str:
    return "\n".join(f"* **{name}:** {fields[name]}" for name in names if fields.get(name))


def image(text: str, path: Path, folder: Path) -> str:
    """Return a Markdown image for a page in ``folder``."""
    return f"![{text}]({link(path, folder)})"


def link(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def filled(text: str, values: Mapping[str, str], where: str) -> str:
    """Replace ``{{name}}`` by what the logs say. Raises :class:`DataError` for a name that they do not know."""

    def replace(found: re.Match) -> str:
        name = found[1].strip()
        if name not in values:
            raise DataError(
                f"{where}: {{{{{name}}}}} is no result of these runs; known: {', '.join(sorted(values)[:8])} ..."
            )
        return values[name]

    return PLACE.sub(replace, text)


def joined(parts: Sequence[str]) -> str:
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"
