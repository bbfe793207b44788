"""Schedules: where they begin and end, and never up after the warm-up. A new one is tested by being registered."""

import math

import pytest

from training.registry import schedules_registry
from training.schedules import Constant, Cosine, Linear

MANY = [i / 200 for i in range(201)]
every_schedule = pytest.mark.parametrize("name", schedules_registry)
falling = pytest.mark.parametrize("cls", [Linear, Cosine])


@every_schedule
@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.5, 1.0])
def test_it_rises_in_a_line_and_then_never_again(name, warmup):
    schedule = schedules_registry[name](warmup=warmup)
    rising = [p for p in MANY if p < warmup]
    assert [schedule(p) for p in rising] == pytest.approx([p / warmup for p in rising])
    rest = [schedule(p) for p in MANY if p >= warmup]
    assert rest[0] == pytest.approx(1)
    assert all(before >= after for before, after in zip(rest, rest[1:]))
    assert all(0 <= schedule(p) <= 1 for p in MANY)


def test_constant_stays_at_one():
    assert {Constant(warmup=0.1)(p) for p in MANY if p >= 0.1} == {1.0}


@falling
@pytest.mark.parametrize("warmup", [0.0, 0.25])
def test_it_falls_from_one_to_its_final_value(cls, warmup):
    schedule = cls(warmup=warmup, final=0.2)
    assert schedule(warmup) == pytest.approx(1)
    assert schedule(1.0) == pytest.approx(0.2)
    halfway = (1 + warmup) / 2  # both shapes are symmetric about their middle
    assert schedule(halfway) == pytest.approx(0.6)


@falling
def test_it_may_be_down_early_and_stays_there(cls):
    """From 0.1 to 0.3 it does what it would do from 0 to 1."""
    early, whole = cls(warmup=0.1, final=0.2, until=0.3), cls(final=0.2)
    assert [early(0.1 + 0.2 * p) for p in MANY] == pytest.approx([whole(p) for p in MANY])
    assert {round(early(p), 12) for p in MANY if p >= 0.3} == {0.2}


@falling
def test_the_end_cannot_come_before_the_warm_up_s(cls):
    with pytest.raises(ValueError, match="until=0.1 comes before the end of warmup=0.2"):
        cls(warmup=0.2, until=0.1)


@falling
def test_it_falls_to_nothing_by_default(cls):
    assert cls()(1.0) == pytest.approx(0, abs=1e-12)


def test_a_third_of_the_way_linear_is_at_two_thirds_and_cosine_at_three_quarters():
    assert Linear()(1 / 3) == pytest.approx(2 / 3)
    assert Cosine()(1 / 3) == pytest.approx((1 + math.cos(math.pi / 3)) / 2) == pytest.approx(0.75)
