"""Classifier-free guidance: its formula, its interval, its cost, its errors."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

import sampling  # noqa: F401  fills the registries
from models.diffusion.denoisers import DDPMDenoiser, EDMDenoiser
from sampling.guidance import AutoGuidance, ClassifierFreeGuidance
from sampling.levels import KarrasLevels, RespacedLevels
from sampling.registry import samplers_registry
from utils.batch import Condition
from utils.errors import ConfigError
from utils.seeding import ImageRng

NUM_CLASSES = 5
NULL = torch.full((4,), NUM_CLASSES)


class LabelledBackbone(nn.Module):
    """A small net that depends on the image, on the noise and on the label; it counts the images it has seen."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(NUM_CLASSES + 1, 3)
        self.convolution = nn.Conv2d(3, 3, 3, padding=1)
        self.batches: list[int] = []

    def forward(self, x: Tensor, c_noise: Tensor, cond: Condition) -> Tensor:
        self.batches.append(len(x))
        shift = self.embedding(cond.labels) + c_noise[:, None]
        return torch.tanh(self.convolution(x) + shift[:, :, None, None])


@pytest.fixture
def denoiser() -> EDMDenoiser:
    torch.manual_seed(0)
    return EDMDenoiser(LabelledBackbone().requires_grad_(False))


@pytest.fixture
def question() -> tuple[Tensor, Tensor, Condition]:
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return x, torch.full((4,), 2.0), Condition(labels=torch.arange(4))


def test_guidance_is_the_papers_formula_in_one_doubled_batch(denoiser, question):
    x, sigma, cond = question
    with_class, null = denoiser(x, sigma, cond), denoiser(x, sigma, Condition(labels=NULL))
    denoiser.backbone.batches.clear()
    guided = ClassifierFreeGuidance(denoiser, NUM_CLASSES, scale=3.0)(x, sigma, cond)
    torch.testing.assert_close(guided, null + 3.0 * (with_class - null), rtol=1e-5, atol=1e-5)
    assert denoiser.backbone.batches == [8]


def test_scale_one_is_the_conditional_and_scale_zero_the_unconditional_model(denoiser, question):
    x, sigma, cond = question
    for scale, labels in ((1.0, cond.labels), (0.0, NULL)):
        guided = ClassifierFreeGuidance(denoiser, NUM_CLASSES, scale=scale)(x, sigma, cond)
        torch.testing.assert_close(guided, denoiser(x, sigma, Condition(labels=labels)))


def test_a_guided_output_is_the_output_that_gives_the_guided_image(denoiser, question):
    x, sigma, cond = question
    prediction = ClassifierFreeGuidance(denoiser, NUM_CLASSES, scale=2.5).predict(x, sigma, cond)
    c_skip, c_out = 0.25 / 4.25, 2 * 0.5 / 4.25**0.5  # Karras et al. 2022, Table 1, at sigma = 2, sigma_data = 0.5
    torch.testing.assert_close(prediction.denoised, c_skip * x + c_out * prediction.output)


@pytest.mark.parametrize("sigma, guided", [(0.2, False), (0.28, True), (1.0, True), (5.3, True), (5.4, False)])
def test_guidance_acts_inside_its_interval_both_ends_included(sigma, guided, denoiser, question):
    x, _, cond = question
    sigma = torch.full((4,), sigma)
    limited = ClassifierFreeGuidance(denoiser, NUM_CLASSES, scale=3.0, interval=[0.28, 5.3])
    everywhere = ClassifierFreeGuidance(denoiser, NUM_CLASSES, scale=3.0)
    torch.testing.assert_close(limited(x, sigma, cond), (everywhere if guided else denoiser)(x, sigma, cond))
    denoiser.backbone.batches.clear()
    limited(x, sigma, cond)
    assert denoiser.backbone.batches == [8 if guided else 4]


def test_images_of_one_batch_may_lie_inside_and_outside_the_interval(denoiser, question):
    x, _, cond = question
    sigma = torch.tensor([0.1, 1.0, 2.0, 50.0])
    limited = ClassifierFreeGuidance(denoiser, NUM_CLASSES, scale=3.0, interval=[0.5, 10])(x, sigma, cond)
    guided = ClassifierFreeGuidance(denoiser, NUM_CLASSES, scale=3.0)(x, sigma, cond)
    unguided = denoiser(x, sigma, cond)
    torch.testing.assert_close(limited, torch.stack([unguided[0], guided[1], guided[2], unguided[3]]))


