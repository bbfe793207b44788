"""Moves of the GAN trainer: several discriminator updates a step, augmentation before it, and R3GAN's whole recipe."""

import json

import pytest
import torch

import train
from tests.crashes import Crash, assert_same, final_state, run
from tests.helpers import trainer_of
from tests.runs import words, write_config
from training.disc_augment import DiffAugment
from training.registry import disc_augments_registry

NETWORK = {"widths": [16, 16, 8], "blocks_per_stage": 1, "group_size": 8}
R3GAN = {
    "train.generator": "r3gan",
    "train.discriminator": "r3gan",
    "train.gen_optimizer": "burn_in_adam",
    "train.disc_optimizer": "burn_in_adam",
    "train.disc_steps": 2,
    "train.disc_augment": "diffaugment",
    "train.schedule": "cosine",
    "schedule_args": {"final": 0.25, "until": 0.5},
    "generator_args": {"z_dim": 8, **NETWORK},
    "discriminator_args": NETWORK,
    "gen_optimizer_args": {"until": 0.5},
    "disc_optimizer_args": {"until": 0.5},
    "gen_losses": {"fragile_relativistic": 1.0},
    "disc_losses": {"relativistic_disc": 1.0, "r1": 2.0, "r2": 2.0},
    "losses_args": {"r1": {"final": 0.1, "until": 0.5}, "r2": {"final": 0.1, "until": 0.5, "interval": 3}},
}
SPECTRAL = {
    "train.generator": "sagan",
    "train.discriminator": "sngan",
    "train.disc_steps": 2,
    "generator_args": {"z_dim": 8, "base_channels": 8, "max_channels": 16, "attention_resolution": 8},
    "discriminator_args": {"base_channels": 8, "max_channels": 16},
    "gen_losses": {"fragile_softplus": 1.0},
    "disc_losses": {"wasserstein_disc": 1.0, "gradient_penalty": 10.0},
    "losses_args": None,
}
RECIPES = {"r3gan": R3GAN, "spectral": SPECTRAL}


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_that_crashed_ends_in_the_same_bits_with_all_that_a_recipe_has(name, tmp_path):
    """Two updates a step, augmentation, schedules of all kinds; power iterations and interpolates."""
    config = write_config(tmp_path, "gan", {**RECIPES[name], "train.val_metrics": []})
    run(config, tmp_path / "unbroken")
    with pytest.raises(Crash):
        run(config, tmp_path / "broken", crash_at=5)
    run(config, tmp_path / "broken")
    assert_same(final_state(tmp_path / "unbroken", "gan"), final_state(tmp_path / "broken", "gan"))
    logs = [(tmp_path / place / "gan" / "metrics.jsonl").read_text() for place in ("unbroken", "broken")]
    assert logs[0] == logs[1]


def test_several_discriminator_updates_take_new_images_each_and_all_count_as_seen(tmp_path):
    """Seven steps of three updates on 8 images: 168 seen; Adam has taken 21 steps and 7."""
    trainer = trainer_of(tmp_path, "gan", "train.disc_steps=3")
    trainer.setup()
    trainer.training_loop()
    assert trainer.images_seen == 7 * 3 * 8
    taken = {
        name: {int(state["step"]) for state in updater.optimizer.state.values()}
        for name, updater in trainer.updaters.items()
    }
    assert taken == {"discriminator": {21}, "generator": {7}}


def test_a_lazy_penalty_counts_the_discriminator_s_own_updates(tmp_path):
    """Of updates 0 to 13, in steps of two, every third has it: in the steps 0, 1, 3, 4 and 6, and never in 2 and 5."""
    changes = {"train.disc_steps": 2, "train.log_step": 1, "losses_args": {"r1": {"interval": 3}}}
    train.main(words(write_config(tmp_path, "gan", changes), tmp_path))
    lines = [json.loads(line) for line in (tmp_path / "gan" / "metrics.jsonl").read_text().splitlines()]
    logged = {line["step"]: "r1" in line for line in lines if "softplus_disc" in line}
    assert logged == {1: True, 2: True, 3: False, 4: True, 5: True, 6: False, 7: True}


@disc_augments_registry.add_to_registry(name="recorded")
class Recorded(DiffAugment):
    """Keeps the numbers of each call."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __call__(self, images: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        self.seen.append((len(images), uniform))
        return super().__call__(images, uniform)


def recorded(tmp_path, *overrides: str) -> list:
    trainer = trainer_of(tmp_path, "gan", "train.disc_augment=recorded", "train.steps=1", *overrides)
    trainer.setup()
    trainer.training_loop()
    return trainer.disc_augment.seen


def test_both_players_are_shown_augmented_images_with_numbers_of_their_own(tmp_path):
    """The discriminator's move: real and generated; the generator's: generated only."""
    calls = recorded(tmp_path)
    assert [count for count, _ in calls] == [8, 8, 8]
    assert len({tuple(numbers.flatten().tolist()) for _, numbers in calls}) == 3


def test_two_halves_of_the_batch_are_augmented_as_the_whole(tmp_path):
    for name in ("whole", "halves"):
        (tmp_path / name).mkdir()
    whole = recorded(tmp_path / "whole")
    halves = recorded(tmp_path / "halves", "train.accumulate=2")
    joined = [torch.cat([halves[i][1] for i in pair]) for pair in ((0, 2), (1, 3), (4, 5))]
    assert all(torch.equal(a, b) for a, (_, b) in zip(joined, whole, strict=True))
