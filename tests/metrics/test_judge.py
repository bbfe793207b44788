"""One pass, one cache, and sets that can be compared. The feature network here is a user's own: mean colours."""

import logging
from itertools import repeat

import pytest
import torch
from torch import Tensor, nn

from metrics.base import Metric
from metrics.features import FeatureSpec, ImageSet
from metrics.fid import FID, feature_distance
from metrics.judge import Judge
from metrics.kid import KID
from metrics.registry import features_registry
from utils.errors import ConfigError, MetricError


class Colours(nn.Module):
    """The mean of each channel; counts the images it has seen."""

    choices = (3, 64)
    batch_size = {"cpu": 8}
    preprocessing = "none"

    def __init__(self, dims: int = 3, weights_path: str | None = None):
        super().__init__()
        self.dims, self.seen = dims, 0
        self.weights_hash = f"hash of {weights_path}"

    def forward(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        return images.float().mean((2, 3))


class Reals:
    """Twenty random images, 10x10; counts the passes over them."""

    def __init__(self):
        self.images = images(20, seed=1)
        self.passes = 0

    def batches(self):
        self.passes += 1
        return iter(self.images.split(6))

    def set(self, key: str = "reals", count: int = 20) -> ImageSet:
        return ImageSet(key, count, self.batches)


def images(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    tint = torch.randint(0, 128, (count, 3, 1, 1), generator=generator)
    return (tint + torch.randint(0, 128, (count, 3, 10, 10), generator=generator)).to(torch.uint8)


def judge(*metrics, weights_path: str | None = None) -> Judge:
    """Make a judge whose first metric asks for colours."""
    metrics = metrics or (FID(),)
    metrics[0].features = FeatureSpec("colours", 3, weights_path)
    return Judge({type(metric).__name__.lower(): metric for metric in metrics})


@pytest.fixture(autouse=True)
def colours(monkeypatch):
    monkeypatch.setitem(features_registry.classes, "colours", Colours)


@pytest.fixture
def reals() -> Reals:
    return Reals()


def test_the_result_is_the_distance_of_the_features_however_the_images_come(reals):
    fakes = images(20, seed=2)
    expected = feature_distance(reals.images.float().mean((2, 3)), fakes.float().mean((2, 3)))
    for size in (1, 7, 20):
        found = judge().evaluate(reals.set(f"key {size}"), fakes.split(size))
        assert found == {"fid_colours": pytest.approx(expected, rel=1e-5)}
    assert expected > 1


def test_metrics_share_one_network_and_one_pass(reals):
    two = judge(FID(), KID())
    found = two.evaluate(reals.set(), images(20, seed=2).split(5))
    assert list(found) == ["fid_colours", "kid_colours", "kid_colours_std", "kid_colours_se"]
    assert [network.seen for network in two.networks.values()] == [40]


def test_metrics_that_name_no_features_take_the_standard_ones():
    kid = KID()
    Judge({"kid": kid})
    assert kid.features == FeatureSpec("inception", 2048, None)


def test_real_features_are_computed_once_and_kept_on_disk(reals):
    first = judge().evaluate(reals.set(), images(20, seed=2).split(5))
    assert judge().evaluate(reals.set(), images(20, seed=2).split(5)) == first
    assert reals.passes == 1


def test_changed_images_weights_or_preprocessing_are_never_judged_by_old_features(reals, monkeypatch):
    judge().evaluate(reals.set(), [images(20, seed=2)])
    reals.images = images(20, seed=3)
    assert judge().evaluate(reals.set("other"), [images(20, seed=3)]) == {"fid_colours": pytest.approx(0, abs=1e-9)}
    assert reals.passes == 2
    judge(weights_path="other.pth").evaluate(reals.set("other"), [images(20, seed=3)])
    assert reals.passes == 3
    monkeypatch.setattr(Colours, "preprocessing", "other")
    judge(weights_path="other.pth").evaluate(reals.set("other"), [images(20, seed=3)])
    assert reals.passes == 4


@pytest.mark.parametrize("damage", [lambda data: data[:-4], lambda data: b"", lambda data: data[:6]])
def test_a_damaged_cache_file_is_computed_again(reals, own_cache, damage):
    first = judge().evaluate(reals.set(), [images(20, seed=2)])
    (path,) = own_cache.rglob("*.npy")
    path.write_bytes(damage(path.read_bytes()))
    for _ in range(2):
        assert judge().evaluate(reals.set(), [images(20, seed=2)]) == first
    assert reals.passes == 2


def test_without_room_for_the_cache_the_result_is_the_same_and_a_warning(reals, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MISE_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert judge().evaluate(reals.set(), [reals.images]) == {"fid_colours": pytest.approx(0, abs=1e-9)}
    assert "set MISE_CACHE to a folder with room" in caplog.text


def test_fewer_images_than_real_ones_are_refused_unless_allowed(reals):
    with pytest.raises(MetricError, match="19 generated images, 20 real: .* generate 20"):
        judge().evaluate(reals.set(), [images(19, seed=2)])
    assert judge().evaluate(reals.set(), [images(5, seed=2)], allow_fewer=True)["fid_colours"] > 0


@pytest.mark.parametrize("allow_fewer", [False, True])
def test_more_images_than_real_ones_are_refused_as_soon_as_there_are_more(reals, allow_fewer):
    endless = repeat(images(8, seed=2))
    with pytest.raises(MetricError, match="24 or more generated images, 20 real"):
        judge().evaluate(reals.set(), endless, allow_fewer)


def test_no_images_are_no_set(reals):
    with pytest.raises(ValueError, match="not 0 generated"):
        judge().evaluate(reals.set(), [], allow_fewer=True)


def test_a_real_set_that_gives_another_number_than_it_says_is_refused(reals):
    with pytest.raises(MetricError, match="should hold 21 images, but gave 20"):
        judge().evaluate(reals.set(count=21), [images(21, seed=2)])


def test_float_images_are_refused(reals):
    with pytest.raises(ValueError, match=r"uint8 \[N, C, H, W\], not torch.float32 \(20, 3, 10, 10\)"):
        judge().evaluate(reals.set(), [images(20, seed=2).float()])


def test_features_that_are_not_finite_are_refused(reals, monkeypatch):
    monkeypatch.setattr(Colours, "forward", lambda self, images: torch.full((len(images), 3), torch.nan))
    with pytest.raises(ValueError, match="features of 20 of 20 images are not finite"):
        judge().evaluate(reals.set(), [images(20, seed=2)])


def test_missing_weights_show_before_any_image_is_made(tmp_path):
    with pytest.raises(MetricError, match="cannot be read"):
        Judge({"fid": FID(dims=768, weights_path=str(tmp_path / "none.pth"))}).prepare()


def test_an_unknown_network_is_an_error_that_lists_the_known():
    metric = FID()
    metric.features = FeatureSpec("colour", 3)
    with pytest.raises(ConfigError, match="Did you mean 'colours'"):
        Judge({"fid": metric}).prepare()


def test_a_metric_of_another_kind_is_refused():
    class Other(Metric):
        reset = update = compute = None

    with pytest.raises(TypeError, match="'other' does not compare two sets"):
        Judge({"other": Other()})


def test_provenance_says_what_the_number_rests_on(reals):
    one = judge(weights_path="w.pth")
    one.evaluate(reals.set("key"), [images(9, seed=2)], allow_fewer=True)
    described = {"network": "colours", "dims": 3, "weights_sha256": "hash of w.pth", "preprocessing": "none"}
    assert one.provenance() == {
        "real_images": 20,
        "fake_images": 9,
        "real_content": "key",
        "features": {"fid": described},
    }


class Dataset:
    """As much of ``datasets.base.ImageDataset`` as the judge uses."""

    content_key = "content"

    def __init__(self, size: int = 10):
        self.image_shape = (3, size, size)
        self.pixels = images(20, seed=1)

    def __len__(self) -> int:
        return len(self.pixels)

    def images_at(self, rows) -> Tensor:
        return self.pixels[rows]


def test_a_dataset_makes_a_set_of_all_its_images_or_of_some():
    whole, some = ImageSet.of(Dataset(), batch_size=6), ImageSet.of(Dataset(), rows=[3, 1, 4])
    assert whole.count == 20 and torch.equal(torch.cat(list(whole.batches())), Dataset().pixels)
    assert some.count == 3 and torch.equal(torch.cat(list(some.batches())), Dataset().pixels[[3, 1, 4]])


def test_the_key_of_a_set_holds_content_size_and_choice():
    keys = [ImageSet.of(Dataset(size), rows).content_key for size in (10, 12) for rows in (None, [1, 2], [1, 3])]
    assert len(set(keys)) == 6
    assert ImageSet.of(Dataset()).content_key == ImageSet.of(Dataset()).content_key


def test_a_metric_alone_without_settings_takes_those_of_the_judge():
    standard = FeatureSpec("colours", 3, "w.pth")
    assert Judge({"kid": KID()}, standard=standard).metrics["kid"].features == standard
    assert Judge({"kid": KID(dims=64)}, standard=standard).metrics["kid"].features.dims == 64
