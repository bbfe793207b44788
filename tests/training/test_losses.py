"""Losses against their closed forms."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import models  # noqa: F401 - fills the registries
from models.diffusion.denoisers import Prediction
from models.registry import denoisers_registry
from training.levels import LogNormalLevels
from training.losses.diffusion import DiffusionOutcome
from training.losses.gan import GanOutcome
from training.losses.registry import disc_losses_registry, gen_losses_registry, losses_registry
from utils.batch import Condition
from utils.errors import ConfigError


def gan_outcome(on_real: list[float], on_fake: list[float], **others) -> GanOutcome:
    """An outcome with these logits."""
    images = torch.zeros(1, 1, 1, 1)
    logits = torch.tensor(on_real), torch.tensor(on_fake)
    fields = {"step": 0, "real": images, "fake": images, "z": images, "cond": Condition(), "generator": None}
    fields |= {"discriminator": None, "real_logits": logits[0], "fake_logits": logits[1]}
    return GanOutcome(**{**fields, **others})


def test_softplus_at_zero_is_the_logarithm_of_two():
    outcome = gan_outcome([0.0, 0.0], [0.0, 0.0])
    assert gen_losses_registry["softplus_gen"]()(outcome).item() == pytest.approx(math.log(2))
    assert disc_losses_registry["softplus_disc"]()(outcome).item() == pytest.approx(2 * math.log(2))


def test_softplus_is_the_negative_logarithm_of_the_right_answer_s_probability():
    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    outcome = gan_outcome([2.0, -1.0], [0.5, -3.0])
    expected_gen = -(math.log(sigmoid(0.5)) + math.log(sigmoid(-3.0))) / 2
    expected_disc = -(math.log(sigmoid(2.0)) + math.log(sigmoid(-1.0))) / 2
    expected_disc -= (math.log(1 - sigmoid(0.5)) + math.log(1 - sigmoid(-3.0))) / 2
    assert gen_losses_registry["softplus_gen"]()(outcome).item() == pytest.approx(expected_gen)
    assert disc_losses_registry["softplus_disc"]()(outcome).item() == pytest.approx(expected_disc)


def test_hinge_stops_caring_beyond_the_margin():
    """Real: 0, 0.5, 2 of the logits 3, 0.5, -1; fake: 0, 1.5, 3 of the logits -2, 0.5, 2."""
    outcome = gan_outcome([3.0, 0.5, -1.0], [-2.0, 0.5, 2.0])
    assert disc_losses_registry["hinge_disc"]()(outcome).item() == pytest.approx(2.5 / 3 + 4.5 / 3)
    assert gen_losses_registry["hinge_gen"]()(outcome).item() == pytest.approx(-0.5 / 3)


@pytest.mark.parametrize("kind", ["softplus", "hinge"])
def test_the_players_pull_the_logits_of_generated_images_in_opposite_directions(kind):
    slopes = []
    for registry, name in ((gen_losses_registry, f"{kind}_gen"), (disc_losses_registry, f"{kind}_disc")):
        fake = torch.zeros(4, requires_grad=True)
        registry[name]()(gan_outcome([0.0], [], fake_logits=fake)).backward()
        slopes.append(fake.grad)
    assert (slopes[0] < 0).all()
    torch.testing.assert_close(slopes[1], -slopes[0])


class Quadratic(nn.Module):
    """D(x) = 0.5 x^T A x with a symmetric A; its gradient at x is A x."""

    def __init__(self, size: int):
        super().__init__()
        a = torch.randn(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        self.a = nn.Parameter(a + a.T)

    def forward(self, x: Tensor, cond: Condition) -> Tensor:
        flat = x.flatten(1)
        return 0.5 * ((flat @ self.a) * flat).sum(1)


def quadratic(step: int = 0) -> tuple[GanOutcome, Quadratic, Tensor]:
    disc = Quadratic(12)
    x = torch.randn(5, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return gan_outcome([0.0], [0.0], real=x, discriminator=disc, step=step), disc, x.flatten(1)


def test_r1_is_half_the_mean_squared_gradient():
    """|A x|^2 / 2, averaged over the images. The loss sums in float32."""
    outcome, disc, x = quadratic()
    expected = (x @ disc.a).square().sum(1).mean() / 2
    assert disc_losses_registry["r1"]()(outcome).item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_gradient_of_r1_reaches_the_weights():
    """Of |S x|^2 / 2 with S = (A + A^T) / 2 it is the symmetric part of (S x) x^T; here S = A."""
    outcome, disc, x = quadratic()
    disc_losses_registry["r1"]()(outcome).backward()
    outer = torch.einsum("ni,nj->ij", x @ disc.a.detach(), x) / len(x)
    torch.testing.assert_close(disc.a.grad, (outer + outer.T) / 2, rtol=1e-5, atol=1e-5)


def test_r1_leaves_the_images_alone():
    outcome, _, _ = quadratic()
    disc_losses_registry["r1"]()(outcome).backward()
    assert outcome.real.grad is None
    assert not outcome.real.requires_grad


def test_lazy_r1_comes_every_so_many_steps_and_weighs_so_much_more():
    """Over sixteen steps the sum is the same as of the eager one."""
    eager, lazy = disc_losses_registry["r1"](), disc_losses_registry["r1"](interval=4)
    terms = [lazy(quadratic(step)[0]) for step in range(16)]
    assert [step for step, term in enumerate(terms) if term is not None] == [0, 4, 8, 12]
    total = sum(eager(quadratic(step)[0]).item() for step in range(16))
    assert sum(term.item() for term in terms if term is not None) == pytest.approx(total)


def diffusion_outcome(name: str, backbone: nn.Module, n: int = 6) -> DiffusionOutcome:
    """Real noisy images, and what a denoiser makes of them."""
    rng = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(n, 3, 4, 4, generator=rng) for _ in range(2))
    denoiser = denoisers_registry[name](backbone=backbone)
    sigma, weight = LogNormalLevels(denoiser)(lambda purpose: torch.rand(n, generator=rng)).__dict__.values()
    prediction = denoiser.predict(clean + sigma[:, None, None, None] * noise, sigma, Condition())
    target = denoiser.target(clean, noise, sigma)
    return DiffusionOutcome(clean, noise, sigma, weight, target, prediction, Condition())


class Tanh(nn.Module):
    def forward(self, x: Tensor, c_noise: Tensor, cond: Condition) -> Tensor:
        return torch.tanh(x + c_noise.view(-1, 1, 1, 1))


def test_mse_is_the_mean_square_of_output_minus_target():
    images = torch.zeros(2, 1, 2, 2)
    target = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    prediction = Prediction(denoised=images + 100, output=images)
    outcome = DiffusionOutcome(images, images, torch.ones(2), torch.full((2,), 9.0), target, prediction, Condition())
    assert losses_registry["mse"]()(outcome).item() == (1 + 9) / 2  # neither the weight nor D counts


def test_under_ddpm_mse_compares_the_network_s_answer_with_the_noise():
    outcome = diffusion_outcome("ddpm", Tanh())
    expected = (outcome.prediction.output - outcome.noise).square().mean()
    assert losses_registry["mse"]()(outcome).item() == pytest.approx(expected.item())


def test_edm_weights_the_square_error_of_each_denoised_image():
    images = torch.zeros(2, 1, 2, 2)
    denoised = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    prediction = Prediction(denoised=denoised, output=images + 100)
    weight = torch.tensor([4.0, 0.5])
    outcome = DiffusionOutcome(images, images, torch.ones(2), weight, images, prediction, Condition())
    assert losses_registry["edm"]()(outcome).item() == (4 * 1 + 0.5 * 9) / 2


def test_with_the_edm_denoiser_the_edm_loss_is_the_mse_of_the_raw_network():
    """Karras et al. 2022, equation 8: the weight cancels c_out squared."""
    outcome = diffusion_outcome("edm", Tanh())
    raw = losses_registry["mse"]()(outcome).item()
    assert losses_registry["edm"]()(outcome).item() == pytest.approx(raw, rel=1e-3)
    assert raw > 0.1


def test_min_snr_is_the_snr_up_to_gamma_times_the_square_error():
    """sigma 2 and 0.1: SNR 1/4 and 100, of which gamma 5 stays."""
    clean, denoised = torch.zeros(2, 1, 1, 1), torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    prediction = Prediction(denoised, denoised)
    outcome = DiffusionOutcome(
        clean, clean, torch.tensor([2.0, 0.1]), torch.ones(2), clean, prediction, Condition()
    )  # fmt: skip
    assert losses_registry["min_snr"](gamma=5.0)(outcome).item() == pytest.approx((0.25 * 1 + 5 * 9) / 2)


def test_min_snr_without_a_limit_is_the_mse_of_predicted_noise():
    """|D - clean|^2 = sigma^2 |noise - epsilon|^2, so the weight 1 / sigma^2 leaves the noise's error."""
    outcome = diffusion_outcome("ddpm", Tanh())
    found = losses_registry["min_snr"](gamma=1e12)(outcome).item()
    assert found == pytest.approx(losses_registry["mse"]()(outcome).item(), rel=1e-3)


