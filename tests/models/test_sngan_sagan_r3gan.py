"""SNGAN, SAGAN and R3GAN against their papers: parameters, widths, starting weights, and what they refuse."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from models.gan.r3gan import BottleneckBlock, R3GANDiscriminator, R3GANGenerator
from models.gan.sagan import SAGANDiscriminator, SAGANGenerator
from models.gan.sngan import SNGANDiscriminator, SNGANGenerator
from utils.batch import Condition
from utils.errors import ConfigError


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_sagan_has_the_81_5_million_parameters_that_brock_et_al_count():
    """Both players on ImageNet at 128 by 128: Brock et al. 2019 (BigGAN), table 1, first row.

    999 classes and the null class make their table of 1000 rows.
    """
    players = SAGANGenerator(128, 3, 999), SAGANDiscriminator(128, 3, 999)
    assert sum(map(count, players)) / 1e6 == pytest.approx(81.5, abs=0.05)


def test_sngan_s_generator_for_cifar_has_the_layers_of_its_table():
    """Miyato et al. 2018, table 4, added up by hand: they state no number."""
    dense = 128 * 4 * 4 * 256 + 4 * 4 * 256
    block = 2 * 9 * 256 * 256 + 256 * 256 + 2 * 2 * 256  # two 3 by 3, one 1 by 1, two batch norms
    last = 2 * 256 + 9 * 256 * 3 + 3
    with torch.device("meta"):
        net = SNGANGenerator(32, 3, 0, base_channels=256, max_channels=256)
    assert count(net) == dense + 3 * block + last


def test_sngan_has_the_widths_of_table_5():
    """ImageNet, 128 by 128: 1024, 1024, 512, 256, 128, 64 up, and 64, 128, 256, 512, 1024, 1024 down."""
    with torch.device("meta"):
        generator = SNGANGenerator(128, 3, 0)
    assert generator.start == (1024, 4, 4)
    assert [block.conv2.out_channels for block in generator.blocks] == [1024, 512, 256, 128, 64]
    small = SNGANDiscriminator(128, 3, 0, base_channels=4, max_channels=64)
    assert [block.conv2.out_channels for block in small.blocks] == [4, 8, 16, 32, 64, 64]
    assert [block.down for block in small.blocks] == ["down"] * 5 + [None]


def test_only_sagan_normalises_its_generator():
    normalised = {
        cls: sum("original" in name for name, _ in cls(16, 3, 3, **cls.smallest).named_parameters())
        for cls in (SNGANGenerator, SAGANGenerator)
    }
    assert normalised[SNGANGenerator] == 0
    assert normalised[SAGANGenerator] == 1 + 2 * 3 + 4 + 1  # linear, two blocks, attention, the last convolution


@pytest.mark.parametrize("cls", [SNGANDiscriminator, SAGANDiscriminator])
def test_every_weight_of_their_discriminators_is_normalised(cls):
    """No layer stretches by more than one, the label's table included; biases and attention's gamma are free."""
    torch.manual_seed(0)
    net = cls(16, 3, 3, **cls.smallest)
    for _ in range(100):
        net(torch.randn(4, 3, 16, 16), Condition(torch.tensor([0, 1, 2, 3])))
    weights = [module.weight for module in net.eval().modules() if is_parametrized(module)]
    norms = [torch.linalg.matrix_norm(weight.flatten(1), 2).item() for weight in weights]
    assert norms == pytest.approx([1] * len(norms), abs=0.01)
    free = [name for name, _ in net.named_parameters() if not name.endswith("original")]
    assert all(name.endswith(("bias", "gamma")) for name in free)


@pytest.mark.parametrize(("cls", "millions"), [(R3GANGenerator, 23.058), (R3GANDiscriminator, 23.010)])
def test_r3gan_has_the_parameters_of_the_paper_s_config_e(cls, millions):
    """FFHQ at 256 by 256: 23.058 M and 23.010 M (Huang et al. 2024, the roadmap's table)."""
    with torch.device("meta"):
        assert round(count(cls(256, 3, 0)) / 1e6, 3) == millions


def test_a_block_of_r3gan_starts_as_the_identity_with_its_inner_weights_scaled_down():
    """He's standard deviation sqrt(2 / (1 + 0.2^2) / fan in), times L^(-1/4): half of it for L = 16 blocks."""
    torch.manual_seed(0)
    block, x = BottleneckBlock(64, expansion=2, group_size=16, blocks=16), torch.randn(2, 64, 4, 4)
    assert torch.equal(block(x), x)
    gain = math.sqrt(2 / (1 + 0.2**2))
    for layer, fan_in in ((block.widen, 64), (block.mix, 16 * 9)):
        n = layer.weight.numel()
        expected = gain / math.sqrt(fan_in) / 2
        assert layer.weight.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * n))


def test_r3gan_s_signals_start_near_the_size_of_one():
    torch.manual_seed(0)
    widths = {"widths": [64, 64, 64, 32, 32]}
    images = R3GANGenerator(64, 3, 0, **widths)(torch.randn(64, 64), Condition())
    logits = R3GANDiscriminator(64, 3, 0, **widths)(torch.randn(64, 3, 64, 64), Condition())
    assert 0.3 < images.std() < 3
    assert 0.03 < logits.std() < 3  # averages over white noise are small


SMALL = {"widths": [16, 16, 8], "group_size": 8}


@pytest.mark.parametrize("cls", [R3GANGenerator, R3GANDiscriminator])
@pytest.mark.parametrize(
    ("size", "settings", "message"),
    [
        (48, {}, "data.image_size 48: r3gan takes 4 times a power of two"),
        (32, SMALL, r"widths \[16, 16, 8\]: data.image_size 32 takes 4, for 4, 8, ... 32"),
        (16, {**SMALL, "group_size": 10}, r"group_size 10 does not divide \d+, the channels inside a block"),
    ],
)
def test_r3gan_names_what_does_not_fit_together(cls, size, settings, message):
    with pytest.raises(ConfigError, match=message):
        cls(size, 3, 0, **settings)


@pytest.mark.parametrize("cls", [SNGANGenerator, SNGANDiscriminator])
def test_sngan_names_the_size_it_cannot_make(cls):
    with pytest.raises(ConfigError, match="data.image_size 48: .* takes 4 times a power of two"):
        cls(48, 3, 0)


@pytest.mark.parametrize("cls", [SAGANGenerator, SAGANDiscriminator])
def test_sagan_names_the_sizes_at_which_it_could_attend(cls):
    with pytest.raises(ConfigError, match=r"attention_resolution 5 is not a size of the feature map here \(\["):
        cls(32, 3, 0, attention_resolution=5)
