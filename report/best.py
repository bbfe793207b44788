"""The best model that fits into some minutes: trains it, chooses its settings on the dev set, exports and evaluates it.

    python3 -m report.best config=configs/gan/food101_best.yaml minutes=7 out=DIR [key=value ...]

config       the experiment, a GAN or a diffusion model; its numbers are those of
             configs/inference/<run>_fid.yaml, or <run>.yaml
minutes      of training; the number of steps that fits is measured first
out          the run's folder, checkpoints/<run> to publish, and best.json with every choice; the same command again
             goes on from there
widths       EMA widths to choose from; [] keeps the average of the run, or what train.ema=none leaves
guidance     words of inference.py to choose from, each a candidate beside none; [] keeps what the config says
classifier   a file of the study `classify`, for class fidelity
metric       what is chosen by on dev, of whatever dims: fid or kid, of which the lowest is best
set=[...]    further words for train.py and inference.py, such as exp.device=cpu
"""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

from report.model_card import write_card
from utils.command import command_of
from utils.config import Tree, find, load_tree
from utils.errors import ConfigError, DataError
from utils.files import whole_file
from utils.schema import PositiveFloat, PositiveInt, section

ROOT = Path(__file__).parents[1]
CFG = "train.guidance=cfg guidance_args.scale={} guidance_args.interval=[0.2,5.0]"
# What each family chooses from unless the command says something else. A width is the standard deviation of the
# average's profile, as a share of the run (Karras et al. 2024); GANs do best with short averages.
CHOICES = {
    "diffusion": {
        "widths": [0.05, 0.075, 0.1, 0.15, 0.2],
        "guidance": [CFG.format(scale) for scale in (1.3, 1.6, 2.0)],
    },
    "gan": {"widths": [0.02, 0.03, 0.05, 0.08, 0.12], "guidance": []},
}


@section
class Settings:
    """What the command takes."""

    config: str
    out: str
    minutes: PositiveFloat = 10.0
    speed_steps: PositiveInt = 200  # steps of the run that measures the speed
    widths: list[PositiveFloat] | None = None  # None: the family's
    guidance: list[str] | None = None  # None: the family's
    metric: Literal["fid", "kid"] = "fid"  # the lowest is chosen
    classifier: str | None = None
    set: list[str] = field(default_factory=list)


@command_of(Settings)
def main(settings: Settings) -> None:
    Best(settings).run()


