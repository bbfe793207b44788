"""The steps of a chain and the bound on the likelihood, against the papers' formulas in float64 and a closed form."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor, nn

from models.diffusion.denoisers import Prediction
from models.diffusion.noise_tables import noise_table
from sampling.chain import bits_per_dim, grey_level_nats, prior_bits_per_dim, steps_of
from tests.bound_by_hand import gaussian_kl, papers, term_by_hand
from training.likelihood import terms_of_bound
from utils.batch import Condition
from utils.images import to_float
from utils.seeding import ImageRng

CHAINS = {
    "linear": noise_table("linear", 1000),
    "cosine": noise_table("cosine", 4000),
    "respaced": noise_table("cosine", 1000)[torch.linspace(0, 999, 20).long()],
    "one step": noise_table("linear", 2)[1:],
}
every_chain = pytest.mark.parametrize("levels", CHAINS.values(), ids=CHAINS)


@pytest.mark.parametrize("name", ["linear", "cosine", "respaced"])
def test_a_step_s_term_is_the_divergence_of_the_papers_gaussians_or_the_grey_levels_mass(name):
    """One image a step, in the papers' own coordinates and in float64 throughout."""
    levels, rng = CHAINS[name], np.random.default_rng(0)
    steps = steps_of(levels)
    chosen = np.unique(np.linspace(0, len(levels) - 1, 17).astype(int))
    clean = rng.integers(0, 256, (len(chosen), 3, 4, 4)) / 127.5 - 1
    clean[:, 0, 0, :2] = [-1, 1]  # black and white
    error = np.minimum(0.02, levels.numpy()[chosen])[:, None, None, None] * rng.standard_normal(clean.shape)
    v = rng.uniform(-0.2, 1.2, clean.shape)
    found = bits_per_dim(
        steps.at(torch.from_numpy(chosen)), *(torch.from_numpy(a).float() for a in (clean, clean + error, v))
    )
    x_t = rng.standard_normal(clean.shape)  # any: the two means differ by the same
    expected = [term_by_hand(levels, clean[i], clean[i] + error[i], x_t[i], v[i], t) for i, t in enumerate(chosen)]
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-5, atol=1e-9)


@every_chain
def test_the_ends_of_the_variance_are_beta_and_beta_tilde(levels):
    """Divided by abar_s, as x is; beta-tilde of the step to the clean image is that of the step before."""
    steps, p = steps_of(levels), papers(levels)
    small, large = steps.log_small.exp().numpy(), steps.log_large.exp().numpy()
    np.testing.assert_allclose(large * p["before"], p["beta"], rtol=1e-8)
    np.testing.assert_allclose(small[1:] * p["before"][1:], p["tilde"][1:], rtol=1e-8)
    assert small[0] == pytest.approx(p["tilde"][1] if len(levels) > 1 else p["beta"][0], rel=1e-8)
    assert (steps.log_small <= steps.log_large + 1e-12).all()


@pytest.mark.parametrize("sigma", [1e-3, 0.02, 0.5, 30.0])
@pytest.mark.parametrize("mean", [-3.0, -0.4, 0.0, 1.0])
def test_the_grey_levels_share_the_whole_mass(mean, sigma):
    grey = to_float(torch.arange(256, dtype=torch.uint8)).view(256, 1, 1, 1)
    step = steps_of(torch.tensor([sigma, 2 * sigma])).at(torch.zeros(256, dtype=torch.long))
    nats = grey_level_nats(step, grey, torch.full_like(grey, mean), 1.0)
    assert (-nats.double()).exp().sum().item() == pytest.approx(1, abs=1e-4)  # float32: an image's own rounding


def test_a_grey_level_far_out_keeps_its_logarithm():
    """60 and 100 standard deviations away no probability is left in float64; its logarithm is."""
    step = steps_of(torch.tensor([0.01, 0.02])).at(torch.zeros(2, dtype=torch.long))
    deviation = math.exp(step.log_large[0] / 2)
    clean = to_float(torch.tensor([200, 60], dtype=torch.uint8)).view(2, 1, 1, 1)
    D = clean - torch.tensor([-60.0, 100.0]).view(2, 1, 1, 1) * deviation
    found = grey_level_nats(step, clean, D, 1.0).flatten()
    for nats, z in zip(found.tolist(), (60, 100)):
        near, far = norm.logsf(z - 1 / 255 / deviation), norm.logsf(z + 1 / 255 / deviation)
        assert -nats == pytest.approx(near + np.log1p(-np.exp(far - near)), rel=1e-6)


