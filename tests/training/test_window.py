"""The losses between two log steps."""

import math

import pytest
import torch
from torch import nn

from training.window import LossWindow, TrainingError, check_weights, complaints, mean_terms, means
from utils.errors import UserError

CPU = torch.device("cpu")


def window(*steps: dict[str, float], first: int = 1) -> LossWindow:
    made = LossWindow()
    for step, terms in enumerate(steps, start=first):
        made.add({name: torch.tensor(value) for name, value in terms.items()}, step)
    return made


def test_it_reads_the_mean_of_the_steps_in_which_a_term_was():
    """A lazy penalty is there in some steps only: its mean is over these."""
    assert means(window({"loss": 1.0}, {"loss": 2.0, "r1": 10.0}, {"loss": 6.0}).read()) == {"loss": 3.0, "r1": 10.0}


def test_reading_starts_again():
    read = window({"loss": 1.0})
    read.read()
    assert read.read() == {}
    read.add({"loss": torch.tensor(5.0)}, 2)
    assert means(read.read()) == {"loss": 5.0}


def test_looking_does_not_start_again():
    looked = window({"loss": 1.0}, {"loss": 2.0})
    assert means(looked.look()) == means(looked.look()) == {"loss": 1.5}


def test_what_is_added_may_change_afterwards():
    value, kept = torch.tensor(1.0), LossWindow()
    kept.add({"loss": value}, 1)
    value.add_(100)
    kept.add({"loss": torch.tensor(3.0)}, 2)
    assert means(kept.read()) == {"loss": 2.0}


def test_a_restored_window_reads_the_same_as_an_unbroken_one():
    steps = [{"loss": 0.1 * k} if k % 3 else {"loss": 0.1 * k, "r1": math.nan} for k in range(7)]
    unbroken = window(*steps)
    restored = LossWindow()
    restored.load_state_dict(window(*steps[:4]).state_dict(), CPU)
    for step, terms in enumerate(steps[4:], start=5):
        restored.add({name: torch.tensor(value) for name, value in terms.items()}, step)
    assert restored.read() == unbroken.read()


def test_micro_batches_are_averaged_term_by_term():
    parts = [{"a": torch.tensor(1.0), "b": torch.tensor(4.0)}, {"a": torch.tensor(3.0), "b": torch.tensor(0.0)}]
    assert {name: value.item() for name, value in mean_terms(parts).items()} == {"a": 2, "b": 2}


def test_finite_losses_are_no_complaint():
    assert complaints(window({"loss": 0.0, "other": -1e30}).read(), "error") == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_told_with_term_count_and_step_and_is_in_no_mean(value):
    steps = [{"loss": 1.0}, {"loss": 2.0, "r1": value}, {"loss": value, "r1": 4.0}, {"loss": value, "r1": value}]
    readings = window(*steps, first=30).read()
    assert means(readings) == {"loss": 1.5, "r1": 4.0}
    assert complaints(readings, "skip") == [
        "loss was not finite 2 of 4 times since the last log step, first at step 32: these steps changed no weights",
        "r1 was not finite 2 of 3 times since the last log step, first at step 31: these steps changed no weights",
    ]


def test_a_term_that_never_was_a_number_has_no_mean():
    assert means(window({"loss": 1.0, "r1": math.nan}).read()) == {"loss": 1.0}


def test_by_default_the_run_stops_with_the_way_out():
    with pytest.raises(TrainingError, match=r"^r1 was not finite 1 of 1 times .*on_nonfinite=skip") as e:
        complaints(window({"loss": 1.0, "r1": math.nan}).read(), "error")
    assert isinstance(e.value, UserError)
    assert e.value.exit_status == 4


def test_weights_that_are_not_finite_are_not_saved():
    nets = {"critic": nn.Linear(2, 2), "average": nn.Linear(2, 2)}
    check_weights(nets)
    with torch.no_grad():
        nets["average"].bias[1] = math.inf
    with pytest.raises(TrainingError, match="^weights of the average are not finite"):
        check_weights(nets)
