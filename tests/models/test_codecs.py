"""Codecs: images to latents and back, from files and from what a checkpoint has kept."""

import sys

import pytest
import torch

from models.codecs.diffusers_kl import DiffusersAutoencoderKL
from models.codecs.identity import IdentityCodec
from models.codecs.trained import AutoencoderCodec
from tests.codecs import write_autoencoder, write_diffusers_folder
from utils.errors import ConfigError, DataError
from utils.files import sha256_of


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("codec") / "autoencoder.safetensors"
    return path, write_autoencoder(path)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    path = tmp_path_factory.mktemp("foreign")
    return path, write_diffusers_folder(path)


@pytest.fixture
def images():
    return torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def opened(codec):
    return codec.eval().requires_grad_(False)


def test_the_identity_gives_the_very_same_tensor(images):
    codec = IdentityCodec(image_size=16, image_channels=3)
    assert codec.encode(images) is images
    assert codec.decode(images) is images
    assert codec.offered() == {"image_size": 16, "image_channels": 3}
    assert codec.kept() == {}


def test_an_autoencoder_s_latents_are_its_posterior_s_means_of_unit_variance(trained, images):
    path, network = trained
    codec = opened(AutoencoderCodec(16, 3, str(path)))
    codec.fit([images[:5], images[5:]])
    means = network.encode(images).mean
    assert abs(means.std() - 1) > 0.2  # so that there is something to scale
    latents = codec.encode(images)
    assert latents.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(latents, means / means.std(correction=0))
    torch.testing.assert_close(codec.decode(latents), network.decode(means))
    assert codec.offered() == {"image_size": 8, "image_channels": 4}


def test_the_adapter_says_what_diffusers_says(foreign, images):
    """The same latents and images, but for the measured scale, which is not its own ``scaling_factor``."""
    path, network = foreign
    codec = opened(DiffusersAutoencoderKL(16, 3, str(path)))
    with torch.no_grad():
        means = network.encode(images).latent_dist.mode()
        torch.testing.assert_close(codec.encode(images), means, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(codec.decode(means), network.decode(means).sample, rtol=1e-5, atol=1e-5)
    codec.fit([images])
    torch.testing.assert_close(codec.encode(images), means / means.std(correction=0))
    assert codec.latent_shape == (4, 8, 8)


@pytest.mark.parametrize("kind", ["trained", "foreign"])
def test_what_a_checkpoint_keeps_is_enough_to_build_it_again(kind, images, request, tmp_path):
    """Through a file of tensors and plain values; the codec's own file is gone."""
    path, _ = request.getfixturevalue(kind)
    cls = {"trained": AutoencoderCodec, "foreign": DiffusersAutoencoderKL}[kind]
    codec = opened(cls(16, 3, str(path)))
    codec.fit([images])
    torch.save(codec.kept(), tmp_path / "kept.pt")
    kept = torch.load(tmp_path / "kept.pt", weights_only=True)
    again = opened(cls(16, 3, "gone", kept=kept))
    assert torch.equal(again.encode(images), codec.encode(images))
    assert torch.equal(again.decode(codec.encode(images)), codec.decode(codec.encode(images)))
    assert again.described_origin() == codec.described_origin()


def test_origins_say_whose_weights_they_are(trained, foreign):
    ours = AutoencoderCodec(16, 3, str(trained[0])).described_origin()
    theirs = DiffusersAutoencoderKL(16, 3, str(foreign[0])).described_origin()
    assert (ours["sha256"], ours["step"]) == (sha256_of(trained[0]), 7)
    assert "foreign_weights" not in ours
    assert theirs["sha256"] == sha256_of(foreign[0])
    assert "diffusers" in theirs["foreign_weights"]
    assert theirs["allowed_by_the_task"].startswith("yes")


@pytest.mark.parametrize(
    ("size", "channels", "message"),
    [
        (32, 3, "for images of 16 pixels and 3 channels, the data has 32 and 3"),
        (16, 1, "for images of 16 pixels and 3 channels, the data has 16 and 1"),
    ],
)
def test_an_autoencoder_for_other_images_is_one_line(trained, size, channels, message):
    with pytest.raises(ConfigError, match=message):
        AutoencoderCodec(size, channels, str(trained[0]))


@pytest.mark.parametrize(("size", "channels"), [(15, 3), (16, 1)])
def test_images_that_a_foreign_autoencoder_cannot_take_are_one_line(foreign, size, channels):
    with pytest.raises(ConfigError, match=f"3 channels and a multiple of 2 pixels, the data has {channels} .* {size}"):
        DiffusersAutoencoderKL(size, channels, str(foreign[0]))


@pytest.mark.parametrize(("factor", "std"), [(0.0, "0"), (float("nan"), "nan")])
def test_latents_that_are_all_equal_or_not_numbers_are_one_line(tmp_path, images, factor, std):
    write_autoencoder(tmp_path / "dead", factor=factor)
    codec = AutoencoderCodec(16, 3, str(tmp_path / "dead"))
    with pytest.raises(ConfigError, match=f"standard deviation is {std}: this autoencoder has learnt nothing"):
        codec.fit([images])


def test_files_that_are_none_are_one_line(tmp_path):
    with pytest.raises(ConfigError, match="there is no such autoencoder; the study `reconstruct`"):
        AutoencoderCodec(16, 3, str(tmp_path / "none.safetensors"))
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    with pytest.raises(DataError, match="damaged or no safetensors file"):
        AutoencoderCodec(16, 3, str(tmp_path / "bad.safetensors"))


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        ("config.json", ConfigError, "has no config.json: name one that"),
        ("diffusion_pytorch_model.safetensors", DataError, "cannot be opened as an AutoencoderKL"),
    ],
)
def test_a_folder_that_misses_something_is_one_line(foreign, tmp_path, damage, error, message):
    for file in foreign[0].iterdir():
        if file.name != damage:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(error, match=message) as raised:
        DiffusersAutoencoderKL(16, 3, str(tmp_path))
    assert "\n" not in str(raised.value)


def test_without_diffusers_one_line_says_what_to_install(foreign, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ConfigError, match="needs diffusers .*pip install diffusers"):
        DiffusersAutoencoderKL(16, 3, str(foreign[0]))