def test_a_gradient_far_out_is_finite_in_every_step():
    """What is computed for the other kind of step must not leak."""
    levels = CHAINS["cosine"]
    steps = steps_of(levels).at(torch.tensor([0, 1, 2000, 3999]))
    clean = torch.linspace(-1, 1, 4 * 48).view(4, 3, 4, 4)
    D = (clean + 300 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))).requires_grad_(True)
    v = torch.full_like(clean, 0.5).requires_grad_(True)
    bits_per_dim(steps, clean, D, v).sum().backward()
    assert D.grad.isfinite().all() and v.grad.isfinite().all()
    assert (D.grad.abs().flatten(1).amax(1) > 0).all()


@pytest.mark.parametrize("sigma", [0.3, 20.0, 157.0])
def test_the_prior_s_part_is_its_divergence_from_the_standard_normal(sigma):
    clean = torch.linspace(-1, 1, 2 * 12).view(2, 3, 2, 2)
    abar = 1 / (1 + sigma**2)
    by_hand = gaussian_kl(math.sqrt(abar) * clean.double().numpy(), 1 - abar, 0.0, 1.0).mean(axis=(1, 2, 3)) / np.log(2)
    np.testing.assert_allclose(prior_bits_per_dim(clean, sigma).numpy(), by_hand, rtol=1e-6)


WIDTH = 0.25


class Gaussian(nn.Module):
    """The ideal denoiser of data ~ N(0, WIDTH^2 I), with the variances of its reverse steps, whatever they lead to.

    Given x_t the clean image is N(D, variance of the guess), so x_s is Gaussian too: beta-tilde, and the posterior's
    share of the guess's variance.
    """

    def __init__(self, levels: Tensor, learned: bool):
        super().__init__()
        steps, self.learned = steps_of(levels), learned
        guess = WIDTH**2 * steps.t**2 / (WIDTH**2 + steps.t**2)
        small = torch.where(steps.s > 0, steps.log_small.exp(), 0)
        ideal = small + (1 - steps.s**2 / steps.t**2) ** 2 * guess
        self.fractions = (ideal.log() - steps.log_small) / (steps.log_large - steps.log_small)  # [T]
        self.levels = steps.t.float()

    def predict(self, x: Tensor, sigma: Tensor, cond: Condition | None = None) -> Prediction:
        D = WIDTH**2 / (WIDTH**2 + sigma.view(-1, 1, 1, 1) ** 2) * x
        fraction = self.fractions[torch.searchsorted(self.levels, sigma)].float().view(-1, 1, 1, 1)
        return Prediction(D, output=D, variance_fraction=fraction.expand_as(x) if self.learned else None)


def bound_of_gaussian_data(levels: Tensor, learned: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the terms [N, T], the prior's [N], and the true -log2 p of 4 images of N(0, WIDTH^2), per dimension."""
    noise = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    clean = to_float(((WIDTH * noise + 1) * 127.5).round().clamp(0, 255).to(torch.uint8))
    steps = steps_of(levels)
    terms = terms_of_bound(Gaussian(levels, learned), clean, Condition(), steps, ImageRng(0, range(4)))
    density = -norm.logpdf(clean.double().numpy(), scale=WIDTH).mean(axis=(1, 2, 3)) / np.log(2)
    return terms, prior_bits_per_dim(clean, steps.t[-1].item()), torch.from_numpy(density + np.log2(127.5))


@pytest.mark.parametrize("levels", [noise_table("linear", 50), torch.logspace(-1.2, 1.7, 12, dtype=torch.float64)])
def test_with_the_ideal_denoiser_and_variances_the_bound_is_the_data_s_own_bits(levels):
    """Of Gaussian data: -log2 of its density, and of a grey level's width. Nothing is lost, in however few steps."""
    terms, prior, truth = bound_of_gaussian_data(levels, learned=True)
    assert truth.mean().item() == pytest.approx(0.5 * np.log2(2 * np.pi * np.e * WIDTH**2) + np.log2(127.5), abs=0.05)
    assert (prior + terms.sum(1)).mean().item() == pytest.approx(truth.mean().item(), abs=0.01)
    looser, _, _ = bound_of_gaussian_data(levels, learned=False)
    assert (looser - terms).sum(1).min() > 0.2  # beta-tilde is not the variance of its reverse steps


def test_the_steps_of_the_bound_have_the_closed_form_of_gaussian_data():
    """E (clean - D)^2 = w^2 t^2 / (w^2 + t^2), and the divergence is half of it times the gain 1/s^2 - 1/t^2."""
    levels = noise_table("cosine", 100)
    terms, _, _ = bound_of_gaussian_data(levels, learned=False)
    t, s = levels[1:], levels[:-1]
    expected = 0.5 * (s**-2 - t**-2) * WIDTH**2 * t**2 / (WIDTH**2 + t**2) / math.log(2)
    five_errors = 5 * (2 / (4 * 3072)) ** 0.5
    torch.testing.assert_close(terms[:, 1:].mean(0), expected, rtol=five_errors, atol=0)
