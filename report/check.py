"""The task's own list, point by point: what is handed in is there, opens, runs, and can be handed in.

    python3 -m report.check [key=value ...]

submission   which configs, checkpoints and reports are handed in: report/submission.yaml, or a file like it
only=[...]   these parts of the list: configs, checkpoints, commands, reports, requirements, repository
install      dry: ask pip whether the requirements can be met; venv: install them into a new environment; skip
device       where the two commands run a few steps; cpu unless told otherwise
data         drawn: they train on drawn dishes, so that no dataset is needed; own: on what the config names
root         the repository; this one unless told otherwise

A line for each point: passed, or FAILED and the fix. Then what nobody but you can do. Exit status 1 if a point failed.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field, fields
from pathlib import Path
from typing import Literal

from report import repository
from report.handed_in import ROOT, Place, Point, Submission, points_of_checkpoint, points_of_configs, points_of_report
from utils.command import command
from utils.config import parse_overrides, read_yaml
from utils.errors import ConfigError, did_you_mean
from utils.schema import bind, section

PARTS = {"configs", "checkpoints", "commands", "reports", "requirements", "repository"}
BY_HAND = """What you must do by hand:
  - keep the repository private while the task asks for that, and add the checkers' accounts as collaborators
  - push the commit that was checked, with checkpoints/, and open both reports there once: pictures must show
  - sync the runs to W&B and make the report public, if you use it (python3 -m report.wandb)
  - send the form: link to the repository, link to the report, your contacts"""
DRAWN = ["data.dataset=synthetic", "data.input_train_dir=null", "data.input_val_dir=null", "data.dev_per_class=0",
         "dataset_args.num_images=40"]  # fmt: skip
FEW_STEPS = ["train.steps=2", "train.log_step=1", "train.accumulate=1", "train.compile=off", "train.val_metrics=[]",
             "data.train_batch_size=4", "exp.run_name=check", "exp.use_wandb=False"]  # fmt: skip
TWO_IMAGES = ["train.val_metrics=[]", "inference.analyses=[]", "inference.seeds=1", "inference.num_images=2"]
QUICKLY = {"diffusion": ["train.val_sampling_steps=1"]}  # a family's own words for a quick look


@section
class Settings:
    """What the command takes."""

    submission: str = "report/submission.yaml"
    only: list[str] = field(default_factory=list)
    install: Literal["dry", "venv", "skip"] = "dry"
    device: str = "cpu"
    data: Literal["drawn", "own"] = "drawn"
    root: str = str(ROOT)


@command
def main(arguments: Sequence[str] | None = None) -> None:
    settings = bind(Settings, parse_overrides(list(sys.argv[1:] if arguments is None else arguments)))
    points = [tell(point) for point in all_points(settings)]
    failed = sum(bool(point.fix) for point in points)
    print(f"{len(points) - failed} passed, {failed} failed\n\n{BY_HAND}")
    sys.exit(1 if failed else 0)


def tell(point: Point) -> Point:
    print(f"FAILED  {point.what}: {point.fix}" if point.fix else f"passed  {point.what}", flush=True)
    return point


def all_points(settings: Settings) -> Iterator[Point]:
    """Go through the list, or those parts of it that are asked for."""
    root = Path(settings.root).expanduser().resolve()
    submission = bind(Submission, read_yaml(root / settings.submission))
    families = {it.name: getattr(submission, it.name) for it in fields(submission)}
    handed = [Place(root, name, parts) for name, parts in families.items() if parts]
    each: dict[str, Callable[[Place], Iterator[Point]]] = {
        "configs": points_of_configs,
        "checkpoints": points_of_checkpoint,
        "commands": lambda place: points_of_commands(place, settings),
        "reports": points_of_report,
    }
    for name in set(settings.only) - PARTS:
        raise ConfigError(f"only: there is no part '{name}'.{did_you_mean(name, sorted(PARTS))}")
    once = {
        "requirements": lambda: points_of_requirements(root, settings.install),
        "repository": lambda: repository.points(root),
    }
    for name, points in each.items():
        if not settings.only or name in settings.only:
            for place in handed:
                yield from points(place)
    for name, points in once.items():
        if not settings.only or name in settings.only:
            yield from points()


def points_of_commands(place: Place, settings: Settings) -> Iterator[Point]:
    """Run both commands: two steps of training on four images each, two images from the checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        train = [*FEW_STEPS, *QUICKLY.get(place.family, []), *(DRAWN if settings.data == "drawn" else [])]
        yield run(place, "train.py", place.parts.train, [f"exp.exp_dir={folder}", *train], settings.device)
        sample = [f"train.checkpoint_path={place.parts.checkpoint}", f"inference.out_dir={folder}/samples", *TWO_IMAGES]
        yield run(place, "inference.py", place.parts.inference, sample, settings.device)


def run(place: Place, script: str, config: str, words: list[str], device: str) -> Point:
    """Run a command of the project in the repository's root."""
    line = [sys.executable, str(ROOT / script), f"exp.config_path={config}", f"exp.device={device}", *words]
    done = subprocess.run(line, cwd=place.root, capture_output=True, text=True)
    return Point(f"{place.family}: {script} runs from {config}", last_line(done) if done.returncode else "")


def last_line(done: subprocess.CompletedProcess) -> str:
    """Return the last thing that a program said: an error of ours is one line."""
    return ([*done.stdout.splitlines(), *done.stderr.splitlines()] or ["it said nothing"])[-1]


def points_of_requirements(root: Path, install: str) -> Iterator[Point]:
    """Look for the Python version, and let pip say whether the requirements can be met."""
    yield repository.python_stated(root)
    if install == "dry":
        done = pip(sys.executable, root, "--dry-run", "--quiet")
        yield Point("requirements.txt can be installed here (pip --dry-run)", done)
    elif install == "venv":
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            python = os.path.join(folder, "bin", "python")
            trouble = pip(python, root, "--quiet") or imports(python, root)
            yield Point("requirements.txt installs into a new environment, and train.py starts in it", trouble)


def pip(python: str, root: Path, *words: str) -> str:
    """Install the requirements; return what went wrong, or nothing."""
    line = [python, "-m", "pip", "install", "--disable-pip-version-check", *words, "-r", "requirements.txt"]
    done = subprocess.run(line, cwd=root, capture_output=True, text=True)
    return f"pip says: {last_line(done)}" if done.returncode else ""


def imports(python: str, root: Path) -> str:
    done = subprocess.run([python, "-c", "import train, inference"], cwd=root, capture_output=True, text=True)
    return f"something is missing in requirements.txt: {last_line(done)}" if done.returncode else ""


if __name__ == "__main__":
    main()
