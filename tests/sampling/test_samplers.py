"""Samplers against closed forms on Gaussian data, and the promises that every sampler makes."""

import math

import pytest
import torch
from torch import nn

import sampling  # noqa: F401  fills the registries
from models.diffusion.denoisers import Prediction
from sampling.levels import KarrasLevels
from sampling.registry import samplers_registry
from sampling.samplers import DDIMSampler, DDPMSampler, DPMPlusPlus2MSampler, EulerSampler, HeunSampler
from utils.errors import ConfigError
from utils.schema import check_arguments
from utils.seeding import ImageRng

every_sampler = pytest.mark.parametrize("name", samplers_registry)
STOCHASTIC = [DDPMSampler(clip=False), DDIMSampler(eta=1, clip=False), DDIMSampler(eta=0.5, clip=False)]
CHURNED = HeunSampler(s_churn=30)


class Impulses:
    """An rng whose image i draws 1 the i-th time it is asked, else 0.

    A sampler on Gaussian data is affine in its random numbers, so from these impulses its output's exact variance
    follows: the sum of squared responses. No statistics, no tolerance for luck.
    """

    def __init__(self, images: int):
        self.images, self.draws = images, 0

    def randn(self, shape, device="cpu") -> torch.Tensor:
        self.draws += 1
        column = torch.zeros(self.images, *shape, dtype=torch.float64)
        column[self.draws] = 1
        return column


def exact_variance(sampler, denoiser, levels) -> float:
    """Return the variance of a sampler's output over its start noise (image 0) and its fresh noise (the others)."""
    images = len(levels) + 1
    start = torch.zeros(images, 1, 1, 1, dtype=torch.float64)
    start[0] = 1
    responses = sampler(denoiser, start, None, levels, Impulses(images)).flatten()
    at_rest = sampler(denoiser, torch.zeros(1, 1, 1, 1).double(), None, levels, ZeroNoise())
    return ((responses - at_rest.flatten()) ** 2).sum().item()


class ZeroNoise:
    def randn(self, shape, device="cpu") -> torch.Tensor:
        return torch.zeros(1, *shape, dtype=torch.float64)


@pytest.mark.parametrize(
    "sampler, order",
    [(EulerSampler(), 1), (DDIMSampler(clip=False), 1), (HeunSampler(), 2), (DPMPlusPlus2MSampler(), 2)],
    ids=lambda value: type(value).__name__,
)
def test_a_deterministic_sampler_converges_to_the_closed_form_with_its_order(sampler, order, gaussian, noise):
    denoiser = gaussian()
    expected = denoiser.flow(denoiser.sigma_max * noise, denoiser.sigma_max, denoiser.sigma_min)
    errors = []
    for steps in (100, 200, 400):
        levels = KarrasLevels(steps + 1).levels(denoiser)[:-1]  # from sigma_max to sigma_min
        errors.append((sampler(denoiser, noise, None, levels, None) - expected).abs().max().item())
    assert errors[0] < 0.1
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(2**order, rel=0.05)


@pytest.mark.parametrize("sampler", [*STOCHASTIC, DDPMSampler("large", clip=False)], ids=lambda s: str(vars(s)))
def test_the_variance_of_a_stochastic_sampler_converges_to_the_data_with_order_one(sampler, gaussian):
    denoiser = gaussian()
    marginal = denoiser.width**2 + denoiser.sigma_min**2  # of the data with noise of sigma_min left
    errors = []
    for steps in (200, 400, 800):
        levels = KarrasLevels(steps + 1).levels(denoiser)[:-1]
        errors.append(abs(exact_variance(sampler, denoiser, levels) - marginal))
    assert errors[0] < 0.1 * marginal
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.05)


def test_the_variance_of_heun_with_churn_converges_to_the_data_with_order_two(gaussian):
    denoiser = gaussian()
    marginal = denoiser.width**2 + denoiser.sigma_min**2
    errors = []
    for steps in (200, 400, 800):
        levels = KarrasLevels(steps + 1).levels(denoiser)[:-1]
        errors.append(abs(exact_variance(CHURNED, denoiser, levels) - marginal))
    assert errors[0] < 0.01 * marginal
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("sampler", [*(samplers_registry[name]() for name in samplers_registry), *STOCHASTIC, CHURNED])
def test_noise_around_a_single_image_keeps_its_level_in_any_number_of_steps(sampler, gaussian):
    """If all data is one image then x at sigma is N(image, sigma^2), and every update rule is exact."""
    denoiser = gaussian(mean=0.3, width=0.0)
    rng = ImageRng(0, range(8))
    noise = rng.randn((1, 64, 64))
    levels = torch.tensor([20.0, 3.0, 1.0, 0.4], dtype=torch.float64)
    rest = (sampler(denoiser, noise, None, levels, rng) - 0.3) / 0.4  # should be standard normal
    five_sigma = 5 / math.sqrt(rest.numel())
    assert rest.mean().item() == pytest.approx(0, abs=five_sigma)
    assert rest.var().item() == pytest.approx(1, abs=five_sigma * math.sqrt(2))


def test_ddim_with_eta_one_is_ddpm(gaussian):
    levels = KarrasLevels(6).levels(gaussian())
    noise = ImageRng(1, range(3)).randn((3, 4, 4))
    for clip in (True, False):
        images = [
            sampler(gaussian(), noise, None, levels, ImageRng(2, range(3)))
            for sampler in (DDPMSampler(clip=clip), DDIMSampler(eta=1, clip=clip))
        ]
        torch.testing.assert_close(*images, rtol=1e-5, atol=1e-5)


def test_ddim_with_eta_zero_is_euler(gaussian, noise):
    levels = KarrasLevels(6).levels(gaussian())
    images = [s(gaussian(), noise, None, levels, None) for s in (DDIMSampler(clip=False), EulerSampler())]
    torch.testing.assert_close(*images)


