"""The losses between two log steps."""

import math

import pytest
import torch

from training.window import LossWindow, TrainingError, check_finite, mean_terms
from utils.errors import UserError

CPU = torch.device("cpu")


def window(*steps: dict[str, float]) -> LossWindow:
    made = LossWindow()
    for terms in steps:
        made.add({name: torch.tensor(value) for name, value in terms.items()})
    return made


def test_it_reads_the_mean_of_the_steps_in_which_a_term_was():
    """A lazy penalty is there in some steps only: its mean is over these."""
    means = window({"loss": 1.0}, {"loss": 2.0, "r1": 10.0}, {"loss": 6.0}).read()
    assert means == {"loss": 3.0, "r1": 10.0}


def test_reading_starts_again():
    read = window({"loss": 1.0})
    read.read()
    assert read.read() == {}
    read.add({"loss": torch.tensor(5.0)})
    assert read.read() == {"loss": 5.0}


def test_looking_does_not_start_again():
    looked = window({"loss": 1.0}, {"loss": 2.0})
    assert looked.means() == looked.means() == {"loss": 1.5}


def test_what_is_added_may_change_afterwards():
    value, kept = torch.tensor(1.0), LossWindow()
    kept.add({"loss": value})
    value.add_(100)
    kept.add({"loss": torch.tensor(3.0)})
    assert kept.read() == {"loss": 2.0}


def test_a_restored_window_reads_the_same_as_an_unbroken_one():
    steps = [{"loss": 0.1 * k} for k in range(7)]
    unbroken = window(*steps)
    restored = LossWindow()
    restored.load_state_dict(window(*steps[:4]).state_dict(), CPU)
    for terms in steps[4:]:
        restored.add({name: torch.tensor(value) for name, value in terms.items()})
    assert restored.read() == unbroken.read()


def test_micro_batches_are_averaged_term_by_term():
    parts = [{"a": torch.tensor(1.0), "b": torch.tensor(4.0)}, {"a": torch.tensor(3.0), "b": torch.tensor(0.0)}]
    assert {name: value.item() for name, value in mean_terms(parts).items()} == {"a": 2, "b": 2}


def test_a_finite_loss_passes():
    check_finite({"loss": 0.0, "other": -1e30}, step=3)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_stops_the_run_with_the_fix(value):
    with pytest.raises(TrainingError, match=rf"r1 is {value} at step 30: lower the learning rate .*max_grad_norm") as e:
        check_finite({"loss": 1.0, "r1": value}, step=30)
    assert isinstance(e.value, UserError)
    assert e.value.exit_status == 4
