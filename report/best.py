"""The best model that fits into some minutes: trains it, chooses its settings on the dev set, evaluates and exports it.

    python3 -m report.best config=configs/diffusion/food101_best.yaml minutes=10 out=DIR [key=value ...]

config       the experiment; its inference config is configs/inference/<name>_fid.yaml
minutes      of training; the number of steps that fits is measured first
out          the run's folder, the export and best.json with every choice; the same command again goes on from there
widths       EMA widths to choose from; guidance=[...] words of inference.py to choose from, each a candidate
classifier   a file of the study `classify`, for class fidelity
metric       what is chosen by on dev; where FID_DIMS=768 it is fid768
set=[...]    further words for train.py and inference.py, such as exp.device=cpu
"""

import json
import shutil
import subprocess
import sys
from dataclasses import field
from pathlib import Path
from typing import Any

from utils.command import command_of
from utils.config import load_tree
from utils.errors import DataError
from utils.files import whole_file
from utils.schema import PositiveFloat, PositiveInt, section

ROOT = Path(__file__).parents[1]
CFG = "train.guidance=cfg guidance_args.scale={} guidance_args.interval=[0.2,5.0]"


@section
class Settings:
    """What the command takes."""

    config: str
    out: str
    minutes: PositiveFloat = 10.0
    speed_steps: PositiveInt = 200  # steps of the run that measures the speed
    widths: list[PositiveFloat] = field(default_factory=lambda: [0.05, 0.075, 0.1, 0.15, 0.2])
    guidance: list[str] = field(default_factory=lambda: [CFG.format(scale) for scale in (1.3, 1.6, 2.0)])
    metric: str = "fid"
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
        self.name = Path(settings.config).stem
        self.record_path = self.out / "best.json"
        self.record: dict[str, Any] = json.loads(self.record_path.read_text()) if self.record_path.exists() else {}

    def run(self) -> None:
        steps = self.once("steps", self.fitting_steps)
        self.once("trained", lambda: self.train(self.name, steps))
        widths = [f"inference.ema_width={width}" for width in self.settings.widths]
        width = self.once("width", lambda: self.best_of("width", widths))
        guidance = self.once("guidance", lambda: self.best_of("guidance", ["", *self.settings.guidance], width))
        chosen = f"{width} {guidance}".split()
        self.once("exported", lambda: self.infer("export", [width, "inference.study=export"]).name)
        self.once("results", lambda: self.evaluate(guidance.split()))
        print(f"chosen on dev: {' '.join(chosen)}\n{json.dumps(self.record['results']['results'], indent=2)}")
        print(f"exported model: {self.out / 'export'}; all choices: {self.record_path}")

    def once(self, key: str, work: Any) -> Any:
        """Do a part of the work unless it is done, and remember what came of it."""
        if key not in self.record:
            self.record[key] = work()
            with whole_file(self.record_path) as file:
                json.dump(self.record, file, indent=2)
        return self.record[key]

    def fitting_steps(self) -> int:
        """Measure the speed and return the steps that the minutes hold."""
        few = self.settings.speed_steps
        self.train("speed", few, f"train.log_step={max(few // 10, 1)}", f"train.val_step={few}")
        lines = [json.loads(line) for line in (self.out / "speed" / "timing.jsonl").read_text().splitlines()]
        speeds = sorted(line["images_per_second"] for line in lines if "images_per_second" in line)
        batch = load_tree([f"exp.config_path={self.settings.config}", *self.settings.set])["data"]["train_batch_size"]
        speed = speeds[len(speeds) // 2]
        steps = max(int(self.settings.minutes * 60 * speed / batch), 20)
        print(f"{speed:.0f} images a second: {steps} steps in {self.settings.minutes:g} minutes", flush=True)
        return steps

    def train(self, name: str, steps: int, *words: str) -> int:
        """Train, with twenty checkpoints on the way; return the number of steps."""
        every = f"train.checkpoint_step={max(steps // 20, 1)}"
        self.call("train.py", self.settings.config, [f"exp.run_name={name}", f"train.steps={steps}", every, *words])
        return steps

    def best_of(self, what: str, candidates: list[str], always: str = "") -> str:
        """Judge each candidate, words of ``inference.py``, on the dev set; return the best."""
        values = {}
        for number, candidate in enumerate(candidates):
            folder = self.infer(f"dev_{what}_{number}", [*always.split(), *candidate.split(), "inference.split=dev"])
            values[candidate] = json.loads((folder / "metrics.json").read_text())["results"][self.settings.metric]
            print(f"dev {self.settings.metric} {values[candidate]:.4f}: {candidate or 'nothing'}", flush=True)
        self.record[f"{what}_on_dev"] = values
        return min(values, key=values.get)

    def evaluate(self, guidance: list[str]) -> dict[str, Any]:
        """Judge the exported weights on the test split: seeds and analyses as the inference config has them."""
        words = [f"train.checkpoint_path={self.out / 'export'}", *guidance]
        if self.settings.classifier:
            words += [f"metrics_args.class_fidelity.classifier={self.settings.classifier}"]
            words += ["inference.analyses=[floor,per_class,class_fidelity]"]
        return json.loads((self.infer("test", words, seeds_and_analyses=True) / "metrics.json").read_text())

    def infer(self, name: str, words: list[str], seeds_and_analyses: bool = False) -> Path:
        """Run ``inference.py`` into the folder ``name``; return it."""
        folder = self.out / name
        shutil.rmtree(folder, ignore_errors=True)  # of an attempt that did not end
        short = [] if seeds_and_analyses else ["inference.seeds=1", "inference.analyses=[]"]
        newest = [] if any("checkpoint_path" in word for word in words) else ["train.checkpoint_path=latest"]
        config = ROOT / "configs" / "inference" / f"{self.name}_fid.yaml"
        self.call("inference.py", str(config), [f"inference.out_dir={folder}", *short, *newest, *words])
        return folder

    def call(self, script: str, config: str, words: list[str]) -> None:
        """Run a command of this project; what it prints is shown. Raises :class:`DataError` when it fails."""
        line = [sys.executable, script, f"exp.config_path={config}", f"exp.exp_dir={self.out}"]
        line += [*self.settings.set, *words]
        if subprocess.run(line, cwd=ROOT).returncode:
            raise DataError(f"this failed: {' '.join(line[1:])}; the same command of report.best goes on from here")


if __name__ == "__main__":
    main()
