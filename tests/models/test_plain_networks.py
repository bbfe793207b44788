"""The template's networks and DCGAN: widths, sizes, and what they refuse."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from models.diffusion.base_diffusion import BaseDiffusion
from models.gan.base import BaseDiscriminator, BaseGenerator
from models.gan.dcgan import DCGANDiscriminator, DCGANGenerator
from models.registry import gens_registry
from utils.batch import Condition
from utils.errors import ConfigError


@pytest.mark.parametrize("settings", [{"hidden_dim": 512}, {"base_hidden_dim": 64}])
def test_the_template_gives_one_width_and_the_other_follows(settings):
    """Its config says 512 with 3 blocks; widths double at each, so the first is 512 / 2^3 = 64."""
    with torch.device("meta"):
        net = BaseDiffusion(64, 3, 0, **settings)
    assert net.conv_in.out_channels == 64
    assert net.middle.conv2.out_channels == 512
    assert net.num_steps == 1000


@pytest.mark.parametrize(
    ("size", "settings", "message"),
    [
        (64, {}, "hidden_dim .* is missing: set it or base_hidden_dim"),
        (64, {"hidden_dim": 512, "base_hidden_dim": 32}, r"hidden_dim 512 is not base_hidden_dim 32 \* 2\^3"),
        (64, {"hidden_dim": 100}, "hidden_dim 100 is not a multiple of 16, as blocks_num 3 asks"),
        (64, {"base_hidden_dim": 3}, "base_hidden_dim must be even, not 3"),
        (36, {"hidden_dim": 512}, "data.image_size 36 is not a multiple of 8, which blocks_num 3 needs"),
    ],
)
def test_widths_that_do_not_fit_together_are_one_line_that_names_them(size, settings, message):
    with pytest.raises(ConfigError, match=message):
        BaseDiffusion(size, 3, 0, **settings)


def test_both_widths_are_accepted_when_they_agree():
    net = BaseDiffusion(16, 3, 0, hidden_dim=16, base_hidden_dim=4, blocks_num=2)
    assert net(torch.randn(1, 3, 16, 16), torch.ones(1), Condition()).shape == (1, 3, 16, 16)


@pytest.mark.parametrize(("size", "blocks", "start"), [(64, 4, 4), (48, 3, 6), (32, 5, 1)])
def test_the_plain_pair_starts_and_ends_at_the_size_over_two_to_the_blocks(size, blocks, start):
    generator = BaseGenerator(size, 3, 0, z_dim=4, hidden_dim=8, blocks_num=blocks)
    assert generator.start == (8, start, start)
    images = generator(torch.randn(2, 4), Condition())
    assert images.shape == (2, 3, size, size)
    discriminator = BaseDiscriminator(size, 3, 0, hidden_dim=8, blocks_num=blocks)
    assert discriminator.to_logit.in_features == 8 * start**2
    assert discriminator(images, Condition()).shape == (2,)


@pytest.mark.parametrize("cls", [BaseGenerator, BaseDiscriminator])
def test_the_plain_pair_names_the_size_it_cannot_make(cls):
    with pytest.raises(ConfigError, match="data.image_size 40 is not a multiple of 16, which blocks_num 4 needs"):
        cls(40, 3, 0)


def test_the_dcgan_generator_has_the_widths_of_figure_1():
    """1024, 512, 256 and 128 channels at 4, 8, 16 and 32 (Radford et al. 2015, figure 1)."""
    with torch.device("meta"):
        net = DCGANGenerator(64, 3, 0)
    convolutions = [layer for layer in net.layers if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.in_channels for layer in convolutions] == [100, 1024, 512, 256, 128]
    assert convolutions[-1].out_channels == 3


@pytest.mark.parametrize("cls", [DCGANGenerator, DCGANDiscriminator])
def test_dcgan_starts_from_the_papers_normal_weights(cls):
    """Standard deviation 0.02; of n numbers it is measured to 0.02 / sqrt(2 n), of which five are allowed."""
    torch.manual_seed(0)
    convolutions = [
        m for m in cls(32, 3, 3, base_channels=16).modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))
    ]
    for layer in convolutions:
        n = layer.weight.numel()
        assert layer.weight.std().item() == pytest.approx(0.02, abs=5 * 0.02 / (2 * n) ** 0.5)


def test_dcgan_normalises_neither_the_image_it_makes_nor_the_one_it_judges():
    """Batch norm everywhere but at the generator's output and the discriminator's input (section 3)."""
    with torch.device("meta"):
        generator, discriminator = DCGANGenerator(64, 3, 0), DCGANDiscriminator(64, 3, 0)
    assert [type(layer) for layer in generator.layers[-3:]] == [nn.ReLU, nn.ConvTranspose2d, nn.Tanh]
    assert [type(layer) for layer in discriminator.layers[:3]] == [nn.Conv2d, nn.LeakyReLU, nn.Conv2d]
    norms = [sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) for net in (generator, discriminator)]
    assert norms == [4, 3]


@pytest.mark.parametrize("cls", [DCGANGenerator, DCGANDiscriminator])
@pytest.mark.parametrize(
    ("size", "message"), [(48, "dcgan takes 4 times a power of two"), (4, "multiple of 8, which dcgan")]
)
def test_dcgan_names_the_size_it_cannot_make(cls, size, message):
    with pytest.raises(ConfigError, match=f"data.image_size {size}.*{message}"):
        cls(size, 3, 0)


@pytest.mark.parametrize("name", ["base_gen", "dcgan", "sngan", "sagan"])
def test_a_generator_that_ends_in_tanh_stays_within_minus_one_and_one(name):
    torch.manual_seed(0)
    cls = gens_registry[name]
    network = cls(image_size=16, image_channels=3, num_classes=3, **cls.smallest)
    for parameter in network.parameters():
        parameter.data *= 20
    assert network(torch.randn(8, network.z_dim), Condition()).abs().max() <= 1


def test_importing_models_imports_every_module_of_the_package():
    """A model file that ``models/__init__.py`` forgets would be a name that no config can use."""
    code = (
        "import pkgutil, sys, models\n"
        "names = [m.name for m in pkgutil.walk_packages(models.__path__, 'models.')]\n"
        "print([name for name in names if name not in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
