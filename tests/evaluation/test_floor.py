"""The floor: training photos judged as if they had been generated."""

import numpy as np
import pytest

from evaluation.analysis import Subject
from evaluation.floor import Floor, Spread, are_disjoint, draw_like, measure_floor
from evaluation.folders import class_counts
from metrics.features import ImageSet
from tests.evaluation.conftest import pictures
from utils.errors import MetricError


def test_a_set_has_the_reference_s_classes_and_no_image_twice():
    real, train = pictures([3, 5], seed=1), pictures([40, 60], seed=2)
    drawn = draw_like(real, train, draws=4, seed=0)
    assert [np.bincount(train.labels[rows]).tolist() for rows in drawn] == [[3, 5]] * 4
    assert len(set(np.concatenate(drawn))) == 4 * 8
    assert are_disjoint(real, train, 4)


def test_few_training_images_are_drawn_afresh_for_every_set():
    real, train = pictures([3, 5], seed=1), pictures([4, 60], seed=2)
    drawn = draw_like(real, train, draws=4, seed=0)
    assert all(len(set(rows)) == 8 for rows in drawn)
    assert not are_disjoint(real, train, 4)


def test_the_draws_follow_the_seed():
    real, train = pictures([3, 5], seed=1), pictures([40, 60], seed=2)
    one, same, other = (np.concatenate(draw_like(real, train, 2, seed)).tolist() for seed in (1, 1, 2))
    assert one == same != other


def test_each_set_is_judged_as_if_it_had_been_generated(judge):
    real, train = pictures([6, 6], seed=1), pictures([20, 20], seed=2)
    floor = measure_floor(judge, real, train, draws=3, seed=0)
    by_hand = [
        judge.evaluate(ImageSet.of(real), [train.images_at(rows)])["fid_colours"]
        for rows in draw_like(real, train, 3, 0)
    ]
    assert floor["fid_colours"].values == pytest.approx(by_hand)


def test_the_bias_of_few_images_is_the_floor(judge):
    """Real and drawn images come from one distribution: the distance is zero but for the small sample."""
    floors = [
        measure_floor(judge, pictures([n, n], seed=1), pictures([400, 400], seed=2), draws=5, seed=0)[
            "fid_colours"
        ].mean
        for n in (5, 80)
    ]
    assert floors[0] > 4 * floors[1] > 0


def test_spread_is_mean_and_standard_deviation():
    assert Spread((1.0, 2.0, 6.0)).mean == 3.0
    assert Spread((1.0, 2.0, 6.0)).std == pytest.approx(7**0.5)  # ((-2)^2 + (-1)^2 + 3^2) / 2
    assert Spread((1.0,)).std is None


def test_the_record_says_what_it_was_drawn_from(judge):
    train = pictures([30, 30], seed=2)
    record = Floor(draws=2, seed=7).run(Subject(pictures([6, 6], seed=1), judge, train=train)).record
    assert {key: record[key] for key in ("draws", "seed", "disjoint", "drawn_from_images", "drawn_from_content")} == {
        "draws": 2,
        "seed": 7,
        "disjoint": True,
        "drawn_from_images": 60,
        "drawn_from_content": train.content_key,
    }
    floor = record["results"]["fid_colours"]
    assert floor["mean"] == pytest.approx(np.mean(floor["values"]))


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (pictures([30, 4], seed=2), "the floor takes 5 training images of soup, there are 4"),
        (pictures([30], seed=2), "training images of the reference's classes"),
    ],
)
def test_a_training_set_that_cannot_give_a_set_is_an_error(train, message):
    with pytest.raises(MetricError, match=message):
        draw_like(pictures([3, 5], seed=1), train, draws=1, seed=0)


def test_without_training_images_the_error_says_how_to_name_them(judge):
    with pytest.raises(MetricError, match="floor needs the training images"):
        Floor().run(Subject(pictures([3, 5], seed=1), judge))


def test_unlabelled_images_are_one_class():
    flat = pictures([3, 5], seed=1)
    flat.labels = None
    assert class_counts(flat).tolist() == [8]
