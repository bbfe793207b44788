"""Time, by a clock that the test moves."""

import os
import signal

import pytest
import torch

from training import clock
from training.clock import Clock

CPU = torch.device("cpu")


class Hands:
    """A clock's hands."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def hands(monkeypatch) -> Hands:
    made = Hands()
    monkeypatch.setattr(clock, "time", made)
    return made


def test_images_a_second_leave_out_what_is_not_training(hands):
    measured = Clock(CPU)
    measured.count(30)
    hands.now += 4
    with measured.aside("validation"):
        hands.now += 6
    measured.count(10)
    hands.now += 1
    assert measured.lap() == {
        "images_per_second": 40 / 5,
        "seconds": 11,
        "share_waiting_for_data": 0,
        "share_validation": pytest.approx(6 / 11),
    }


def test_a_lap_starts_where_the_last_one_ended(hands):
    measured = Clock(CPU)
    measured.count(100)
    with measured.aside("validation"):
        hands.now += 10
    hands.now += 10
    measured.lap()
    measured.count(6)
    hands.now += 3
    timing = measured.lap()
    assert timing["images_per_second"] == 6 / 3
    assert timing["seconds"] == 23
    assert timing["share_validation"] == pytest.approx(10 / 23)  # of the whole time


def test_time_aside_counts_when_it_ends_in_an_error(hands):
    measured = Clock(CPU)
    with pytest.raises(RuntimeError), measured.aside("validation"):
        hands.now += 5
        raise RuntimeError
    hands.now += 5
    assert measured.share("validation") == pytest.approx(0.5)
    assert measured.share("nothing") == 0


def test_waiting_is_a_share_of_the_training_since_the_last_lap(hands):
    measured = Clock(CPU)
    for seconds in (3, 1):
        with measured.waiting():
            hands.now += seconds
        hands.now += 3
        with measured.aside("validation"):
            hands.now += 100
        assert measured.lap()["share_waiting_for_data"] == pytest.approx(seconds / (seconds + 3))


def test_after_ten_steps_the_time_to_the_end_is_told_once_by_the_last_eight(hands):
    """The first two, which compile, and a validation do not count: eight steps of 3 s, so 100 more take 5 minutes."""
    measured, told = Clock(CPU), []
    for step in range(20):
        hands.now += 60 if step < 2 else 3
        if step == 4:
            with measured.aside("validation"):
                hands.now += 1000
        measured.count(1)
        told.append(measured.forecast(steps_left=100))
    assert told[9] == "about 0:05:00 for the 100 steps to the end, without validation"
    assert [step for step, said in enumerate(told) if said] == [9]


def test_checkpoints_come_due_every_so_many_minutes(hands):
    measured = Clock(CPU, checkpoint_minutes=2)
    hands.now += 119
    assert not measured.checkpoint_due(step=7)
    hands.now += 2
    assert measured.checkpoint_due(step=7)
    measured.checkpoint_tried(written=True)
    assert not measured.checkpoint_due(step=7)
    hands.now += 121
    assert measured.checkpoint_due(step=7)


def test_a_checkpoint_that_the_disk_refused_comes_due_again_after_a_minute(hands):
    """Also in a run that asks for none by the minute."""
    measured = Clock(CPU)
    measured.checkpoint_tried(written=False)
    hands.now += 59
    assert not measured.checkpoint_due(step=7)
    hands.now += 2
    assert measured.checkpoint_due(step=7)
    measured.checkpoint_tried(written=True)
    hands.now += 1e9
    assert not measured.checkpoint_due(step=7)


def test_the_run_stops_after_its_minutes(hands):
    measured = Clock(CPU, stop_after_minutes=0.5)
    hands.now += 29
    assert not measured.stop_due(step=7)
    hands.now += 2
    assert measured.stop_due(step=7)


def test_without_limits_nothing_is_ever_due(hands):
    measured = Clock(CPU)
    hands.now += 1e9
    assert not measured.stop_due(step=7)
    assert not measured.checkpoint_due(step=7)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_for_the_end_and_a_second_one_ends_at_once(number, hands):
    before = signal.getsignal(number)
    measured = Clock(CPU)
    with measured.listening():
        os.kill(os.getpid(), number)
        assert measured.stop_due(step=7)
        assert measured.signal == number
        os.kill(os.getpid(), number)  # at once again: the same request, sent to a whole group
        hands.now += 3
        with pytest.raises(SystemExit) as stopped:
            os.kill(os.getpid(), number)
        assert stopped.value.code == 128 + number
    assert signal.getsignal(number) is before
