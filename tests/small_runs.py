"""Real runs for the reports, a few steps long: two experiments and a sampling study of diffusion, a GAN, two seeds."""

from pathlib import Path

import pytest
import yaml

from metrics.registry import features_registry
from report.experiments import Runner, Settings, find_experiments
from tests.evaluation.conftest import Colours
from tests.helpers import write_image_folder
from tests.runs import write_config

HEADERS = {
    "plain": "# Question: does it run?\n# Observed: nothing\n# Hypothesis: it runs\n# Change: none\n# Baseline: none\n",
    "wide": "# Observed: plain runs\n# Hypothesis: wider is better,\n#   or not\n# Change: width\n# Expected: better\n"
    "# Baseline: plain\n# Conclusion: as expected\n# Next: nothing\n",
    "dcgan": "# Observed: nothing\n# Baseline: none\n",
}
STUDY = {"of": "plain", "variants": {"few": ["sampling_levels_args.steps=2"], "more": ["sampling_levels_args.steps=4"]}}
JUDGED = {
    "train.val_metrics": ["fid", "prdc"],
    "train.val_num_images": 8,
    "train.steps": 4,
    "train.val_step": 2,
    "data.dataset": "base_dataset",
    "data.dev_per_class": 4,
    "dataset_args": {"classes": ["cake", "soup"]},
    "metrics_args": {"fid": {"network": "colours"}},
}


def experiment(folder: Path, family: str, name: str, changes: dict) -> None:
    """Write the config of an experiment, header first."""
    file = write_config(folder, family, JUDGED | changes)
    text = HEADERS[name] + file.read_text()
    file.unlink()
    (folder / family).mkdir(exist_ok=True)
    (folder / family / f"{name}.yaml").write_text(text)


@pytest.fixture(scope="package")
def experiments_folder(tmp_path_factory) -> Path:
    folder, data = tmp_path_factory.mktemp("experiments"), tmp_path_factory.mktemp("data")
    for seed, (split, count) in enumerate((("train", 12), ("test", 4))):
        write_image_folder(data / split, {"cake": count, "pizza": 1, "soup": count}, seed=seed)
    there = {"data.input_train_dir": str(data / "train"), "data.input_val_dir": str(data / "test")}
    experiment(folder, "diffusion", "plain", there)
    experiment(folder, "diffusion", "wide", there | {"model_args.base_channels": 16})
    experiment(folder, "gan", "dcgan", there)
    text = "# Question: how many steps?\n# Hypothesis: four are better\n" + yaml.safe_dump(STUDY)
    (folder / "diffusion" / "steps.yaml").write_text(text)
    return folder


@pytest.fixture(scope="package")
def colours_judge():
    """Judges by mean colours, which need no weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(features_registry.classes, "colours", Colours)
        yield


@pytest.fixture(scope="package")
def kept(tmp_path_factory, experiments_folder, colours_judge) -> Path:
    """What ``report.experiments`` keeps of real runs; their run folders are beside it."""
    home = tmp_path_factory.mktemp("reports")
    words = ["exp.device=cpu"]
    settings = Settings(out=str(home / "runs"), keep=str(home / "kept"), configs=str(experiments_folder), set=words)
    experiments = find_experiments(experiments_folder)
    runner = Runner(settings, experiments)
    for seed in range(2):
        for it in experiments.values():
            runner.run(it, seed)
    return home / "kept"
