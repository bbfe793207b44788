"""Functions that a person calls by hand: other shapes, types and empty batches are a ValueError with what came."""

import re

import pytest
import torch

import models  # noqa: F401 - fills the registries
import sampling  # noqa: F401
from metrics.base import PredictionOutcome, SetMetric, SetOutcome
from metrics.classification import Classification
from metrics.fid import FID
from metrics.registry import metrics_registry
from models.diffusion.base_diffusion import BaseDiffusion
from models.registry import (
    classifiers_registry,
    denoisers_registry,
    diffusion_models_registry,
    discs_registry,
    gens_registry,
)
from sampling.registry import samplers_registry
from utils.batch import Condition
from utils.images import class_grid, image_grid, labelled_grid, to_float, to_uint8, write_png
from utils.seeding import ImageRng

N, C, SIZE, Z, CLASSES = 2, 3, 16, 8, 4
LABELS = torch.tensor([0, 3])
X = torch.zeros(N, C, SIZE, SIZE)
BAD_IMAGES = {
    "not float": X.to(torch.uint8),
    "no batch": X[0],
    "empty": X[:0],
    "too many dimensions": X[None],
    "nothing": torch.tensor(0.0),
}
WRONG_CHANNELS = {"other channels": torch.zeros(N, C + 2, SIZE, SIZE), "odd size": torch.zeros(N, C, 17, 17)}
BAD_ROWS = {
    "too few": torch.ones(N - 1),
    "too many": torch.ones(N + 1),
    "one number": torch.tensor(1.0),
    "a table": torch.ones(N, 1),
    "whole numbers": torch.ones(N, dtype=torch.int64),
    "empty": torch.ones(0),
}
BAD_LABELS = {
    **{name: rows.long() for name, rows in BAD_ROWS.items() if name != "whole numbers"},
    "floats": torch.ones(N),
}


def small_network(cls: type, image_size: int, image_channels: int, num_classes: int) -> torch.nn.Module:
    return cls(
        image_size=image_size, image_channels=image_channels, num_classes=num_classes, **getattr(cls, "smallest", {})
    )


def refused(call, *arguments, came: torch.Tensor | None = None) -> None:
    """Make the call; it must be refused with the type and shape of what came."""
    with pytest.raises(ValueError) as error:
        call(*arguments)
    if came is not None:
        assert f"{came.dtype} {list(came.shape)}" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", discs_registry)
def test_discriminators(name):
    network = small_network(discs_registry[name], SIZE, C, CLASSES)
    network(X, Condition(LABELS))
    for images in (BAD_IMAGES | WRONG_CHANNELS).values():
        refused(network, images, Condition(LABELS), came=images)
    for labels in BAD_LABELS.values():
        refused(network, X, Condition(labels), came=labels)


@pytest.mark.parametrize("name", gens_registry)
def test_generators(name):
    network = small_network(gens_registry[name], SIZE, C, CLASSES)
    z = torch.zeros(N, network.z_dim)
    network(z, Condition(LABELS))
    for latents in (z[:0], z[0], z[:, 1:], z.long(), z[None], torch.tensor(0.0)):
        refused(network, latents, Condition(LABELS), came=latents)
    for labels in BAD_LABELS.values():
        refused(network, z, Condition(labels), came=labels)


@pytest.mark.parametrize("name", diffusion_models_registry)
def test_networks_of_diffusion_models(name):
    network = small_network(diffusion_models_registry[name], SIZE, C, CLASSES)
    c_noise = torch.ones(N)
    network(X, c_noise, Condition(LABELS))
    for images in (BAD_IMAGES | WRONG_CHANNELS).values():
        refused(network, images, c_noise, Condition(LABELS), came=images)
    for numbers in BAD_ROWS.values():
        refused(network, X, numbers, Condition(LABELS), came=numbers)
    for labels in BAD_LABELS.values():
        refused(network, X, c_noise, Condition(labels), came=labels)


