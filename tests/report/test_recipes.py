"""The published models fit what they promise, and the public recipe is the one it says it is."""

from pathlib import Path

import pytest
import torch
from torch import nn

from training.data import Facts
from training.launch import load_trainer
from training.trainers.base import BaseTrainer
from utils.config import load_tree

ROOT = Path(__file__).parents[2]
CLASSES = tuple(f"dish_{number}" for number in range(101))
PUBLIC = "diffusion/baseline_public.yaml"
OURS = {"diffusion/food101_best.yaml": ("denoiser", 35e6), "gan/food101_best.yaml": ("generator", 12e6)}


def trainer_of(config: str, *words: str, classes: tuple[str, ...] = CLASSES) -> BaseTrainer:
    """Return the trainer of a config for 64 by 64 pixels; nothing is built yet."""
    trainer = load_trainer([f"exp.config_path={ROOT / 'configs' / config}", "exp.device=cpu", *words])
    trainer.check_config()
    trainer.facts = Facts(64, 3, classes, conditional=True)
    return trainer


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def backbone_of_the_public_recipe(*words: str, classes: tuple[str, ...] = CLASSES) -> nn.Module:
    trainer = trainer_of(PUBLIC, *words, classes=classes)
    with torch.device("meta"):  # no memory, no random numbers
        return trainer.roles.build("model", **trainer.facts.offered())


def published(config: str) -> nn.Module:
    """Return the network of ours whose average is published."""
    with torch.device("meta"):
        return trainer_of(config).build_networks()[OURS[config][0]]


def test_the_public_recipe_has_the_131_million_parameters_that_are_published():
    assert round(count(backbone_of_the_public_recipe()) / 1e6) == 131


def test_the_same_settings_at_192_channels_are_adm_s_model_for_imagenet_64():
    """Dhariwal & Nichol 2021, Table 11: 296 M, with 1,000 classes. Its learned variance takes 3 more channels out.

    These are 3 * (192 * 9 + 1) weights of the last layer, which are added here by hand.
    """
    thousand = tuple(map(str, range(1000)))
    ours = backbone_of_the_public_recipe("model_args.base_channels=192", classes=thousand)
    assert round((count(ours) + 3 * (192 * 9 + 1)) / 1e6) == 296


def test_the_public_recipe_asks_the_network_2000_times_for_an_image():
    trainer = trainer_of(PUBLIC, "model_args.base_channels=64", "model_args.channel_mult=[1,1,1,1]")
    trainer.average = trainer.build_networks()["denoiser"]
    trainer.prepare_sampling()
    assert trainer.describe_sampling()["evaluations_per_image"] == 2000


def test_the_numbers_of_the_public_recipe_differ_in_steps_and_seeds_only():
    recipe, numbers = (
        load_tree([f"exp.config_path={ROOT / 'configs' / name}"])
        for name in (PUBLIC, "inference/baseline_public_fid.yaml")
    )
    assert numbers.pop("sampling_levels_args") == {"steps": 250} != recipe.pop("sampling_levels_args")
    for tree in (recipe, numbers):
        tree.pop("exp"), tree.pop("inference", None), tree["train"].pop("val_metrics")
    assert recipe == numbers


@pytest.mark.parametrize("config", OURS)
def test_a_published_model_is_no_larger_than_promised(config):
    assert count(published(config)) <= OURS[config][1]


def test_both_published_models_together_fit_a_hundred_megabytes():
    assert 2 * sum(count(published(config)) for config in OURS) < 100e6  # bytes in bfloat16