@pytest.mark.parametrize("interval", [None, [0.3, 5.0]])
def test_the_stated_cost_is_the_number_of_images_that_the_network_saw(interval, denoiser, question):
    x, _, cond = question
    guided = ClassifierFreeGuidance(denoiser, NUM_CLASSES, interval=interval)
    levels = KarrasLevels(10).levels(guided)
    sampler = samplers_registry["euler"]()
    sampler(guided, x, cond, levels, ImageRng(0, range(4)))
    seen = sum(denoiser.backbone.batches) / len(x)
    assert guided.evaluations(levels) * sampler.evaluations(10) == pytest.approx(seen)
    assert seen == 20 if interval is None else 10 < seen < 20


@pytest.mark.parametrize("name", samplers_registry)
def test_every_sampler_takes_a_guided_denoiser_for_a_denoiser(name, question):
    torch.manual_seed(0)
    denoiser = DDPMDenoiser(LabelledBackbone(), num_steps=100)
    guided = ClassifierFreeGuidance(denoiser, NUM_CLASSES, scale=1.0)
    levels = RespacedLevels(5).levels(guided)
    x, _, cond = question
    images = [samplers_registry[name]()(model, x, cond, levels, ImageRng(0, range(4))) for model in (denoiser, guided)]
    torch.testing.assert_close(*images, rtol=1e-4, atol=1e-3)


def test_tokens_and_images_of_the_condition_are_kept_in_both_halves(denoiser):
    cond = Condition(labels=torch.arange(4), tokens=torch.randn(4, 2, 8), image=torch.randn(4, 3, 8, 8))
    twice = ClassifierFreeGuidance(denoiser, NUM_CLASSES).with_null(cond)
    assert twice.labels.tolist() == [0, 1, 2, 3, 5, 5, 5, 5]
    assert torch.equal(twice.tokens, cond.tokens.repeat(2, 1, 1))
    assert torch.equal(twice.image, cond.image.repeat(2, 1, 1, 1))


def test_guiding_a_model_without_classes_is_an_error(denoiser):
    with pytest.raises(ConfigError, match="'cfg' needs a model with classes: this one is unconditional"):
        ClassifierFreeGuidance(denoiser, num_classes=0)


@pytest.mark.parametrize("cond", [None, Condition()])
def test_guidance_without_labels_is_an_error(cond, denoiser, question):
    x, sigma, _ = question
    with pytest.raises(ConfigError, match="'cfg' needs labels"):
        ClassifierFreeGuidance(denoiser, NUM_CLASSES)(x, sigma, cond)


@pytest.mark.parametrize("interval", [[1.0], [2.0, 1.0], [0.1, 0.2, 0.3]])
def test_an_interval_that_is_none_is_an_error(interval, denoiser):
    with pytest.raises(ConfigError, match="interval must be two noise levels, the lower first"):
        ClassifierFreeGuidance(denoiser, NUM_CLASSES, interval=interval)


def weaker_than(denoiser: EDMDenoiser) -> EDMDenoiser:
    guide = deepcopy(denoiser)
    for parameter in guide.parameters():
        parameter.mul_(0.9)
    return guide


def test_autoguidance_goes_from_the_weak_model_past_the_better_one(denoiser):
    guide = weaker_than(denoiser)
    x, sigma, cond = torch.randn(4, 3, 8, 8), torch.tensor([0.1, 0.5, 2.0, 9.0]), Condition(labels=torch.arange(4))
    weak, better = guide(x, sigma, cond), denoiser(x, sigma, cond)
    guided = AutoGuidance(denoiser, guide, scale=2.5, interval=[0.3, 5.0])(x, sigma, cond)
    torch.testing.assert_close(guided[1:3], (weak + 2.5 * (better - weak))[1:3])
    torch.testing.assert_close(guided[[0, 3]], better[[0, 3]])  # outside of the interval


def test_a_guide_that_is_the_model_itself_changes_nothing_and_costs_as_much(denoiser):
    x, sigma, cond = torch.randn(4, 3, 8, 8), torch.ones(4), Condition(labels=torch.arange(4))
    guided = AutoGuidance(denoiser, deepcopy(denoiser), scale=3.0)
    torch.testing.assert_close(guided(x, sigma, cond), denoiser(x, sigma, cond))
    assert guided.evaluations(torch.tensor([2.0, 1.0, 0.0])) == 2


def test_autoguidance_without_a_guide_says_how_to_name_one(denoiser):
    with pytest.raises(ConfigError, match=r"train\.guide_path=CHECKPOINT"):
        AutoGuidance(denoiser, guide=None)
