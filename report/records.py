"""Run folders read into plain records: all that a report says in numbers comes from here, so from logs.

Two layouts are understood: RUNS/<experiment>/<seed>/ as ``report.experiments`` keeps them, and RUNS/<run>/ as
``train.py`` leaves them; a run is a folder with a ``config.yaml``.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evaluation.floor import Spread
from evaluation.tables import Record, check_one_table
from report.headers import read_header
from utils.config import Tree, read_yaml
from utils.errors import DataError

ROOT = Path(__file__).parents[1]
NOT_OF_THE_EXPERIMENT = {"config_path", "exp_dir", "run_name", "seed", "use_wandb", "wandb_mode", "wandb_project"}


@dataclass(frozen=True)
class Run:
    """One training run."""

    folder: Path
    config: Tree

    @cached_property
    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Every logged value by name, as (training images seen, value)."""
        batch = self.config["data"]["train_batch_size"] * self.config["train"].get("disc_steps", 1)
        found: dict[str, list[tuple[int, float]]] = {}
        for line in read_lines(self.folder / "metrics.jsonl"):
            for name, value in line.items():
                if name != "step":
                    found.setdefault(name, []).append((line["step"] * batch, value))
        return found

    @cached_property
    def seconds(self) -> float:
        """Training time, validation included, over all starts of the run."""
        lines = read_lines(self.folder / "timing.jsonl")
        seconds = [line["seconds"] for line in lines if "seconds" in line]
        ends = [now for now, after in zip(seconds, [*seconds[1:], 0.0]) if after < now]  # a start begins at zero again
        return sum(ends)

    @cached_property
    def environment(self) -> Record:
        """What the run was made with at its last start."""
        return read_lines(self.folder / "environment.jsonl")[-1]

    @cached_property
    def evaluation_file(self) -> Path | None:
        """The newest full evaluation on the test split."""
        places = [
            self.folder / "metrics.json",
            *self.folder.glob("*/metrics.json"),
            *self.folder.glob("*/*/metrics.json"),
        ]
        judged = [path for path in places if path.exists() and is_result(read_record(path))]
        return max(judged, key=lambda path: path.stat().st_mtime, default=None)

    @cached_property
    def evaluation(self) -> Record | None:
        return self.evaluation_file and read_record(self.evaluation_file)

    def picture(self, name: str) -> Path | None:
        """Return the kept picture ``name``; of a run that was not prepared, the newest grid there is."""
        beside = self.evaluation_file.parent if self.evaluation_file else self.folder
        kept = [path for path in (self.folder / f"{name}.png", beside / f"{name}.png") if path.exists()]
        grids = sorted((self.folder / "images").glob("samples_*.png")) if name == "grid" else []
        return next(iter([*kept, *reversed(grids)]), None)


@dataclass(frozen=True)
class Experiment:
    """A config and its runs, one for each training seed."""

    name: str
    runs: tuple[Run, ...]
    header: dict[str, str]
    built_on: str | None = None  # the name of the file that its config builds on

    @property
    def config(self) -> Tree:
        return self.runs[0].config

    @property
    def family(self) -> str:
        return self.config["exp"]["model_type"]

    @property
    def baseline(self) -> str | None:
        """The name of the experiment that this one is compared with."""
        word = self.header.get("Baseline", "none").split()[0]
        return None if word in ("none", self.name) else word

    @cached_property
    def evaluations(self) -> list[Record]:
        return [run.evaluation for run in self.runs if run.evaluation]

    def result(self, name: str) -> Spread | None:
        """Return a result on the test split over the training seeds."""
        return spread_of([it["results"].get(name) for it in self.evaluations])

    def last(self, name: str) -> Spread | None:
        """Return the last logged value of a curve over the training seeds."""
        return spread_of([run.curves[name][-1][1] for run in self.runs if name in run.curves])

    @property
    def floor(self) -> dict[str, Any]:
        """What real photos get in the place of generated ones, by result; {} where nobody measured it."""
        return next((it["analyses"]["floor"]["results"] for it in self.evaluations if it.get("analyses")), {})