def test_clipping_keeps_images_in_range(gaussian, noise):
    denoiser = gaussian(mean=1.5, width=1.0)
    levels = KarrasLevels(6).levels(denoiser)
    for sampler in (DDPMSampler, DDIMSampler):
        rng = ImageRng(0, range(4))
        assert sampler(clip=True)(denoiser, noise, None, levels, rng).abs().max() <= 1
        assert sampler(clip=False)(denoiser, noise, None, levels, rng).abs().max() > 1


def test_heun_churns_only_between_s_tmin_and_s_tmax(gaussian, noise):
    levels = KarrasLevels(8).levels(gaussian())
    inside = ((levels[:-1] >= 0.1) & (levels[:-1] <= 2)).sum().item()
    assert 0 < inside < 8
    rng = Impulses(images=20)
    HeunSampler(s_churn=8, s_tmin=0.1, s_tmax=2)(gaussian(), noise[:1].expand(20, -1, -1, -1), None, levels, rng)
    assert rng.draws == inside


def test_heun_never_more_than_doubles_the_variance_of_the_noise(gaussian, noise):
    """Algorithm 2 caps gamma at sqrt(2) - 1."""
    _, t_hat = HeunSampler(s_churn=1e6).churn(noise, t=3.0, steps=10, rng=ImageRng(0, range(4)))
    assert t_hat**2 == pytest.approx(2 * 3.0**2)


def test_s_noise_scales_what_heun_adds(noise):
    plain, doubled = (
        HeunSampler(s_churn=1, s_noise=s_noise).churn(noise, t=3.0, steps=10, rng=ImageRng(0, range(4)))[0] - noise
        for s_noise in (1.0, 2.0)
    )
    torch.testing.assert_close(doubled, 2 * plain)


@every_sampler
def test_the_image_of_a_sampler_does_not_depend_on_its_batch(name, gaussian):
    levels = KarrasLevels(5).levels(gaussian())
    sampler = DDIMSampler(eta=1.0) if name == "ddim" else HeunSampler(s_churn=5) if name == "heun" else None
    sampler = sampler or samplers_registry[name]()

    def sample(indices) -> torch.Tensor:
        rng = ImageRng(7, indices)
        return sampler(gaussian(), rng.randn((3, 4, 4)), None, levels, rng)

    together = sample(range(4))
    alone = torch.cat([sample([index]) for index in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-6)
    assert (together[0] - together[1]).abs().max() > 0.01


@every_sampler
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_sampler_costs_what_it_says(name, steps, gaussian, noise):
    denoiser, sampler = gaussian(), samplers_registry[name]()
    sampler(denoiser, noise, None, KarrasLevels(steps).levels(denoiser), ImageRng(0, range(4)))
    assert denoiser.calls == sampler.evaluations(steps)


@every_sampler
def test_one_step_gives_the_denoised_noise(name, gaussian, noise):
    denoiser = gaussian(mean=0.1, width=0.2)
    image = samplers_registry[name]()(denoiser, noise, None, torch.tensor([20.0, 0.0]), ImageRng(0, range(4)))
    torch.testing.assert_close(image, denoiser(20 * noise, noise.new_full((4,), 20.0)))


@every_sampler
def test_float32_in_float32_out_to_rounding(name, gaussian):
    """The state is float32: what that costs against float64 is a few units in the last place of the start."""
    rng, exact_rng = ImageRng(0, range(4)), ImageRng(0, range(4))
    noise, _ = rng.randn((3, 8, 8)), exact_rng.randn((3, 8, 8))
    levels = KarrasLevels(50).levels(gaussian())
    images = samplers_registry[name]()(gaussian(), noise, None, levels, rng)
    exact = samplers_registry[name]()(gaussian(), noise.double(), None, levels, exact_rng)
    assert images.dtype == torch.float32
    assert (images - exact).abs().max() < 1e-5


@every_sampler
def test_sampling_builds_no_graph_but_lets_guidance_take_a_gradient(name, gaussian):
    class ByGradient(nn.Module):
        """Tweedie's formula: D = x + sigma^2 grad log p(x; sigma), here for data that is N(0, 1)."""

        def predict(self, x, sigma, cond):
            denoised = self(x, sigma, cond)
            return Prediction(denoised, output=denoised)

        def forward(self, x, sigma, cond):
            variance = 1 + sigma.view(-1, 1, 1, 1) ** 2
            with torch.enable_grad():
                y = x.detach().requires_grad_()
                (score,) = torch.autograd.grad((-(y**2) / (2 * variance)).sum(), y)
            return self.scale * (x + (variance - 1) * score)

        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

    noise = ImageRng(0, range(2)).randn((3, 4, 4))
    levels = KarrasLevels(4).levels(gaussian())
    arguments = (noise, None, levels, ImageRng(1, range(2)))
    images = samplers_registry[name]()(ByGradient(), *arguments)
    arguments = (noise, None, levels, ImageRng(1, range(2)))
    assert not images.requires_grad
    torch.testing.assert_close(images, samplers_registry[name]()(gaussian(mean=0, width=1), *arguments))


@pytest.mark.parametrize(
    "sampler, setting, value",
    [
        (DDPMSampler, "variance", "medium"),
        (DDPMSampler, "clip", "yes"),
        (DDIMSampler, "eta", 1.5),
        (HeunSampler, "s_churn", -1),
        (HeunSampler, "s_noise", -0.1),
    ],
)
def test_a_wrong_setting_is_named(sampler, setting, value):
    with pytest.raises(ConfigError, match=rf"sampler_args\.{setting}\b"):
        check_arguments(sampler, {setting: value}, "sampler_args")
