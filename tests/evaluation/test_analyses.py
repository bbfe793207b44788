"""Memorisation and the ranking of classes, on sets whose answer is known."""

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.analysis import Analysis, Subject
from evaluation.memorisation import Memorisation, nearest
from evaluation.per_class import PerClass
from evaluation.registry import analyses_registry
from tests.evaluation.conftest import pictures
from utils.errors import MetricError


def test_fresh_samples_are_nearer_to_training_photos_as_often_as_fresh_photos(judge):
    """Generated and real come from one distribution: the expected share is the quantile itself."""
    subject = Subject(pictures([400, 400], seed=1), judge, pictures([400, 400], seed=2), pictures([300, 300], seed=3))
    found = Memorisation(quantile=0.1).run(subject).record
    assert found["memorised"] == pytest.approx(0.1, abs=4 * (0.1 * 0.9 / 800) ** 0.5 * 2**0.5)


def test_copies_of_training_photos_are_all_found(judge):
    train = pictures([40, 40], seed=3)
    found = Memorisation(quantile=0.1).run(Subject(pictures([40, 40], seed=1), judge, train, train)).record
    assert found["memorised"] == 1.0
    assert found["median_distance"]["generated"] < 0.1 < found["median_distance"]["real"]  # of up to 255 grey levels


def test_the_picture_shows_each_sample_beside_its_neighbours(judge, tmp_path):
    train = pictures([9, 9], seed=3)
    subject = Subject(pictures([9, 9], seed=1), judge, pictures([9, 9], seed=2), train, tmp_path)
    Memorisation(shown=4, neighbours=3).run(subject)
    with Image.open(tmp_path / "nearest_training_images.png") as picture:
        width, height = picture.size
    assert (width - 170, height) == (4 * 10 + 2, 4 * 12)  # 8 pixels an image and 2 between; a row for each sample


def test_nearest_is_what_a_loop_over_all_pairs_finds():
    rng = torch.Generator().manual_seed(0)
    queries, keys = torch.randn(300, 4, generator=rng), torch.randn(50, 4, generator=rng)
    distances, rows = nearest(queries, keys, 2)
    for query in (0, 299):
        by_hand = sorted((float((queries[query] - key).norm()), row) for row, key in enumerate(keys))[:2]
        assert rows[query].tolist() == [row for _, row in by_hand]
        assert distances[query].tolist() == pytest.approx([distance for distance, _ in by_hand], rel=1e-4)


def test_the_class_that_is_drawn_badly_comes_last(judge, tmp_path):
    fake = pictures([20, 20], seed=2)
    soup = np.flatnonzero(fake.labels == 1)
    fake.images[soup] += 50
    finding = PerClass().run(Subject(pictures([20, 20], seed=1), judge, fake, pictures=tmp_path))
    assert list(finding.record["ranking"]) == ["cake", "soup"]
    cake, soup = finding.record["ranking"].values()
    assert soup["kid"] > cake["kid"] + 4 * (soup["se"] + cake["se"])
    assert (tmp_path / "best_and_worst_classes.png").exists()
    assert finding.lines[0] == "best classes: cake, soup"


def test_classes_need_labels_and_three_images(judge):
    with pytest.raises(MetricError, match="three images of a class"):
        PerClass().run(Subject(pictures([2, 2], seed=1), judge, pictures([2, 2], seed=2)))
    flat = pictures([5, 5], seed=2)
    flat.labels = None
    with pytest.raises(MetricError, match="class folders on both sides"):
        PerClass().run(Subject(pictures([5, 5], seed=1), judge, flat))


@pytest.mark.parametrize("name", analyses_registry)
def test_an_analysis_without_images_says_what_it_needs(judge, name):
    analysis = analyses_registry[name]()
    assert isinstance(analysis, Analysis)
    with pytest.raises(MetricError, match=f"{name} needs"):
        analysis.run(Subject(pictures([5, 5], seed=1), judge))
