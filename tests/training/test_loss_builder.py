"""A weighted sum of named losses, and what a config may say of it."""

import pytest
import torch

from training.losses.builder import WeightedLosses, check_losses, check_no_stray_arguments
from utils.class_registry import ClassRegistry
from utils.errors import ConfigError
from utils.schema import PositiveInt

numbers = ClassRegistry("number loss")


@numbers.add_to_registry(name="value")
class Value:
    def __call__(self, outcome):
        return outcome


@numbers.add_to_registry(name="power")
class Power:
    def __init__(self, exponent: PositiveInt = 2):
        self.exponent = exponent

    def __call__(self, outcome):
        return outcome**self.exponent


@numbers.add_to_registry(name="rare")
class Rare:
    """Skips negative outcomes."""

    def __call__(self, outcome):
        return outcome if outcome > 0 else None


def test_it_sums_coefficient_times_loss_and_reports_terms_unweighted():
    losses = WeightedLosses(numbers, {"value": 0.5, "power": 10.0}, {"power": {"exponent": 3}})
    total, terms = losses(torch.tensor(2.0))
    assert total.item() == 0.5 * 2 + 10 * 8
    assert {name: term.item() for name, term in terms.items()} == {"value": 2, "power": 8}


def test_arguments_go_to_their_own_loss_only():
    losses = WeightedLosses(numbers, {"value": 1.0, "power": 1.0}, {"power": {"exponent": 5}})
    assert losses.losses["power"].exponent == 5
    assert not hasattr(losses.losses["value"], "exponent")


def test_the_total_has_a_gradient_and_the_terms_have_none():
    outcome = torch.tensor(3.0, requires_grad=True)
    total, terms = WeightedLosses(numbers, {"power": 2.0}, {})(outcome)
    total.backward()
    assert outcome.grad.item() == 2 * 2 * 3
    assert not terms["power"].requires_grad


def test_a_loss_that_skips_a_step_is_not_reported():
    losses = WeightedLosses(numbers, {"value": 1.0, "rare": 1.0}, {})
    total, terms = losses(torch.tensor(-2.0))
    assert total.item() == -2
    assert list(terms) == ["value"]


@pytest.mark.parametrize(
    ("coefficients", "arguments", "message"),
    [
        ({}, {}, r"losses_coef is empty: name a loss, such as losses_coef\.power: 1\.0"),
        ({"pover": 1.0}, {}, r"losses_coef: 'pover' is no number loss\. Did you mean 'power'\?"),
        ({"power": 1.0}, {"power": {"exponnt": 2}}, r"losses_args\.power\.exponnt .* Did you mean 'exponent'\?"),
        ({"power": 1.0}, {"power": {"exponent": 0}}, r"losses_args\.power\.exponent=0: it should be greater"),
        ({"value": 1.0}, {"value": {"x": 0}}, r"losses_args\.value\.x is not a config key: Value takes none"),
    ],
)
def test_what_a_config_says_is_held_against_names_and_signatures(coefficients, arguments, message):
    with pytest.raises(ConfigError, match=message):
        check_losses(numbers, coefficients, arguments, "losses_coef")


def test_a_right_config_passes():
    check_losses(numbers, {"power": 1.0, "value": 0.5}, {"power": {"exponent": 3}, "other": {"x": 1}}, "losses_coef")


def test_arguments_of_a_loss_that_no_player_uses_are_an_error():
    check_no_stray_arguments({"power": {}}, {"value": 1.0}, {"power": 1.0})
    with pytest.raises(ConfigError, match=r"losses_args\.power is set, but no loss of that name is used: remove it"):
        check_no_stray_arguments({"power": {}}, {"value": 1.0})
