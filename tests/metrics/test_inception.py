"""The feature network against pytorch-fid's own, and every way in which its weights can be wrong."""

import os
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from pytorch_fid.inception import InceptionV3

from metrics import inception
from metrics.inception import DIMS, InceptionFeatures
from utils.errors import MetricError


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def features(network: InceptionFeatures, pixels: torch.Tensor) -> torch.Tensor:
    return network.eval()(pixels)


@pytest.fixture(scope="module")
def theirs(torch_home) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
    """Features of a few images by pytorch-fid's own network, for every dims: (images, features)."""
    pixels = torch.cat([images(1, 3, 40, 64), images(1, 3, 40, 64) // 4])
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setenv("TORCH_HOME", str(torch_home))
        network = InceptionV3([0, 1, 2, 3]).eval()
        found = network(pixels.float() / 255)
    return {dims: (pixels, output.mean((2, 3))) for dims, output in zip(DIMS, found)}


@pytest.mark.parametrize("dims", DIMS)
def test_features_are_pytorch_fids(dims, theirs, random_weights):
    pixels, expected = theirs[dims]
    found = features(InceptionFeatures(dims), pixels)
    assert found.shape == (2, dims) and found.dtype == torch.float32
    assert expected.std(0).mean() > 0.01 * expected.abs().mean()  # the images differ, so the comparison says something
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_a_file_of_the_first_layers_is_enough_for_their_dims(random_weights, tmp_path):
    state = torch.load(random_weights, weights_only=True)
    part = {name: value for name, value in state.items() if name.startswith("Conv2d")}
    torch.save(part, tmp_path / "part.pth")
    from_part = InceptionFeatures(192, str(tmp_path / "part.pth"))
    assert torch.equal(
        features(from_part, images(1, 3, 32, 32)), features(InceptionFeatures(192), images(1, 3, 32, 32))
    )
    with pytest.raises(MetricError, match=r"part.pth does not reach dims=768, only 64, 192: .*fid192"):
        InceptionFeatures(768, str(tmp_path / "part.pth"))


def test_mixed_precision_around_it_changes_nothing(random_weights):
    network = InceptionFeatures(64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = features(network, images(1, 3, 32, 32))
    assert torch.equal(inside, features(network, images(1, 3, 32, 32)))


def test_convolutions_run_in_full_precision_and_the_switches_are_put_back(random_weights, monkeypatch):
    """TF32 is on by default for convolutions, and would make the score depend on the card."""
    network, seen = InceptionFeatures(64), []
    network.layers[0].register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    features(network, images(1, 3, 16, 16))
    assert seen == [False] and torch.backends.cudnn.allow_tf32


def test_a_grey_image_is_the_same_as_its_rgb_form(random_weights):
    grey = images(1, 1, 32, 32)
    network = InceptionFeatures(64)
    assert torch.equal(features(network, grey), features(network, grey.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize("bad", [torch.zeros(1, 3, 8, 8), images(1, 4, 8, 8), images(3, 8, 8)])
def test_what_is_no_image_is_refused_with_its_shape(bad, random_weights):
    with pytest.raises(ValueError, match=f"{bad.dtype}.*{', '.join(map(str, bad.shape))}"):
        features(InceptionFeatures(64), bad)


def test_the_hash_is_that_of_the_file(random_weights):
    assert InceptionFeatures(64).weights_hash == sha256(random_weights.read_bytes()).hexdigest()


class Trap:
    """Unpickling this runs code."""

    def __reduce__(self):
        return os.mkdir, ("trap",)


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "cannot be read .No such file"),
        (b"<html>quota exceeded</html>", "not a whole file of weights"),
        (b"", "not a whole file of weights"),
        (Trap(), "not a whole file of weights"),
        ({"epoch": 3}, "no state dict of tensors"),
        ({"conv1.weight": torch.zeros(3)}, "not the network of FID"),
        ({"Conv2d_1a_3x3.conv.weight": torch.zeros(32, 3, 5, 5)}, "not the network of FID"),
    ],
)
def test_a_wrong_weights_file_is_one_line_that_names_it(content, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(MetricError, match=message) as caught:
        InceptionFeatures(64, str(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert not Path("trap").exists()


def test_a_torn_weights_file_is_one_line_that_names_it(random_weights, tmp_path):
    path = tmp_path / "torn.pth"
    path.write_bytes(random_weights.read_bytes()[:100_000])
    with pytest.raises(MetricError, match="torn.pth is not a whole file of weights: fetch it again"):
        InceptionFeatures(64, str(path))


def test_without_network_it_says_what_is_missing_and_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(inception, "FID_WEIGHTS_URL", "http://127.0.0.1:9/weights-0123abcd.pth")
    with pytest.raises(MetricError) as caught:
        InceptionFeatures(768)
    for part in ("http://127.0.0.1:9/weights-0123abcd.pth", str(tmp_path / "hub" / "checkpoints"), "dims=768"):
        assert part in str(caught.value)
    assert "metrics_args.fid.weights_path=FILE" in str(caught.value)


def test_the_download_is_checked_and_kept(random_weights, tmp_path, monkeypatch):
    """The name of the file carries the start of its hash, as torch hub has it."""
    digest = sha256(random_weights.read_bytes()).hexdigest()[:8]
    for name in (digest, "0123abcd"):
        (tmp_path / f"weights-{name}.pth").symlink_to(random_weights)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(inception, "FID_WEIGHTS_URL", f"{tmp_path.as_uri()}/weights-{digest}.pth")
    assert InceptionFeatures(64).weights_hash.startswith(digest)
    (tmp_path / f"weights-{digest}.pth").unlink()
    assert InceptionFeatures(64).weights_hash.startswith(digest)
    monkeypatch.setattr(inception, "FID_WEIGHTS_URL", f"{tmp_path.as_uri()}/weights-0123abcd.pth")
    with pytest.raises(MetricError, match="invalid hash value"):
        InceptionFeatures(64)
