"""Figures of predictions, held against values computed by hand."""

import math

import pytest
import torch

from metrics.base import PredictionOutcome
from metrics.classification import Classification

# Ten images of three classes. Of class 0 (5 images) 3 are named 0, 1 is named 1, 1 is named 2; of class 1 (3) 2 are
# named 1, 1 is named 0; of class 2 (2) none is named 2: 1 is named 0 and 1 is named 1.
LABELS = [0, 0, 0, 0, 0, 1, 1, 1, 2, 2]
NAMED = [0, 0, 0, 1, 2, 1, 1, 0, 0, 1]


def certain(named: list[int], classes: int = 3) -> torch.Tensor:
    """Logits that name these classes."""
    return 10.0 * torch.nn.functional.one_hot(torch.tensor(named), classes)


def judged(logits: torch.Tensor, labels: list[int]) -> Classification:
    metric = Classification()
    metric.update(PredictionOutcome(logits, torch.tensor(labels)))
    return metric


def test_the_confusion_counts_have_a_row_for_what_is_shown_and_a_column_for_what_is_named():
    assert judged(certain(NAMED), LABELS).confusion.tolist() == [[3, 1, 1], [1, 2, 0], [1, 1, 0]]


def test_precision_recall_and_f1_of_each_class():
    """Class 0: named 5 times, 3 right; class 1: named 4 times, 2 right; class 2: named once, wrongly."""
    found = judged(certain(NAMED), LABELS).per_class()
    assert found["precision"].tolist() == pytest.approx([3 / 5, 2 / 4, 0])
    assert found["recall"].tolist() == pytest.approx([3 / 5, 2 / 3, 0])
    assert found["f1"].tolist() == pytest.approx([6 / 10, 4 / 7, 0])
    assert found["images"].tolist() == [5, 3, 2]


def test_the_figures_are_means_over_classes_and_accuracy_over_images():
    results = judged(certain(NAMED), LABELS).compute()
    assert results["accuracy"] == pytest.approx(5 / 10)
    assert results["precision"] == pytest.approx((3 / 5 + 2 / 4 + 0) / 3)
    assert results["recall"] == pytest.approx((3 / 5 + 2 / 3 + 0) / 3)
    assert results["f1"] == pytest.approx((6 / 10 + 4 / 7 + 0) / 3)
    assert all(isinstance(value, float) for value in results.values())


def test_the_macro_f1_is_the_mean_of_the_classes_f1_not_the_f1_of_the_means():
    results = judged(certain(NAMED), LABELS).compute()
    harmonic = 2 / (1 / results["precision"] + 1 / results["recall"])
    assert results["f1"] != pytest.approx(harmonic)


def test_a_class_that_is_neither_shown_nor_named_is_left_out_of_the_means():
    seen, all_four = (judged(certain(NAMED, classes), LABELS).compute() for classes in (3, 4))
    for name in ("accuracy", "precision", "recall", "f1"):
        assert all_four[name] == pytest.approx(seen[name])


def test_cross_entropy_is_the_mean_surprise():
    """p = 3/4 and 1/4 where the logits differ by ln 3; the labels are the likely and the unlikely class."""
    logits = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]])
    assert judged(logits, [0, 1]).compute()["cross_entropy"] == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4)) / 2)


def test_top_five_counts_labels_among_the_first_five():
    logits = torch.arange(7.0).flip(0).repeat(3, 1)  # class 0 first, class 6 last
    assert judged(logits, [0, 4, 5]).compute()["top5_accuracy"] == pytest.approx(2 / 3)
    assert judged(certain(NAMED), LABELS).compute()["top5_accuracy"] == 1  # of three classes


def test_batches_make_the_same_figures_as_the_whole_and_reset_forgets():
    metric, logits = judged(certain(NAMED[:4]), LABELS[:4]), certain(NAMED)
    metric.update(PredictionOutcome(logits[4:], torch.tensor(LABELS[4:])))
    assert metric.compute() == pytest.approx(judged(logits, LABELS).compute())
    assert metric.compute().keys() == set(metric.results)
    metric.reset()
    metric.update(PredictionOutcome(certain([0, 1]), torch.tensor([0, 1])))
    assert metric.compute()["accuracy"] == metric.compute()["f1"] == 1


def test_labels_that_the_logits_do_not_know_and_no_images_are_refused():
    with pytest.raises(ValueError, match="labels are 0 to 2"):
        judged(certain([0]), [3])
    with pytest.raises(ValueError, match="no predictions"):
        Classification().compute()


def test_it_agrees_with_scikit_learn_where_that_is_installed():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = torch.Generator().manual_seed(0)
    labels, logits = torch.randint(0, 9, (300,), generator=rng), torch.randn(300, 12, generator=rng)
    ours = judged(logits, labels.tolist()).compute()
    named = logits.argmax(dim=1)
    theirs = metrics.precision_recall_fscore_support(labels, named, average="macro", zero_division=0)[:3]
    assert [ours[name] for name in ("precision", "recall", "f1")] == pytest.approx(list(theirs))
    assert ours["accuracy"] == pytest.approx(metrics.accuracy_score(labels, named))
