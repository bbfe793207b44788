"""The zoo: every model trained for some minutes on two CPU cores, at a reduced size, and a picture of each.

    python3 -m report.zoo minutes=4 [rows=[dcgan,sngan]] [out=DIR] [set=[...]]

minutes   of training for each row; the number of steps that fits is measured first
rows      which of report/zoo/rows.yaml; default: all. A row that has a line in report/zoo/zoo.jsonl is skipped; one
          that needs another row's export finds it in the folder of the runs
out       the folder of the runs; default: runs/zoo. The same command again goes on where it was stopped
set=[...] further words for train.py and inference.py, such as exp.device=cpu

Leaves report/zoo/NAME.png (at most 110 KB), a line in report/zoo/zoo.jsonl, and docs/models.md up to date.
"""

import json
import shlex
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from report.looks import LOOKS
from report.records import Run
from training.launch import load_trainer
from utils.command import command_of
from utils.config import read_yaml
from utils.errors import ConfigError, DataError, UserError, did_you_mean
from utils.files import whole_file
from utils.schema import PositiveFloat, section

ROOT = Path(__file__).parents[1]
ZOO = ROOT / "report" / "zoo"
SPEED_STEPS = 40  # of the run that measures the speed
NEVER = 10**9  # steps
GRACE = 1.2  # a run may take that much longer than planned, on a machine that has become busy


@dataclass(frozen=True)
class Row:
    """A model of the zoo: a config, what is overridden in it, and which settings name the export of another row."""

    name: str
    config: str
    overrides: tuple[str, ...]
    needs: dict[str, str] = field(default_factory=dict)  # setting: row

    @property
    def words(self) -> list[str]:
        return [f"exp.config_path={self.config}", *self.overrides]

    @property
    def short_config(self) -> str:
        return self.config.removeprefix("configs/").removesuffix(".yaml")


@section
class Settings:
    """What the command takes."""

    minutes: PositiveFloat
    rows: list[str] = field(default_factory=list)
    out: str = "runs/zoo"
    set: list[str] = field(default_factory=list)


@command_of(Settings)
def main(settings: Settings) -> None:
    table = rows_of_the_zoo()
    for name in settings.rows:
        if name not in table:
            raise ConfigError(f"rows: '{name}' is not in report/zoo/rows.yaml.{did_you_mean(name, list(table))}")
    failed = []
    for name in settings.rows or table:
        if name in results():
            print(f"{name}: done already (to do it again, delete its line in report/zoo/zoo.jsonl)")
            continue
        try:
            Keeper(table[name], settings).run()
        except UserError as error:
            failed.append(name)
            print(f"{name}: {error}", flush=True)
    write_page()
    if failed:
        raise DataError(f"these rows failed: {', '.join(failed)}; the same command goes on with them")


def write_page() -> None:
    """Bring docs/models.md up to date, in a process of its own: it builds every model."""
    subprocess.run([sys.executable, "-m", "report.models"], cwd=ROOT, check=True)


def rows_of_the_zoo() -> dict[str, Row]:
    """Read report/zoo/rows.yaml."""
    table = read_yaml(ZOO / "rows.yaml")
    return {
        name: Row(name, row["config"], without_repeats([*table["shared"], *row["set"]]), row.get("needs", {}))
        for name, row in table["rows"].items()
    }


def without_repeats(words: list[str]) -> tuple[str, ...]:
    """Of two words for one key keep the later."""
    return tuple({word.partition("=")[0]: word for word in words}.values())


def results() -> dict[str, dict[str, Any]]:
    """Return the lines of zoo.jsonl by name."""
    path = ZOO / "zoo.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {line["name"]: line for line in lines}