class Best:
    """The way from a config to a published model; what is done already is read from ``best.json``."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.out = Path(settings.out).expanduser().resolve()
        self.tree = load_tree([f"exp.config_path={settings.config}", *settings.set])
        self.name = find(self.tree, ["exp", "run_name"]) or Path(settings.config).stem
        self.inference = inference_config(self.name)
        self.published = self.out / "checkpoints" / self.name
        self.choices = choices_of(settings, self.tree)
        self.record_path = self.out / "best.json"
        self.record: dict[str, Any] = json.loads(self.record_path.read_text()) if self.record_path.exists() else {}
        if self.record.setdefault("config", settings.config) != settings.config:
            raise ConfigError(f"{self.out} holds a run of {self.record['config']}: name another folder by out=")

    def run(self) -> None:
        steps = self.once("steps", self.fitting_steps)
        self.once("trained", lambda: self.train(self.name, steps))
        width = self.once("width", lambda: self.best_of("width", self.choices["widths"]))
        guidance = self.once("guidance", lambda: self.best_of("guidance", self.choices["guidance"], width))
        self.once("exported", lambda: self.export(width))
        self.once("results", lambda: self.evaluate(guidance))
        self.card()
        print(f"chosen on dev: {f'{width} {guidance}'.strip() or 'nothing'}")
        print(json.dumps(self.record["results"]["results"], indent=2))
        print(f"model and card to publish: {self.published}; all choices: {self.record_path}")

    def once(self, key: str, work: Callable[[], Any]) -> Any:
        """Do a part of the work unless it is done, and remember what came of it and how long it took."""
        if key not in self.record:
            start = time.monotonic()
            self.record[key] = work()
            self.record.setdefault("seconds", {})[key] = round(time.monotonic() - start, 1)
            with whole_file(self.record_path) as file:
                json.dump(self.record, file, indent=2)
        return self.record[key]

    def fitting_steps(self) -> int:
        """Measure the speed and return the steps that the minutes hold."""
        few = self.settings.speed_steps
        self.call_train("speed", few, f"train.log_step={max(few // 10, 1)}", f"train.val_step={few}")
        lines = [json.loads(line) for line in (self.out / "speed" / "timing.jsonl").read_text().splitlines()]
        speeds = sorted(line["images_per_second"] for line in lines if "images_per_second" in line)
        per_step = self.tree["data"]["train_batch_size"] * (find(self.tree, ["train", "disc_steps"]) or 1)
        speed = speeds[len(speeds) // 2]
        steps = max(int(self.settings.minutes * 60 * speed / per_step), 20)
        print(f"{speed:.0f} images a second: {steps} steps in {self.settings.minutes:g} minutes", flush=True)
        return steps

    def train(self, name: str, steps: int) -> int:
        """Train, looking eight times on the way, with checkpoints for the choices; return the number of steps.

        A width is put together from about twenty snapshots, one a checkpoint; without that choice four are enough.
        """
        checkpoints = 20 if self.choices["widths"] else 4
        self.call_train(name, steps, *(f"train.{key}_step={max(steps // count, 1)}"
                                       for key, count in (("checkpoint", checkpoints), ("val", 8))))  # fmt: skip
        return steps

    def best_of(self, what: str, candidates: list[str], always: str = "") -> str:
        """Judge each candidate, words of ``inference.py``, on the dev set; return the best. No candidates: nothing."""
        values = {}
        for number, candidate in enumerate(candidates):
            words = [*always.split(), *candidate.split(), "inference.split=dev", "train.checkpoint_path=latest"]
            folder = self.infer(f"dev_{what}_{number}", [*words, "inference.seeds=1", "inference.analyses=[]"])
            values[candidate] = self.figure(json.loads((folder / "metrics.json").read_text())["results"])
            print(f"dev {self.settings.metric} {values[candidate]:.4f}: {candidate or 'nothing'}", flush=True)
        self.record[f"{what}_on_dev"] = values
        return min(values, key=values.get, default="")

    def figure(self, results: dict[str, float]) -> float:
        """Return the metric that settings are chosen by: ``fid`` is also ``fid768``, where the dims are these."""
        for name, value in results.items():
            if re.fullmatch(rf"{self.settings.metric}\d*", name):
                return value
        raise ConfigError(f"metric={self.settings.metric} is not among the results: {', '.join(results)}")

    def export(self, width: str) -> str:
        """Write the weights to publish; return their folder's name."""
        words = [*width.split(), "inference.study=export", "train.checkpoint_path=latest"]
        self.infer(f"checkpoints/{self.name}", words)
        return self.published.name

    def evaluate(self, sampling: str) -> dict[str, Any]:
        """Judge the exported weights on the test split: seeds and analyses as the inference config has them."""
        words = [f"train.checkpoint_path={self.published}", *sampling.split()]
        if self.settings.classifier:
            words += [f"metrics_args.class_fidelity.classifier={self.settings.classifier}"]
            words += ["inference.analyses=[floor,per_class,class_fidelity]"]
        return json.loads((self.infer("test", words) / "metrics.json").read_text())

    def card(self) -> None:
        """Write the model's card beside its files."""
        write_card(self.published, self.out / "test", self.record)

    def infer(self, name: str, words: list[str]) -> Path:
        """Run ``inference.py`` into the folder ``name``; return it."""
        folder = self.out / name
        shutil.rmtree(folder, ignore_errors=True)  # of an attempt that did not end
        self.call("inference.py", str(self.inference), [f"inference.out_dir={folder}", *words])
        return folder

    def call_train(self, name: str, steps: int, *words: str) -> None:
        self.call("train.py", self.settings.config, [f"exp.run_name={name}", f"train.steps={steps}", *words])

    def call(self, script: str, config: str, words: list[str]) -> None:
        """Run a command of this project; what it prints is shown. Raises :class:`DataError` when it fails.

        Of two words for one key the later counts.
        """
        given = {word.partition("=")[0]: word for word in [*self.settings.set, *words]}
        line = [sys.executable, script, f"exp.config_path={config}", f"exp.exp_dir={self.out}", *given.values()]
        if subprocess.run(line, cwd=ROOT).returncode:
            raise DataError(f"this failed: {' '.join(line[1:])}; the same command of report.best goes on from here")


def inference_config(run: str) -> Path:
    """Return the config of a run's numbers. Raises :class:`ConfigError` when there is none."""
    folder = ROOT / "configs" / "inference"
    for path in (folder / f"{run}_fid.yaml", folder / f"{run}.yaml"):
        if path.exists():
            return path
    raise ConfigError(f"there is no {folder / run}_fid.yaml: write the settings of this run's numbers into it")


def choices_of(settings: Settings, tree: Tree) -> dict[str, list[str]]:
    """Return what is chosen from, as words of ``inference.py``. Raises :class:`ConfigError` for another family."""
    family = find(tree, ["exp", "model_type"])
    if family not in CHOICES:
        raise ConfigError(f"{settings.config} is of the family {family}: report.best trains {' and '.join(CHOICES)}")
    asked = {"widths": settings.widths, "guidance": settings.guidance}
    chosen = CHOICES[family] | {name: values for name, values in asked.items() if values is not None}
    guidance = ["", *chosen["guidance"]] if chosen["guidance"] else []
    return {"widths": [f"inference.ema_width={width}" for width in chosen["widths"]], "guidance": guidance}


if __name__ == "__main__":
    main()
