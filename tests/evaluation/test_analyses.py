"""Memorisation and the ranking of classes, on sets whose answer is known."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from evaluation.analysis import Analysis, Subject
from evaluation.class_fidelity import ClassFidelity
from evaluation.compare import Settings, compare_folders
from evaluation.folders import InMemory
from evaluation.memorisation import Memorisation, nearest
from evaluation.per_class import PerClass
from evaluation.registry import analyses_registry
from models.classifiers.export import Description, export_classifier
from models.registry import classifiers_registry
from tests.evaluation.conftest import CLASSES, pictures
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


class NamesByTint(nn.Module):
    """A classifier that calls dark pictures cake and bright ones soup."""

    def __init__(self, image_size: int, image_channels: int, num_classes: int):
        super().__init__()
        self.threshold = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor, c_noise: torch.Tensor | None = None) -> torch.Tensor:
        bright = x.mean(dim=(1, 2, 3)) - self.threshold
        return torch.stack([-bright, bright], dim=1)


@pytest.fixture
def classifier(tmp_path, monkeypatch):
    """A file with that classifier for pictures of 8 pixels."""
    monkeypatch.setitem(classifiers_registry.classes, "tint", NamesByTint)
    arguments = {"image_size": 8, "image_channels": 3, "num_classes": 2}
    export_classifier(tmp_path / "c.safetensors", NamesByTint(**arguments), Description("tint", arguments, CLASSES, {}))
    return str(tmp_path / "c.safetensors")


def shades(cakes: list[int], soups: list[int]) -> InMemory:
    """Flat pictures of these grey levels."""
    levels = torch.tensor(cakes + soups, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    labels = torch.tensor([0] * len(cakes) + [1] * len(soups))
    return InMemory(levels, labels, CLASSES, f"{cakes} {soups}")


def test_fidelity_is_the_share_that_shows_its_class_beside_what_photos_get(judge, classifier):
    real = shades(cakes=[10, 20, 30, 200], soups=[250, 240, 230, 220])  # 7 of 8 named rightly
    fake = shades(cakes=[250, 250, 250, 250], soups=[250, 250, 250, 9])  # 3 of 8, no cake among them
    found = ClassFidelity(classifier).run(Subject(real, judge, fake)).record
    assert (found["fidelity"], found["on_real_images"]) == (3 / 8, 7 / 8)
    assert found["ratio"] == pytest.approx(3 / 7)
    assert (found["recognised"], found["recognised_of_real"], found["classes"]) == (1, 2, 2)
    assert len(found["classifier_sha256"]) == 64


def test_a_classifier_of_other_classes_is_refused(judge, classifier):
    real = shades([10, 20, 30], [250, 240, 230])
    real.class_names = ["cake", "stew"]
    with pytest.raises(MetricError, match="knows other classes"):
        ClassFidelity(classifier).run(Subject(real, judge, real))


def test_without_a_classifier_the_error_names_the_key(judge):
    real = shades([10, 20, 30], [250, 240, 230])
    with pytest.raises(MetricError, match=r"metrics_args\.class_fidelity\.classifier=FILE"):
        ClassFidelity().run(Subject(real, judge, real))


def test_class_fidelity_alone_needs_none_of_fid_s_weights(classifier, write, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no weights here"))
    folder = write(shades([10, 20, 30], [250, 240, 230]), "photos")
    wanted = Settings(
        real=str(folder),
        fake=str(folder),
        metrics=["class_fidelity"],
        metrics_args={"class_fidelity": {"classifier": classifier}},
    )
    record, lines = compare_folders(wanted)
    assert record["analyses"]["class_fidelity"]["fidelity"] == 1.0 and record["results"] == {}
    assert lines[0].startswith("class fidelity: 100.0%")