@pytest.mark.parametrize("name", classifiers_registry)
def test_classifiers(name):
    network = small_network(classifiers_registry[name], SIZE, C, CLASSES)
    for images in (BAD_IMAGES | WRONG_CHANNELS).values():
        refused(network, images, came=images)


def denoiser_of(name: str) -> torch.nn.Module:
    backbone = BaseDiffusion(image_size=SIZE, image_channels=C, num_classes=0, hidden_dim=16, blocks_num=1)
    return denoisers_registry[name](backbone)


@pytest.mark.parametrize("name", denoisers_registry)
def test_denoisers(name):
    denoiser, sigma = denoiser_of(name), torch.ones(N)
    for images in BAD_IMAGES.values():
        refused(denoiser, images, sigma, came=images)
    for numbers in BAD_ROWS.values():
        refused(denoiser, X, numbers, came=numbers)


BAD_LEVELS = {
    "ends below 0": torch.tensor([2.0, 1.0, -1.0]),
    "rises": torch.tensor([1.0, 2.0, 0.0]),
    "stays": torch.tensor([1.0, 1.0, 0.0]),
    "one": torch.tensor([0.0]),
    "none": torch.ones(0),
    "a table": torch.ones(2, 2),
    "not a number": torch.tensor([float("nan"), 0.0]),
}


@pytest.mark.parametrize("name", samplers_registry)
def test_samplers(name):
    sampler, denoiser, rng = samplers_registry[name](), denoiser_of("edm"), ImageRng(0, range(N))
    levels = torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64)
    assert sampler(denoiser, X, None, levels, rng).shape == X.shape
    for noise in (X.to(torch.uint8), X[:0], X[0, 0, 0], torch.tensor(0.0)):  # what is denoised may have any shape
        refused(sampler, denoiser, noise, None, levels, rng, came=noise)
    for bad in BAD_LEVELS.values():
        refused(sampler, denoiser, X, None, bad, rng, came=bad)


SET_METRICS = [name for name in metrics_registry if issubclass(metrics_registry[name], SetMetric)]


@pytest.mark.parametrize("name", SET_METRICS)
def test_metrics_of_sets(name):
    good = torch.randn(12, 4)
    for bad in (good.double(), good[0], good[None], torch.tensor(0.0)):
        with pytest.raises(ValueError, match=re.escape(str(tuple(bad.shape)))):
            metrics_registry[name]().update(SetOutcome(bad, good))
    for real, fake in ((good[:0], good), (good, good[:1]), (None, good), (good * float("inf"), good)):
        metric = metrics_registry[name]()
        with pytest.raises(ValueError, match="not 0|not 1|not finite"):
            metric.update(SetOutcome(real, fake))
            metric.compute()
    metric = FID()
    metric.update(SetOutcome(good, good))
    metric.update(SetOutcome(good[:, 1:]))
    refused(metric.compute)


def test_metrics_of_predictions():
    logits = torch.zeros(N, CLASSES)
    for labels in BAD_LABELS.values():
        refused(Classification().update, PredictionOutcome(logits, labels), came=labels)
    for bad in (logits[0], logits[None], torch.tensor(0.0)):
        refused(Classification().update, PredictionOutcome(bad, LABELS), came=bad)
    refused(Classification().update, PredictionOutcome(logits, LABELS + 1))
    refused(Classification().compute)


def test_pictures(tmp_path):
    pictures = X.to(torch.uint8)
    refused(to_float, X, came=X)
    refused(to_uint8, pictures, came=pictures)
    for bad in (X, pictures[0], pictures[:0]):
        refused(image_grid, bad, came=bad)
    for bad in (pictures, X[0], pictures[0, 0], pictures[0, :2], pictures[0, :, :0]):
        refused(write_png, bad, tmp_path / "a.png", came=bad)
    refused(labelled_grid, [])
    for labels in BAD_LABELS.values():
        refused(class_grid, pictures, labels, ["a", "b", "c", "d"], came=labels)
    for labels in (LABELS, LABELS - 1):
        refused(class_grid, pictures, labels, ["a", "b"])
    assert list(tmp_path.iterdir()) == []
