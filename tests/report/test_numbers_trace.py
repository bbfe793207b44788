"""Every result that a conclusion or a hand-written part states is a number of the logs kept beside it."""

import json
import math
import re
from functools import cache
from pathlib import Path
from statistics import fmean

import pytest

from report.experiments import find_experiments
from report.headers import read_header
from report.records import flat, read_lines
from utils.config import read_yaml

ROOT = Path(__file__).parents[2]
LOGS = [ROOT / "report" / "runs", ROOT / "report" / "pilots"]
OURS = find_experiments(ROOT / "configs" / "experiments")
STATED = ("Observed", "Conclusion")  # the rest of a header is what was thought, not what was found
PARTS = sorted(ROOT.glob("report/*/parts/*.md"))
CONSTANTS = [2 * math.log(2), math.log(2)]  # the loss of guessing
DECIMAL = re.compile(r"(?<![\w.{/])\d+\.\d+(?![\w}])(?!,? section)")
NOT_MEASURED = {"edm": {"0.9999"}, "ema_width": {"0.9999"}, "dcgan": {"0.0002", "0.006"}, "ideas": {"0.006"}}  # cited


def traced(text: str, own: set[str]) -> list[str]:
    """Return the decimal numbers of a text that are no number of the runs which it names, to the digits shown."""
    named = own | {name for name in OURS if re.search(rf"\b{name}\b", text)}
    pool = [*CONSTANTS, *(number for name in named for number in numbers(name))]
    differences = [abs(ours - theirs) for ours in fids(named) for theirs in fids(named)]
    return [it for it in DECIMAL.findall(text) if not any(shown(it, number) for number in [*pool, *differences])]


def shown(text: str, number: float) -> bool:
    """Tell whether ``text`` is the number, to the digits that it has; a last 5 may have been rounded either way."""
    return abs(float(text) - number) <= 0.501 * 10.0 ** -len(text.partition(".")[2])


@cache
def numbers(name: str) -> list[float]:
    """Return what is known of an experiment or study: results, settings, and every curve's value at its end."""
    found = means_over_seeds(name)
    for folder in folders(name):
        for file in folder.glob("*.json"):
            record = json.loads(file.read_text())
            found += [*record["results"].values(), *record.get("std", {}).values()]
        if (folder / "metrics.jsonl").exists():
            found += ends(folder / "metrics.jsonl")
            found += [it for it in flat(read_yaml(folder / "config.yaml")).values() if isinstance(it, float)]
    return found


def means_over_seeds(name: str) -> list[float]:
    files = [folder / "metrics.json" for folder in folders(name)]
    records = [json.loads(file.read_text())["results"] for file in files if file.exists()]
    return [fmean(record[metric] for record in records) for metric in (records[0] if records else {})]


def folders(name: str) -> list[Path]:
    return [path for root in LOGS for path in [root / name, *(root / name).glob("seed*")] if path.is_dir()]


def ends(file: Path) -> list[float]:
    """Return the last value of every curve, the mean of its last quarter, and every validation."""
    curves: dict[str, list[float]] = {}
    for line in read_lines(file):
        for name, value in line.items():
            curves.setdefault(name, []).append(value)
    last = [it for values in curves.values() for it in (values[-1], fmean(values[len(values) * 3 // 4 :]))]
    return last + [value for name, values in curves.items() if name.startswith("val_") for value in values]


def fids(names: set[str]) -> list[float]:
    files = [file for name in names for folder in folders(name) for file in folder.glob("*.json")]
    return [json.loads(file.read_text())["results"]["fid768"] for file in files]


@pytest.mark.parametrize("name", OURS)
def test_what_a_header_says_was_measured_is_in_the_logs(name):
    header = read_header(OURS[name].file)
    own = {name, header["Baseline"].split()[0], *pilots(), *siblings(name)}
    for part in STATED:
        lost = set(traced(header.get(part, ""), own)) - NOT_MEASURED.get(name, set())
        assert not lost, f"{part}: {lost}"


@pytest.mark.parametrize("file", PARTS, ids=lambda it: f"{it.parts[-3]}-{it.stem}")
def test_what_a_hand_written_part_says_in_figures_is_in_the_logs(file):
    lost = set(traced(file.read_text(), pilots())) - NOT_MEASURED.get(file.stem, set())
    assert not lost


def siblings(name: str) -> set[str]:
    """Name what a sampling study samples, and the other studies of it."""
    asked = OURS[name].study
    return {asked.of, *(it.name for it in OURS.values() if it.study and it.study.of == asked.of)} if asked else set()


def pilots() -> set[str]:
    return {path.name for path in LOGS[1].iterdir()}


def test_a_number_that_no_log_has_is_found():
    assert traced("edm got 2.289, dcgan 7.77 and 2.33", {"edm"}) == ["7.77"]