class Known(nn.Module):
    """A denoiser's answer with a log uncertainty of its own."""

    def __init__(self, u: list[float]):
        super().__init__()
        self.u = nn.Parameter(torch.tensor(u))

    def outcome(self, errors: list[float]) -> DiffusionOutcome:
        denoised = torch.tensor(errors).sqrt().view(-1, 1, 1, 1)
        prediction = Prediction(denoised, denoised, log_uncertainty=self.u)
        clean, ones = torch.zeros_like(denoised), torch.ones(len(errors))
        return DiffusionOutcome(clean, clean, ones, ones, clean, prediction, Condition())


def test_the_uncertainty_loss_is_smallest_where_u_is_the_logarithm_of_the_loss():
    """d/du (L / e^u + u) = 1 - L / e^u."""
    known = Known([math.log(0.2), math.log(3.0), 0.0])
    loss = losses_registry["edm_uncertainty"]()(known.outcome([0.2, 3.0, 2.0]))
    loss.backward()
    assert loss.item() == pytest.approx(((1 + math.log(0.2)) + (1 + math.log(3.0)) + 2) / 3, rel=1e-6)
    assert known.u.grad.tolist() == pytest.approx([0, 0, (1 - 2) / 3], abs=1e-6)


def test_without_uncertainty_the_loss_is_the_edm_loss_and_without_a_head_an_error():
    plain, outcome = losses_registry["edm"](), diffusion_outcome("edm", Tanh())
    with pytest.raises(ConfigError, match=r"denoiser_args\.uncertainty_channels"):
        losses_registry["edm_uncertainty"]()(outcome)
    zero = replace(outcome, prediction=replace(outcome.prediction, log_uncertainty=torch.zeros(6)))
    assert losses_registry["edm_uncertainty"]()(zero).item() == pytest.approx(plain(outcome).item())


def test_the_head_learns_the_logarithm_of_the_loss_at_every_noise_level():
    """Losses that fall from e^0 to e^-3 over ln sigma: 300 steps bring u within a twentieth on average."""
    torch.manual_seed(0)
    denoiser = denoisers_registry["edm"](backbone=nn.Identity(), uncertainty_channels=64)
    c_noise = torch.linspace(-1.5, 1.0, 200)
    losses = torch.exp(-3 * torch.linspace(0, 1, 200))
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=0.02)
    for _ in range(300):
        u = denoiser.uncertainty(c_noise)
        (losses / u.exp() + u).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert (denoiser.uncertainty(c_noise) - losses.log()).abs().mean() < 0.05
