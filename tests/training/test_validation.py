"""What looking costs: at most a tenth of the time by default, told where it is more, and nobody pays for it twice."""

import json
import re

import pytest

import train
from metrics.registry import features_registry
from report.models import PAGE, ROOT, configs
from tests.evaluation.conftest import Colours
from tests.helpers import one_error_line, trainer_of
from tests.runs import GENERATIVE, words, write_config
from training.launch import load_trainer
from training.predictions import HeldOutValidation
from training.speed import passes_per_image
from training.trainers.base import BaseTrainer
from training.trainers.diffusion import BaseDiffusionTrainer
from training.trainers.generative import GenerativeTrainer
from training.validation import COLUMNS, ROWS

JUDGED = {"train.val_metrics": ["fid"], "metrics_args": {"fid": {"network": "colours"}}}
INCEPTION = 5.71e9  # multiply-adds of an image at 299x299 (Szegedy et al. 2016: "5 billion")
DEV_SET = 20 * 101  # images of Food-101


class Counting(Colours):
    """Mean colours that remember how many images they were asked about."""

    seen: list[int] = []

    def forward(self, images):
        self.seen.append(len(images))
        return super().forward(images)


@pytest.fixture
def seen(monkeypatch, tmp_path) -> list[int]:
    monkeypatch.setitem(features_registry.classes, "colours", Counting)
    monkeypatch.setenv("MISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Counting, "seen", [])
    return Counting.seen


@pytest.mark.parametrize("family", [*GENERATIVE, "autoencoder"])
def test_real_images_are_seen_once_before_the_first_step_and_no_validation_pays_for_it(family, seen, tmp_path):
    judged, few = (8, {"train.val_num_images": 8}) if family in GENERATIVE else (10, {})
    config = write_config(tmp_path, family, {**JUDGED, **few, "data.dev_per_class": 1})
    train.main(words(config, tmp_path / "runs"))
    assert seen == [10, judged, judged]  # the dev set of ten classes; what each of the two validations made
    timing = [json.loads(line) for line in (tmp_path / "runs" / family / "timing.jsonl").read_text().splitlines()]
    assert "share_reference" in timing[0] and "share_validation" not in timing[0]
    train.main(words(config, tmp_path / "runs"))  # it is finished: there is nothing to look at
    assert seen == [10, judged, judged]


@pytest.mark.parametrize("family", GENERATIVE)
def test_missing_weights_of_fid_stop_a_run_before_it_writes_anything_and_say_what_to_do(family, capsys, tmp_path):
    wrong = ["train.val_metrics=[fid]", f"metrics_args.fid.weights_path={tmp_path / 'nowhere.pth'}"]
    line = one_error_line(
        capsys, train.main, words(write_config(tmp_path, family), tmp_path / "runs", *wrong), status=3
    )
    assert "nowhere.pth cannot be read" in line and "train.val_metrics=[] does without metrics" in line
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("share", "fix"), [(0.25, "train.val_step=300 "), (0.5, "train.val_step=900 ")])
def test_a_validation_that_takes_too_long_is_told_once_with_the_interval_that_would_do(share, fix):
    """Of 100 steps and a validation a quarter of the time is the validation's: 300 steps take nine times as long."""
    validation, said = HeldOutValidation(None, None, {}, 1), []
    for now in (0.1, share, share):
        validation.warn(now, val_step=100, say=said.append)
    assert len(said) == 1 and f"has taken {share:.0%} of the time so far: {fix}would keep it to 10%" in said[0]


def multiply_adds(name: str) -> list[float]:
    """Return what one pass of each network of a config costs, as docs/models.md has it (a test holds that page)."""
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{name}` |"))
    return [float(number) * 1e9 for number in re.findall(r"([\d.]+) G", row)]


def evaluations(trainer: BaseTrainer) -> int:
    """Return the passes that a quick image takes."""
    if not isinstance(trainer, BaseDiffusionTrainer):
        return 1
    steps = min(trainer.config.train.val_sampling_steps, trainer.roles.build("sampling_levels").steps)
    return trainer.roles.build("sampler").evaluations(steps)


def counted_share(trainer: BaseTrainer, costs: list[float]) -> float:
    """Return the part that validations have in a run's multiply-adds: what can be known without a clock."""
    train_section, count = trainer.config.train, DEV_SET
    judged = bool({"fid", "kid", "prdc"} & set(train_section.val_metrics))
    if isinstance(trainer, GenerativeTrainer):
        count = ROWS * COLUMNS + judged * train_section.val_num_images
    passes = passes_per_image(trainer.batches_per_step)
    players = passes.values() if len(costs) == 2 else [3]
    images = trainer.config.data.train_batch_size * trainer.batches_per_step * train_section.val_step
    training = images * sum(times * cost for times, cost in zip(players, costs, strict=True))
    looking = count * evaluations(trainer) * costs[0] + judged * count * INCEPTION
    return looking / (looking + training)


@pytest.mark.parametrize("file", configs(), ids=lambda path: path.stem)
def test_validation_is_at_most_a_tenth_of_what_a_shipped_config_computes(file):
    trainer, costs = (
        load_trainer([f"exp.config_path={file}"]),
        multiply_adds(str(file.relative_to(ROOT / "configs"))[:-5]),
    )
    if not costs:
        pytest.skip("latent diffusion: its networks cannot be built without a codec")
    assert 0 < counted_share(trainer, costs) < 0.1


@pytest.mark.parametrize("family", GENERATIVE)
def test_by_default_a_network_need_not_be_large_for_that(family, tmp_path):
    """The smallest networks of the shipped configs, DCGAN's for the CPU, have 0.027 billion multiply-adds."""
    unset = [
        "train.val_step",
        "data.train_batch_size",
        *(["train.val_sampling_steps"] if family == "diffusion" else []),
    ]
    changes = {"train.val_metrics": ["fid", "kid"], **dict.fromkeys(unset)}
    trainer = trainer_of(tmp_path, family, changes=changes)
    assert counted_share(trainer, [0.025e9] * len(trainer.optimizer_roles)) < 0.1
