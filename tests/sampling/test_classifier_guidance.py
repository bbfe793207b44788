"""Classifier guidance, held against data for which every part of it is known in closed form."""

import pytest
import torch
from torch import Tensor, nn

import sampling  # noqa: F401  fills the registries
from models.diffusion.denoisers import Prediction
from sampling.guidance import ClassifierGuidance
from sampling.levels import KarrasLevels
from sampling.registry import samplers_registry
from utils.batch import Condition
from utils.errors import ConfigError
from utils.seeding import ImageRng

WIDTH = 0.5  # of each class
SHAPE = (4, 3, 2, 2)
LABELS = torch.tensor([0, 1, 1, 0])


class TwoGaussians(nn.Module):
    """The ideal denoiser and the ideal classifier of data that is N(mean_0, WIDTH^2 I) or N(mean_1, WIDTH^2 I) alike.

    With noise, a class is N(mean_k, (WIDTH^2 + sigma^2) I): the logits -|x - mean_k|^2 / 2 (WIDTH^2 + sigma^2) differ
    by what is linear in x.
    """

    sigma_min, sigma_max, table = 0.05, 20.0, None

    def __init__(self):
        super().__init__()
        self.means = torch.randn(2, *SHAPE[1:], generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def logits(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the classifier's logits [N, 2], without the part that both share."""
        linear = torch.einsum("nchw,kchw->nk", x, self.means) - self.means.flatten(1).square().sum(1) / 2
        return linear / (WIDTH**2 + sigma**2)[:, None]

    def of_class(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """Return E[clean | x, label]."""
        mean = self.means[labels]
        return mean + (WIDTH**2 / (WIDTH**2 + sigma**2)).view(-1, 1, 1, 1) * (x - mean)

    def predict(self, x: Tensor, sigma: Tensor, cond: Condition | None = None) -> Prediction:
        """Return E[clean | x] of an unconditional model: the classes' guesses, weighed by p(class | x)."""
        each = [self.of_class(x, sigma, torch.full((len(x),), k)) for k in range(2)]
        p = self.logits(x, sigma).softmax(dim=1)[:, :, None, None, None]  # [N, 2, 1, 1, 1]
        return Prediction((p * torch.stack(each, dim=1)).sum(dim=1), torch.zeros_like(x))

    def forward(self, x: Tensor, sigma: Tensor, cond: Condition | None = None) -> Tensor:
        return self.predict(x, sigma, cond).denoised


class Classifier(nn.Module):
    def __init__(self, data: TwoGaussians):
        super().__init__()
        self.data = data

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.data.logits(x, sigma)


@pytest.fixture
def data() -> TwoGaussians:
    return TwoGaussians()


def guided(data: TwoGaussians, scale: float = 1.0, interval: list[float] | None = None) -> ClassifierGuidance:
    return ClassifierGuidance(data, Classifier(data), scale, interval)


def noisy(sigma: float) -> tuple[Tensor, Tensor]:
    x = sigma * torch.randn(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x, torch.full((SHAPE[0],), sigma, dtype=torch.float64)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 10.0])
def test_the_ideal_classifier_turns_the_unconditional_denoiser_into_the_conditional_one(sigma, data):
    """By Bayes' rule, at scale 1."""
    x, sigmas = noisy(sigma)
    found = guided(data)(x, sigmas, Condition(LABELS))
    torch.testing.assert_close(found, data.of_class(x, sigmas, LABELS))
    assert not torch.allclose(found, data(x, sigmas), atol=1e-3)


def test_scale_multiplies_the_step_and_zero_is_no_guidance(data):
    x, sigmas = noisy(1.0)
    plain, once = data(x, sigmas), guided(data)(x, sigmas, Condition(LABELS))
    assert torch.equal(guided(data, 0.0)(x, sigmas, Condition(LABELS)), plain)
    torch.testing.assert_close(guided(data, 3.0)(x, sigmas, Condition(LABELS)), plain + 3 * (once - plain))


def test_outside_its_interval_the_denoiser_alone_answers(data):
    x, sigmas = noisy(1.0)
    sigmas[:2] = 3.0
    found = guided(data, 5.0, [0.5, 2.0])(x, sigmas, Condition(LABELS))
    torch.testing.assert_close(found[:2], data(x, sigmas)[:2])
    torch.testing.assert_close(found[2:], guided(data, 5.0)(x, sigmas, Condition(LABELS))[2:])


def test_its_cost_is_two_passes_of_the_classifier_by_the_parameters():
    denoiser, classifier = nn.Linear(3, 3), nn.Linear(5, 1)  # 12 and 6 parameters
    denoiser.sigma_min, denoiser.sigma_max = 0.1, 1.0
    assert ClassifierGuidance(denoiser, classifier).evaluations(torch.tensor([1.0, 0.5, 0.0])) == 1 + 2 * 6 / 12


def test_the_gradient_is_taken_under_a_sampler_that_keeps_none(data):
    x, sigmas = noisy(1.0)
    with torch.no_grad():
        found = guided(data)(x, sigmas, Condition(LABELS))
    assert not found.requires_grad and not x.requires_grad
    torch.testing.assert_close(found, data.of_class(x, sigmas, LABELS))


def test_guided_samples_are_those_of_the_class(data):
    """Heun's steps end where the ideal conditional denoiser's end: within a few widths of the label's mean."""
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    model = guided(data)
    levels = KarrasLevels(40).levels(model)
    images = samplers_registry["heun"]()(model, x, Condition(LABELS), levels, ImageRng(0, range(4)))
    own = (images - data.means[LABELS]).flatten(1).norm(dim=1)
    other = (images - data.means[1 - LABELS]).flatten(1).norm(dim=1)
    assert (own < other).all() and (own < 4 * WIDTH * 12**0.5).all()


@pytest.mark.parametrize("name", samplers_registry)
def test_every_sampler_takes_it_for_a_denoiser(name, data):
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    model = guided(data, 0.0)
    levels = KarrasLevels(5).levels(model)
    runs = [samplers_registry[name]()(m, x, Condition(LABELS), levels, ImageRng(0, range(4))) for m in (model, data)]
    torch.testing.assert_close(*runs)


def test_what_it_cannot_guide_is_an_error(data):
    with pytest.raises(ConfigError, match="'classifier' needs one, trained with train.levels"):
        ClassifierGuidance(data, None)
    with pytest.raises(ConfigError, match="needs labels to guide to"):
        guided(data)(*noisy(1.0), Condition())