@dataclass(frozen=True)
class SamplingStudy:
    """Variants of sampling, each judged with the models of one experiment's training seeds."""

    name: str
    of: str
    header: dict[str, str]
    variants: dict[str, list[Record]]

    @property
    def record(self) -> Record:
        """One of its evaluations, for what they all share."""
        return next(iter(self.variants.values()))[0]

    def result(self, variant: str, name: str) -> Spread | None:
        """Return a result over the training seeds; of one training seed over the sampling seeds."""
        records = self.variants[variant]
        if len(records) == 1 and name in records[0].get("values", {}):
            return Spread(tuple(records[0]["values"][name]))
        return spread_of([it["results"].get(name) for it in records])

    def seeds(self, variant: str) -> str:
        """Say how many models were sampled, and how often each."""
        records = self.variants[variant]
        often = len(records[0]["origin"].get("sampling_seeds", [0]))
        return f"{len(records)}, sampled {often} times" if often > 1 else str(len(records))


def spread_of(values: Sequence[float | None]) -> Spread | None:
    there = tuple(value for value in values if value is not None)
    return Spread(there) if there else None


def is_result(record: Record) -> bool:
    return bool(record.get("results")) and record.get("origin", {}).get("split") == "test"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a log of JSON lines. Raises :class:`DataError` when it is missing, empty or damaged."""
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}): train the run again, or take its folder away") from error
    if not lines:
        raise DataError(f"{path} is empty: train the run again, or take its folder away")
    return lines


def read_record(path: Path) -> Record:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}): evaluate again, or take it away") from error


def find_experiments(folder: Path) -> dict[str, Experiment]:
    """Return what is in a folder of runs, by name. Raises :class:`DataError` when there is nothing."""
    runs: dict[str, list[Run]] = {}
    for path in sorted([*folder.glob("*/config.yaml"), *folder.glob("*/*/config.yaml")]):
        deep = path.parent.parent != folder
        if not deep or not (path.parent.parent / "config.yaml").exists():
            name = path.parent.parent.name if deep else path.parent.name
            runs.setdefault(name, []).append(Run(path.parent, read_yaml(path)))
    if not runs:
        raise DataError(f"{folder} holds no run folders: runs= names the folder that exp.exp_dir named")
    return {name: described(name, tuple(found)) for name, found in runs.items()}


def described(name: str, runs: tuple[Run, ...]) -> Experiment:
    """Return an experiment with what its config file says beside its settings; nothing where the file is gone."""
    named = Path(runs[0].config["exp"]["config_path"])
    file = next((path for path in (named, ROOT / named) if path.exists()), None)
    if file is None:
        return Experiment(name, runs, {})
    base = read_yaml(file).get("base")
    return Experiment(name, runs, read_header(file), Path(base).stem if base else None)


def find_studies(folder: Path, configs: Path) -> dict[str, SamplingStudy]:
    """Return the sampling studies of which ``folder`` holds results, by name."""
    found = {}
    for file in sorted(configs.glob("*/*.yaml")):
        tree = read_yaml(file)
        seeds = sorted((folder / file.stem).glob("seed*")) if "of" in tree else []
        variants = {name: [read_record(seed / f"{name}.json") for seed in seeds if (seed / f"{name}.json").exists()]
                    for name in tree.get("variants", {})}  # fmt: skip
        there = {name: records for name, records in variants.items() if records}
        if there:
            check_one_table({name: records[0] for name, records in there.items()})
            found[file.stem] = SamplingStudy(file.stem, tree["of"], read_header(file), there)
    return found


def differences(config: Tree, baseline: Tree) -> list[tuple[str, Any, Any]]:
    """Return what differs between two resolved configs, (key, baseline's value, this one's), names and places aside."""
    ours, theirs = flat(config), flat(baseline)
    keys = [key for key in sorted(ours.keys() | theirs.keys()) if ours.get(key) != theirs.get(key)]
    ignored = {f"exp.{name}" for name in NOT_OF_THE_EXPERIMENT}
    return [(key, theirs.get(key), ours.get(key)) for key in keys if key not in ignored]


def flat(tree: Tree, prefix: str = "") -> dict[str, Any]:
    """Turn a tree into dotted keys; null and absent are the same."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        elif value is not None:
            found[f"{prefix}{key}"] = value
    return found
