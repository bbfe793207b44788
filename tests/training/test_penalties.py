"""Penalties against their closed forms on D(x) = x^T A x / 2, whose gradient is A x."""

import math

import pytest
import torch
from torch import Tensor

from tests.gan_outcomes import outcome, quadratic, with_logits
from training.losses.builder import WeightedLosses
from training.losses.registry import disc_losses_registry

r1, r2, gradient_penalty = (disc_losses_registry[name] for name in ("r1", "r2", "gradient_penalty"))
PENALTIES = [r1, r2, gradient_penalty]


@pytest.mark.parametrize(("penalty", "which"), [(r1, 2), (r2, 3)])
def test_r1_and_r2_are_half_the_mean_squared_gradient_at_real_and_generated_images(penalty, which):
    """|A x|^2 / 2, averaged over the images. The loss sums in float32."""
    made = quadratic()
    expected = (made[which] @ made[1].a).square().sum(1).mean() / 2
    assert penalty()(made[0]).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(("penalty", "which"), [(r1, 2), (r2, 3)])
def test_the_gradient_of_r1_and_r2_reaches_the_weights(penalty, which):
    """Of |S x|^2 / 2 with S = (A + A^T) / 2 it is the symmetric part of (S x) x^T; here S = A."""
    made = quadratic()
    disc, x = made[1], made[which]
    penalty()(made[0]).backward()
    outer = torch.einsum("ni,nj->ij", x @ disc.a.detach(), x) / len(x)
    torch.testing.assert_close(disc.a.grad, (outer + outer.T) / 2, rtol=1e-5, atol=1e-5)


def points_between(real: Tensor, fake: Tensor, epsilon: float = 0.25) -> Tensor:
    return epsilon * real + (1 - epsilon) * fake


def test_the_gradient_penalty_is_the_squared_distance_of_the_slope_from_one_between_the_images():
    """At 0.25 real + 0.75 generated: the outcome's uniform number is 0.25."""
    made, disc, real, fake = quadratic()
    slopes = (points_between(real, fake) @ disc.a).norm(dim=1)
    assert gradient_penalty()(made).item() == pytest.approx((slopes - 1).square().mean().item(), rel=1e-6)


def test_the_gradient_of_the_gradient_penalty_reaches_the_weights():
    """Of (|S x| - 1)^2 it is 2 (1 - 1 / |S x|) times that of |S x|^2 / 2."""
    made, disc, real, fake = quadratic()
    gradient_penalty()(made).backward()
    x = points_between(real, fake)
    slopes = x @ disc.a.detach()
    outer = torch.einsum("n,ni,nj->ij", 2 * (1 - 1 / slopes.norm(dim=1)), slopes, x) / len(x)
    torch.testing.assert_close(disc.a.grad, (outer + outer.T) / 2, rtol=1e-5, atol=1e-5)


def test_a_slope_of_zero_has_a_gradient_penalty_of_one_and_no_infinite_gradient():
    zeros = torch.zeros(5, 3, 2, 2, dtype=torch.float64)
    made = outcome(zeros, zeros, quadratic()[1])
    term = gradient_penalty()(made)
    term.backward()
    assert term.item() == 1
    assert made.discriminator.a.grad.isfinite().all()


@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_lazy_penalty_comes_every_so_many_updates_and_weighs_so_much_more(penalty):
    """Over sixteen updates the sum is the same as of the eager one."""
    eager, lazy = penalty(), penalty(interval=4)
    made = [quadratic(step=step)[0] for step in range(16)]
    terms = [lazy(outcome) for outcome in made]
    assert [step for step, term in enumerate(terms) if term is not None] == [0, 4, 8, 12]
    total = sum(eager(outcome).item() for outcome in made)
    summed = sum(term.item() * lazy.factor(outcome) for term, outcome in zip(terms, made) if term is not None)
    assert summed == pytest.approx(total)


@pytest.mark.parametrize("name", ["r1", "r2", "gradient_penalty"])
def test_the_log_shows_the_plain_penalty_whatever_its_interval_and_its_share_of_the_coefficient(name):
    """So that curves line up; the total and its gradient carry coefficient, interval and share."""
    for interval, share, arguments in [(1, 1, {}), (4, 1, {}), (16, 1, {}), (16, 0.1, {"final": 0.1, "until": 0.2})]:
        made, disc, *_ = quadratic(step=16, progress=0.7)
        settings = {name: {"interval": interval, **arguments}}
        losses = WeightedLosses(disc_losses_registry, {"wasserstein_disc": 0.0, name: 3.0}, settings)
        total, terms = losses(made)
        total.backward()
        plain = disc_losses_registry[name]()(quadratic()[0])
        assert terms[name].item() == pytest.approx(plain.item(), rel=1e-12)
        assert total.item() == pytest.approx(3 * interval * share * plain.item())
        other, unscaled, *_ = quadratic()
        disc_losses_registry[name]()(other).backward()
        torch.testing.assert_close(disc.a.grad, 3.0 * interval * share * unscaled.a.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_an_annealed_penalty_falls_along_half_a_cosine_to_its_final_share_and_stays(penalty):
    """To a tenth at a fifth of the run; a quarter of that way, at 0.05, it is 0.1 + 0.9 (1 + cos(pi / 4)) / 2."""
    annealed = penalty(final=0.1, until=0.2)
    shares = [annealed.factor(quadratic(progress=progress)[0]) for progress in (0.0, 0.05, 0.2, 0.7)]
    expected = [1, 0.1 + 0.9 * (1 + math.cos(math.pi / 4)) / 2, 0.1, 0.1]
    assert shares == pytest.approx(expected)


@pytest.mark.parametrize("penalty", [r1, r2])
def test_the_slope_is_taken_at_what_the_discriminator_is_shown(penalty):
    """D sees 3 x; the slope of D itself at 3 x is 3 A x, not the slope 9 A x of x -> D(3 x)."""
    plain = penalty()(quadratic()[0]).item()
    shown = penalty()(quadratic(augment=lambda images, which: 3 * images)[0]).item()
    assert shown == pytest.approx(9 * plain, rel=1e-5)


def test_a_penalty_that_uses_the_logits_pass_asks_the_discriminator_nothing_more():
    made = with_logits([1.0, 2.0], [0.0, 0.0])
    made.real_logits, made.fake_logits  # noqa: B018 - asked once
    made.__dict__["discriminator"] = None  # and never again
    assert r1()(made).item() + r2()(made).item() == pytest.approx(0.5 + 0.5)  # slope 1 everywhere
