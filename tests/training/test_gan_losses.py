"""Losses of GANs against their closed forms."""

import math

import pytest
import torch
from torch import Tensor

from tests.gan_outcomes import Value, outcome, with_logits
from training.losses.gan import GanOutcome
from training.losses.registry import disc_losses_registry, gen_losses_registry
from utils.batch import Condition

KINDS = ["softplus", "hinge", "least_squares", "wasserstein", "relativistic"]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def gen(kind: str, made: GanOutcome) -> Tensor:
    return gen_losses_registry[f"{kind}_gen"]()(made)


def disc(kind: str, made: GanOutcome) -> Tensor:
    return disc_losses_registry[f"{kind}_disc"]()(made)


def test_softplus_at_zero_is_the_logarithm_of_two():
    made = with_logits([0.0, 0.0], [0.0, 0.0])
    assert gen("softplus", made).item() == pytest.approx(math.log(2))
    assert disc("softplus", made).item() == pytest.approx(2 * math.log(2))


def test_softplus_is_the_negative_logarithm_of_the_right_answer_s_probability():
    made = with_logits([2.0, -1.0], [0.5, -3.0])
    expected_gen = -(math.log(sigmoid(0.5)) + math.log(sigmoid(-3.0))) / 2
    expected_disc = -(math.log(sigmoid(2.0)) + math.log(sigmoid(-1.0))) / 2
    expected_disc -= (math.log(1 - sigmoid(0.5)) + math.log(1 - sigmoid(-3.0))) / 2
    assert gen("softplus", made).item() == pytest.approx(expected_gen)
    assert disc("softplus", made).item() == pytest.approx(expected_disc)


def test_hinge_stops_caring_beyond_the_margin():
    """Real: 0, 0.5, 2 of the logits 3, 0.5, -1; fake: 0, 1.5, 3 of the logits -2, 0.5, 2."""
    made = with_logits([3.0, 0.5, -1.0], [-2.0, 0.5, 2.0])
    assert disc("hinge", made).item() == pytest.approx(2.5 / 3 + 4.5 / 3)
    assert gen("hinge", made).item() == pytest.approx(-0.5 / 3)


def test_least_squares_wants_one_of_real_and_zero_of_generated_images():
    """Halves of squares: real 2^2, (-1)^2; generated 2^2, (-1)^2, and for the generator 1^2, (-2)^2."""
    made = with_logits([3.0, 0.0], [2.0, -1.0])
    assert disc("least_squares", made).item() == pytest.approx((4 + 1) / 4 + (4 + 1) / 4)
    assert gen("least_squares", made).item() == pytest.approx((1 + 4) / 4)
    assert disc("least_squares", with_logits([1.0], [0.0])).item() == 0
    assert gen("least_squares", with_logits([7.0], [1.0])).item() == 0


def test_wasserstein_is_the_difference_of_the_means():
    made = with_logits([3.0, 0.0], [2.0, -4.0])
    assert disc("wasserstein", made).item() == pytest.approx(-1.0 - 1.5)
    assert gen("wasserstein", made).item() == pytest.approx(1.0)


def test_relativistic_is_the_negative_logarithm_of_the_probability_of_each_pair_s_order():
    made = with_logits([2.0, -1.0], [0.5, -3.0])  # differences 1.5 and 2
    expected = -(math.log(sigmoid(1.5)) + math.log(sigmoid(2.0))) / 2
    assert disc("relativistic", made).item() == pytest.approx(expected)
    expected = -(math.log(sigmoid(-1.5)) + math.log(sigmoid(-2.0))) / 2
    assert gen("relativistic", made).item() == pytest.approx(expected)


def test_relativistic_losses_are_one_formula_with_the_players_exchanged():
    for real, fake in (([2.0, -1.0], [0.5, -3.0]), ([0.0, 5.0], [1.0, 1.0])):
        assert gen("relativistic", with_logits(real, fake)) == disc("relativistic", with_logits(fake, real))


def test_relativistic_losses_see_pairs_and_only_differences():
    """Other partners give another number, and moving all logits alike gives the same; softplus losses: the reverse."""
    real = [4.0, 0.0]
    plain, swapped = with_logits(real, [4.0, 0.0]), with_logits(real, [0.0, 4.0])
    moved = with_logits([logit + 3 for logit in real], [7.0, 3.0])
    for loss in (gen, disc):
        first, other_pairs, same_differences = (loss("relativistic", made).item() for made in (plain, swapped, moved))
        assert same_differences == pytest.approx(first)
        assert abs(other_pairs - first) > 0.3
        first, other_pairs, same_differences = (loss("softplus", made).item() for made in (plain, swapped, moved))
        assert other_pairs == pytest.approx(first)
        assert abs(same_differences - first) > 0.3


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "least_squares"])
def test_the_players_pull_the_logits_of_generated_images_in_opposite_directions(kind):
    """By the same force where the logits are zero; least squares pulls towards two different targets."""
    slopes = []
    for loss in (gen, disc):
        made = with_logits([0.0] * 4, [0.0] * 4)
        loss(kind, made).backward()
        slopes.append(made.fake.grad.flatten())
    assert (slopes[0] < 0).all()
    torch.testing.assert_close(slopes[1], -slopes[0])


class Counting(Value):
    """Counts how often it is asked."""

    calls = 0

    def forward(self, x: Tensor, cond: Condition) -> Tensor:
        self.calls += 1
        return super().forward(x, cond)


@pytest.mark.parametrize("kind", KINDS)
def test_a_generator_s_loss_pays_for_real_images_only_if_it_needs_them(kind):
    counting, images = Counting(), torch.ones(1, 1, 1, 1)
    made = outcome(images, images, counting)
    gen(kind, made)
    gen(kind, made)  # what is known is not asked again
    assert counting.calls == (2 if kind == "relativistic" else 1)
