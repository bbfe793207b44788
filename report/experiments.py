"""Runs the small experiments of the reports: trains every config with every seed, judges it, keeps the small logs.

    python3 -m report.experiments out=DIR [only=[edm,flow]] [seeds=3] [key=value ...]

out      where the run folders go; the same command again goes on there
only     names of experiments, which are the names of their files; default: all
seeds    training seeds 0 .. seeds - 1; images are always made from the noise of sampling seed 42
keep     where the small logs go, KEEP/<experiment>/seed<k>/; default: report/runs
configs  the folder of the experiments, a folder for each family; default: configs/experiments
set      further words for train.py and inference.py, such as set=[exp.device=cpu]

Needs FOOD101_DIR, and FID_WEIGHTS and FID_DIMS as the README says. Seeds come one after another, so that whatever is
there when time is up has seen every question. Two kinds of files:

an experiment        is trained, and judged on the 400 test images of the 20 classes
a sampling study     trains nothing: it names a trained experiment (of:) and words for inference.py (variants:), each of
                     which is judged on dev, because settings are chosen by it (split: test for what was chosen before)
"""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import inference
import train
from report.headers import read_header
from report.keeping import keep_evaluation, keep_run
from report.way import draw_way
from utils.cache import fingerprint, read_json
from utils.command import command_of
from utils.config import read_yaml
from utils.errors import ConfigError, did_you_mean
from utils.schema import PositiveInt, bind, section

ROOT = Path(__file__).parents[1]
SAMPLING_SEED = 42


@section
class Settings:
    """What the command takes."""

    out: str
    only: list[str] = field(default_factory=list)
    seeds: PositiveInt = 3
    keep: str = str(ROOT / "report" / "runs")
    configs: str = str(ROOT / "configs" / "experiments")
    set: list[str] = field(default_factory=list)


@section
class Study:
    """A file that trains nothing."""

    of: str  # the experiment whose models are sampled
    variants: dict[str, list[str]]  # name: words for inference.py; {run} in them is the run folder
    split: str = "dev"


@dataclass(frozen=True)
class Experiment:
    """A file of ``configs/experiments``."""

    file: Path
    study: Study | None  # None: it is trained

    @property
    def name(self) -> str:
        return self.file.stem


@command_of(Settings)
def main(settings: Settings) -> None:
    experiments = find_experiments(Path(settings.configs))
    chosen = choose(experiments, settings.only)
    runner = Runner(settings, experiments)
    for seed in range(settings.seeds):
        for experiment in chosen:
            runner.run(experiment, seed)
    print(f"the logs are in {settings.keep}; python3 -m report.build makes the reports of them")


def find_experiments(folder: Path) -> dict[str, Experiment]:
    """Return the experiments by name, those that are trained first. Raises :class:`ConfigError` for a broken file."""
    found = [Experiment(file, read_study(file)) for file in sorted(folder.glob("*/*.yaml"))]
    if not found:
        raise ConfigError(f"{folder} holds no experiments: configs= names a folder with diffusion/ or gan/ in it")
    for experiment in found:
        read_header(experiment.file)
    found.sort(key=lambda it: it.study is not None)
    return {experiment.name: experiment for experiment in found}


def read_study(file: Path) -> Study | None:
    tree = read_yaml(file)
    return bind(Study, tree) if "of" in tree else None


def choose(experiments: dict[str, Experiment], names: list[str]) -> list[Experiment]:
    """Return those named, in the order of ``experiments``; all when none is named."""
    for name in names:
        if name not in experiments:
            raise ConfigError(f"only: no experiment '{name}'.{did_you_mean(name, list(experiments))}")
    return [experiment for name, experiment in experiments.items() if not names or name in names]


class Runner:
    """Does what is not done yet: what is kept already is not made again."""

    def __init__(self, settings: Settings, experiments: dict[str, Experiment]):
        self.settings, self.experiments = settings, experiments
        self.out, self.keep = Path(settings.out).expanduser().resolve(), Path(settings.keep).expanduser()

    def run(self, experiment: Experiment, seed: int) -> None:
        kept = self.keep / experiment.name / f"seed{seed}"
        if experiment.study:
            self.sample(experiment.study, seed, kept)
        elif not (kept / "metrics.json").exists():
            self.train(experiment, seed, kept)

    def train(self, experiment: Experiment, seed: int, kept: Path) -> None:
        """Train, judge on test, and keep the logs; the first seed's floor is measured as well."""
        train.main([*self.words(experiment, seed), f"exp.seed={seed}"])
        more = ["inference.analyses=[floor]", "metrics_args.floor.draws=3"] if seed == 0 else []
        made = self.infer(experiment, seed, "test", more)
        draw_way([*self.words(experiment, seed), "train.checkpoint_path=latest"], SAMPLING_SEED, kept / "way.png")
        keep_run(self.folder(experiment, seed), made, kept, self.out)

    def sample(self, study: Study, seed: int, kept: Path) -> None:
        """Judge every variant of a sampling study with one training seed's model."""
        trained = [name for name, it in self.experiments.items() if it.study is None]
        if study.of not in trained:
            raise ConfigError(f"of: {study.of} is no experiment that is trained.{did_you_mean(study.of, trained)}")
        experiment = self.experiments[study.of]
        for variant, words in study.variants.items():
            if not (kept / f"{variant}.json").exists():
                there = [word.format(run=self.folder(experiment, seed)) for word in words]
                made = self.judged_once(experiment, seed, [*there, f"inference.split={study.split}"])
                keep_evaluation(made, kept, variant, self.out)

    def judged_once(self, experiment: Experiment, seed: int, words: list[str]) -> Path:
        """Return the evaluation by these words; several studies may ask for the same one."""
        name = f"judged_{fingerprint(*words)[:8]}"
        record = read_json(self.folder(experiment, seed) / name / "metrics.json")
        done = record and record["results"]
        return self.folder(experiment, seed) / name if done else self.infer(experiment, seed, name, words)

    def infer(self, experiment: Experiment, seed: int, name: str, words: list[str]) -> Path:
        """Make images with ``inference.py`` and judge them; return the folder."""
        folder = self.folder(experiment, seed) / name
        shutil.rmtree(folder, ignore_errors=True)  # of an attempt that did not end
        always = [f"exp.seed={SAMPLING_SEED}", "train.checkpoint_path=latest", f"inference.out_dir={folder}"]
        inference.main([*self.words(experiment, seed), *always, *words])
        return folder

    def words(self, experiment: Experiment, seed: int) -> list[str]:
        folder = self.folder(experiment, seed)
        there = [f"exp.exp_dir={folder.parent}", f"exp.run_name={folder.name}"]
        return [f"exp.config_path={experiment.file}", *there, *self.settings.set]

    def folder(self, experiment: Experiment, seed: int) -> Path:
        return self.out / experiment.name / f"seed{seed}"


if __name__ == "__main__":
    main()
