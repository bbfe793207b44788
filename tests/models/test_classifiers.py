"""The residual classifier beyond what holds for every network, and the file that a classifier is exported to."""

import json

import pytest
import torch
from safetensors.torch import save_file

import models  # noqa: F401 - fills the registries
from models.classifiers.export import (
    Description,
    export_classifier,
    load_classifier,
    load_noisy_classifier,
    read_classifier,
)
from models.classifiers.noisy import noisy_input
from models.classifiers.resnet import ResNet
from utils.errors import ConfigError, DataError

SMALL = {"base_channels": 8, "channel_mult": [1, 2], "blocks_per_level": 2}
DATA = {"image_size": 16, "image_channels": 3, "num_classes": 4}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_are_those_of_the_layers_written_out():
    """Widths 8, 8, 16, 16: 3 by 3 convolutions without bias, two numbers a channel for each norm, a 1 by 1 where the
    width changes, and the logits."""
    blocks = [(8, 8), (8, 8), (8, 16), (16, 16)]
    expected = 3 * 8 * 9 + sum(2 * a + 9 * a * b + 2 * b + 9 * b * b for a, b in blocks) + 8 * 16 + 2 * 16 + 16 * 4 + 4
    assert parameters(ResNet(**DATA, **SMALL)) == expected


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_each_level_halves_the_picture_that_patch_has_folded(patch):
    network = ResNet(**DATA, **SMALL, patch=patch)
    sizes = []
    for block in network.blocks:
        block.register_forward_hook(lambda module, inputs, output: sizes.append(output.shape[1:]))
    network(torch.randn(2, 3, 16, 16))
    side = 16 // patch
    assert sizes == [(8, side, side)] * 2 + [(16, side // 2, side // 2)] * 2


def test_every_block_starts_as_its_shortcut():
    network = ResNet(**DATA, **SMALL)
    for block in network.blocks:
        x = torch.randn(2, block.norm1.num_features, 8, 8)
        pooled = x if block.how is None else torch.nn.functional.avg_pool2d(x, 2)
        assert torch.equal(block(x, None), block.skip(pooled))


def test_a_plain_classifier_looks_at_no_noise_level_and_a_noisy_one_does():
    x = torch.randn(2, 3, 16, 16)
    plain, noisy = (ResNet(**DATA, **SMALL, noise_conditional=told).eval() for told in (False, True))
    for block in noisy.blocks:
        torch.nn.init.normal_(block.conv2.weight, std=0.1)
    low, high = torch.full((2,), -1.0), torch.full((2,), 1.0)
    assert torch.equal(plain(x), plain(x, high))
    assert not torch.allclose(noisy(x, low), noisy(x, high))


def test_with_group_norm_a_picture_does_not_see_its_batch_even_in_training():
    network = ResNet(**DATA, **SMALL, norm="group").train()
    x = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(network(x)[:1], network(x[:1]))
    batch = ResNet(**DATA, **SMALL, norm="batch").train()
    assert not torch.allclose(batch(x)[:1], batch(x[:1]), atol=1e-3)


# ---- The export.


@pytest.fixture
def exported(tmp_path):
    """A file, and the network that was written."""
    network = ResNet(**DATA, **SMALL, patch=2)
    network(torch.randn(4, 3, 16, 16))  # moves the statistics of its norms
    described = Description("resnet", {**DATA, **SMALL, "patch": 2}, ["a", "b", "c", "d"], {"step": 7})
    export_classifier(tmp_path / "classifier.safetensors", network, described)
    return tmp_path / "classifier.safetensors", network.eval()


def test_an_exported_classifier_takes_grey_levels_and_gives_the_same_logits(exported):
    path, network = exported
    classifier = load_classifier(path)
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    assert torch.equal(classifier(images), network(images / 127.5 - 1))
    assert classifier.class_names == ("a", "b", "c", "d")
    assert classifier.about == {"step": 7} and len(classifier.weights_hash) == 64


def test_it_is_in_eval_mode_and_nothing_in_it_is_trained(exported):
    classifier = load_classifier(exported[0])
    assert not any(module.training for module in classifier.modules())
    assert not any(parameter.requires_grad for parameter in classifier.parameters())


def test_pictures_of_another_size_or_type_are_refused(exported):
    classifier = load_classifier(exported[0])
    with pytest.raises(ValueError, match="16 pixels a side"):
        classifier(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    with pytest.raises(ValueError, match="uint8"):
        classifier(torch.zeros(1, 3, 16, 16))


def test_a_noisy_classifier_is_asked_with_noise_levels(tmp_path):
    arguments = {**DATA, **SMALL, "noise_conditional": True}
    network = ResNet(**arguments).eval()
    export_classifier(tmp_path / "noisy.safetensors", network, Description("resnet", arguments, ["a"] * 4, {}))
    x, sigma = torch.randn(2, 3, 16, 16), torch.tensor([0.1, 10.0])
    asked = load_noisy_classifier(tmp_path / "noisy.safetensors")
    assert torch.equal(asked(x, sigma), network(*noisy_input(x, sigma)))
    with pytest.raises(ConfigError, match="a classifier of noisy pictures"):
        load_classifier(tmp_path / "noisy.safetensors")


def test_a_plain_classifier_cannot_guide(exported):
    with pytest.raises(ConfigError, match="was trained on clean pictures"):
        load_noisy_classifier(exported[0])


def test_what_is_no_export_is_one_line(tmp_path, exported):
    said = "^path=.*/none.safetensors: there is no such classifier; near it lie .*/classifier.safetensors; the study"
    with pytest.raises(ConfigError, match=said):
        read_classifier(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    with pytest.raises(DataError, match="damaged or no safetensors file"):
        read_classifier(tmp_path / "bad.safetensors")
    save_file(
        {"a": torch.zeros(1)}, tmp_path / "other.safetensors", {"format": "mise classifier 10", "x": json.dumps({})}
    )
    with pytest.raises(DataError, match="no classifier that this version can read"):
        read_classifier(tmp_path / "other.safetensors")
    export_classifier(tmp_path / "old.safetensors", exported[1], Description("resnet", {**DATA, "depth": 9}, [], {}))
    with pytest.raises(DataError, match="does not fit this version of resnet"):
        read_classifier(tmp_path / "old.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(exported[0].read_bytes()[:-100])
    with pytest.raises(DataError, match="damaged"):
        read_classifier(tmp_path / "cut.safetensors")
