"""What is handed in for each family: configs that fit, a checkpoint that opens and was judged, a whole report."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report.contents import UNFINISHED, missing_parts
from training.export import model_files
from training.launch import load_trainer
from training.persistence import describe_file
from utils.errors import UserError
from utils.schema import section

ROOT = Path(__file__).parents[1]
LARGEST_FILE, LARGEST_ALL = 45_000_000, 100_000_000  # bytes; what a code host takes without further ado


@section
class Parts:
    """What is handed in for a family; paths from the repository's root."""

    train: str
    inference: str
    checkpoint: str  # an exported model's folder, or a checkpoint file
    report: str
    metrics: str | None = None  # the evaluation of that checkpoint; None: metrics.json in its folder


@section
class Submission:
    """Everything that is handed in."""

    diffusion: Parts | None = None
    gan: Parts | None = None


@dataclass(frozen=True)
class Point:
    """A point of the list: passed unless there is a fix."""

    what: str
    fix: str = ""


@dataclass(frozen=True)
class Place:
    """What is handed in for a family, and where."""

    root: Path
    family: str
    parts: Parts

    def path(self, part: str) -> Path:
        return self.root / getattr(self.parts, part)

    def words(self, part: str, *more: str) -> list[str]:
        return [f"exp.config_path={self.path(part)}", "exp.device=cpu", *more]

    def record(self) -> dict[str, Any]:
        """Return the reported evaluation. Raises ``OSError`` or ``ValueError`` where there is none to read."""
        return json.loads((self.root / (self.parts.metrics or f"{self.parts.checkpoint}/metrics.json")).read_text())


def points_of_configs(place: Place) -> Iterator[Point]:
    """Both configs fit the code and are of the family."""
    for part in ("train", "inference"):
        what, fix = f"{place.family}: {getattr(place.parts, part)} fits the code", ""
        try:
            trainer = load_trainer(place.words(part))
            trainer.check_config()
        except UserError as error:
            fix = str(error)
        else:
            family = trainer.config.exp.model_type
            fix = "" if family == place.family else f"its exp.model_type is {family}: name a config of {place.family}"
        yield Point(what, fix)


def points_of_checkpoint(place: Place) -> Iterator[Point]:
    """The checkpoint opens in the inference config's networks, is small enough, and is the one that was judged."""
    path, named = place.path("checkpoint"), f"{place.family}: {place.parts.checkpoint}"
    opened = f"{named} opens by {place.parts.inference}"
    try:
        trainer = load_trainer(place.words("inference", f"train.checkpoint_path={path}", "train.val_metrics=[]"))
        trainer.setup_inference()
        files = model_files(path) if path.is_dir() else [path]
    except UserError as error:
        yield Point(opened, f"{error} (report.best makes one: copy its checkpoints/ here)")
        return
    yield Point(opened)
    yield Point(f"{named} fits a code host", too_large(files))
    yield Point(f"{named} is the one that was evaluated", not_the_one(place, path))
    yield Point(f"{place.parts.inference} draws as the numbers were drawn", drawn_otherwise(place, trainer))


def too_large(files: list[Path]) -> str:
    sizes = [file.stat().st_size for file in files]
    if max(sizes) > LARGEST_FILE:
        return f"a file has {max(sizes) / 1e6:.0f} MB: inference.study=export cuts it into smaller ones"
    if sum(sizes) > LARGEST_ALL:
        return f"{sum(sizes) / 1e6:.0f} MB in all, more than {LARGEST_ALL // 10**6}: train a smaller model"
    return ""


def not_the_one(place: Place, path: Path) -> str:
    """Hold the hash of the checkpoint against the reported one."""
    try:
        reported = place.record()["origin"]["checkpoint"]["sha256"]
    except (OSError, ValueError, KeyError):
        return "there is no metrics.json of it: evaluate it, then python3 -m report.model_card"
    own = describe_file(path)["sha256"]
    return "" if own == reported else f"its hash is {own[:12]}, the reported one {reported[:12]}: evaluate it again"


def drawn_otherwise(place: Place, trainer: Any) -> str:
    """Hold the config's way of sampling against the reported numbers'."""
    try:
        reported = place.record()["origin"]
    except (OSError, ValueError, KeyError):
        return "there is no metrics.json to hold it against"
    for key, value in json.loads(json.dumps(trainer.describe_sampling())).items():
        if reported.get(key) != value:
            return f"{key} is {value}, the numbers are of {reported.get(key)}: put that into the config"
    return ""


def points_of_report(place: Place) -> Iterator[Point]:
    """The report has every section, names nothing that is not there, and nothing in it is left for later."""
    path, named = place.path("report"), f"{place.family}: {place.parts.report}"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        yield Point(f"{named} is there", "python3 -m report.build writes it")
        return
    yield Point(f"{named} has every section", listed("it lacks", missing_parts(text)))
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    lost = sorted({link for link in links if not (path.parent / link).exists()})
    yield Point(f"{named} shows what is there", listed("these files are missing:", lost))
    yield Point(f"{named} is finished", listed("it still says", [word for word in UNFINISHED if word in text]))


def listed(begin: str, things: list[str], most: int = 5) -> str:
    """Return a sentence with the first few things; nothing where there are none."""
    rest = f" and {len(things) - most} more" if len(things) > most else ""
    return f"{begin} {'; '.join(things[:most])}{rest}" if things else ""