class Keeper:
    """The way from a row to its picture and its line. What is done already is found in the run folders."""

    def __init__(self, row: Row, settings: Settings):
        self.row, self.settings = row, settings
        self.out = Path(settings.out).expanduser().resolve()
        self.look = LOOKS[load_trainer(row.words).config.inference.study]

    def run(self) -> None:
        steps = self.fitting_steps()
        words = [*self.row.words, f"exp.run_name={self.row.name}", f"train.steps={steps}", *quiet(max(steps // 20, 1))]
        stop = f"train.stop_after_minutes={GRACE * self.settings.minutes:g}"
        training = [*words, *self.look.training, "train.val_metrics=[]"]
        command = self.call("train.py", [*training, stop])
        study = self.study([*words, *self.look.study])
        with whole_file(ZOO / f"{self.row.name}.png", "wb") as file:
            file.write(self.look.picture(self.folder(self.row.name)))
        record = {"name": self.row.name, "command": command, "study": study, **self.figures()}
        with whole_file(ZOO / "zoo.jsonl") as file:
            file.writelines(json.dumps(line) + "\n" for line in (results() | {self.row.name: record}).values())

    def folder(self, name: str) -> Path:
        """Return where the study of a row writes."""
        return self.out / f"{name}_study"

    def export_of(self, name: str) -> Path:
        """Return what the study of another row has exported. Raises :class:`DataError` where it has not been run."""
        files = list(self.folder(name).glob("*.safetensors"))
        if not files:
            again = ", without its line in zoo.jsonl" if name in results() else ""
            raise DataError(f"{self.row.name} needs what {name} leaves in {self.out}: rows=[{name},...] first{again}")
        return files[0]

    def study(self, words: list[str]) -> str:
        """Look at the run by its study; return the command."""
        folder = self.folder(self.row.name)
        shutil.rmtree(folder, ignore_errors=True)  # of an attempt that did not end
        return self.call("inference.py", [*words, "train.checkpoint_path=latest"], f"inference.out_dir={folder}")

    def figures(self) -> dict[str, Any]:
        """Return what the logs say: time, images, the losses of the last log step, what the study measured."""
        run = self.out / self.row.name
        trained = [line for line in read_lines(run / "metrics.jsonl") if "val_ema_distance" not in line]
        step = trained[-1].pop("step")
        return {
            "seconds": round(Run(run, {}).seconds),
            "steps": step,
            "images": step * images_per_step(run),
            "losses": rounded(trained[-1]),
            "results": rounded(json.loads((self.folder(self.row.name) / "metrics.json").read_text())["results"]),
        }

    def call(self, script: str, words: list[str], *private: str) -> str:
        """Run a command of this project; what it prints is shown. Return it without folders of this machine.

        Raises :class:`DataError` when it fails.
        """
        words = [script, *words, *self.settings.set]
        exports = [f"{setting}={self.export_of(name)}" for setting, name in self.row.needs.items()]
        places = [f"exp.exp_dir={self.out}", *exports, *private]
        if subprocess.run([sys.executable, *words, *places], cwd=ROOT).returncode:
            raise DataError(f"this failed: python3 {shlex.join(words)}")
        return f"python3 {shlex.join(words)}"

    def fitting_steps(self) -> int:
        """Measure the speed, once, and return the steps that the minutes hold."""
        name = f"{self.row.name}_speed"
        timing = self.out / name / "timing.jsonl"
        if not timing.exists():
            words = [*self.row.words, f"exp.run_name={name}", f"train.steps={SPEED_STEPS}", *quiet(5)]
            self.call("train.py", [*words, *self.look.training, "train.val_metrics=[]"])
        lines = [line for line in read_lines(timing) if "images_per_second" in line]
        speed = statistics.median(line["images_per_second"] for line in lines[1:])
        return max(int(self.settings.minutes * 60 * speed / images_per_step(self.out / name)), 20)


def quiet(log_step: int) -> list[str]:
    """Return words that leave out validation and checkpoints but the last ones, which are small."""
    return [f"train.log_step={log_step}", f"train.val_step={NEVER}", f"train.checkpoint_step={NEVER}"]


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}


def images_per_step(run: Path) -> int:
    config = read_yaml(run / "config.yaml")
    return config["data"]["train_batch_size"] * config["train"].get("disc_steps", 1)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


if __name__ == "__main__":
    main()
