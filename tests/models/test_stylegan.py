"""StyleGAN and StyleGAN2 against the authors' parameter counts; mixing, noise, the mean of w and truncation."""

import pytest
import torch
from torch import Tensor, nn

from models.gan.style import MEAN_W_DECAY, Mapping, StyleGenerator, Truncated
from models.gan.stylegan import StyleAfterNoise, StyleGANGenerator
from models.gan.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator
from models.layers.hashed import hashed_normal, seeds_of
from utils.batch import Condition
from utils.errors import ConfigError

GENERATORS = [StyleGANGenerator, StyleGAN2Generator]
every_generator = pytest.mark.parametrize("cls", GENERATORS)
LABELS = Condition(torch.tensor([0, 1, 2, 3]))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def small(cls: type, **settings) -> nn.Module:
    """Return the smallest network, its zeros (noise strengths, biases) replaced by small numbers."""
    network = cls(16, 3, 3, **{**cls.smallest, **settings})
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network


# ---- The networks.


@pytest.mark.parametrize(("mapping_layers", "parameters"), [(8, 30_370_060), (2, 28_794_124)])
def test_stylegan2_s_generator_has_the_parameters_that_its_authors_code_prints(mapping_layers, parameters):
    """1024 by 1024: stylegan2-ada-pytorch prints 28,794,124 with two layers in the mapping network; eight, which is the
    paper's configuration F with its 30.37 M, are six of 512 * 512 + 512 more."""
    assert parameters == 28_794_124 + (mapping_layers - 2) * 262_656
    with torch.device("meta"):
        assert count(StyleGAN2Generator(1024, 3, 0, mapping_layers=mapping_layers)) == parameters


def test_stylegan2_s_layers_have_the_parameters_that_its_authors_code_prints():
    """The rows b4.conv1, b4.torgb, b128.conv0, b1024.conv1 and b1024.torgb of the same table."""
    with torch.device("meta"):
        network = StyleGAN2Generator(1024, 3, 0)
    assert [count(network.convs[k]) for k in (0, 9, 16)] == [2_622_465, 1_442_561, 25_665]
    assert [count(network.to_image[k]) for k in (0, 8)] == [264_195, 16_515]
    assert (network.start.numel(), network.num_styles) == (8192, 18)


def test_stylegan2_s_discriminator_has_the_parameters_that_its_authors_code_prints():
    """1024 by 1024: 29,012,513, of which 4,194,816 are in the first fully connected layer (b4.fc)."""
    with torch.device("meta"):
        network = StyleGAN2Discriminator(1024, 3, 0)
    assert count(network) == 29_012_513
    assert (count(network.linear), count(network.conv), count(network.blocks[3])) == (4_194_816, 2_364_416, 1_901_312)


def test_stylegan_s_generator_has_the_parameters_that_its_authors_code_prints():
    """1024 by 1024: 26,219,627 (the README of stylegan; 26.2 M in the paper). Progressive growing, which is not here,
    has a 1 by 1 convolution to colours at each of 4, 8, ... 512 as well: 3 (C + 1) each."""
    growing = sum(3 * (channels + 1) for channels in (512, 512, 512, 512, 256, 128, 64, 32))
    with torch.device("meta"):
        network = StyleGANGenerator(1024, 3, 0)
    assert count(network) + growing == 26_219_627
    assert network.num_styles == 18


def test_labels_add_a_table_and_what_reads_it_and_nothing_else():
    """StyleGAN2-ADA's: a row beside z; a mapping network and a last layer as wide as the features."""
    w, last, classes = 8, 16, 3
    generators = [small(StyleGAN2Generator), StyleGAN2Generator(16, 3, 0, **StyleGAN2Generator.smallest)]
    assert count(generators[0]) - count(generators[1]) == (classes + 1) * w + w * w
    discs = [small(StyleGAN2Discriminator), StyleGAN2Discriminator(16, 3, 0, **StyleGAN2Discriminator.smallest)]
    mapping = (classes + 1) * last + 2 * (last * last + last)
    assert count(discs[0]) - count(discs[1]) == mapping + (last - 1) * (last + 1)


def test_the_mapping_network_is_its_formula_and_its_size_does_not_depend_on_the_size_of_z():
    """Rows of mean square 1 go in; weights are stored a hundred times larger than they are used."""
    mapping, z = Mapping(8, 0, 8, layers=2), torch.randn(4, 8)
    x = (z / z.square().mean(dim=1, keepdim=True).sqrt()).double()
    for layer in mapping.layers:
        x = x @ (layer.weight.double() * 0.01 / 8**0.5).T
        x = torch.where(x > 0, x, 0.2 * x) * 2**0.5
    torch.testing.assert_close(mapping(z, Condition()).double(), x, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mapping(100 * z, Condition()), mapping(z, Condition()), rtol=1e-4, atol=1e-5)


def test_adain_gives_each_feature_map_the_mean_and_the_spread_that_the_style_says():
    """Equation 1: mean y_b and standard deviation |y_s|, whatever comes in."""
    layer, w = StyleAfterNoise(6, w_dim=4), torch.randn(3, 4)
    y = layer(5 + 3 * torch.randn(3, 6, 8, 8), w, torch.randn(3, 1, 8, 8))
    scale, shift = layer.affine(w).chunk(2, dim=1)
    torch.testing.assert_close(y.mean(dim=(2, 3)), shift, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(y.std(dim=(2, 3), unbiased=False), (1 + scale).abs(), rtol=1e-4, atol=1e-5)


def test_the_discriminator_looks_at_other_images_only_through_the_standard_deviation():
    network, x = small(StyleGAN2Discriminator, group_size=1).eval(), torch.randn(4, 3, 16, 16)
    alone = [network(x[i : i + 1], Condition(LABELS.labels[i : i + 1])) for i in range(4)]
    torch.testing.assert_close(torch.cat(alone), network(x, LABELS), rtol=1e-5, atol=1e-5)


@every_generator
def test_a_generator_names_the_size_it_cannot_make(cls):
    with pytest.raises(ConfigError, match="data.image_size 48: stylegan2? takes 4 times a power of two"):
        cls(48, 3, 0)


# ---- What is drawn at random.


@every_generator
def test_in_training_too_an_image_is_a_function_of_its_latent_and_label(cls):
    """Noise and mixing are hashed from z: neither the batch nor the global generator of random numbers matters."""
    network, z = small(cls), torch.randn(4, 8)
    together = network(z, LABELS)
    torch.manual_seed(1)
    alone = [network(z[i : i + 1], Condition(LABELS.labels[i : i + 1])) for i in range(4)]
    torch.testing.assert_close(torch.cat(alone), together, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@every_generator
def test_compiled_training_mixes_the_same_styles_and_moves_the_same_mean(cls):
    torch.compiler.reset()
    network, twin = small(cls), small(cls)
    twin.load_state_dict(network.state_dict())
    compiled, z = torch.compile(twin, backend="aot_eager", fullgraph=True), torch.randn(4, 8)
    torch.testing.assert_close(compiled(z, LABELS), network(z, LABELS), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(twin.mean_w, network.mean_w)


@every_generator
def test_noise_changes_an_image_by_its_strength_alone(cls):
    """Another z draws other noise; with strengths of zero the same w gives the same image."""
    network, w = small(cls).eval(), torch.randn(2, 6, 8)
    z = torch.randn(2, 8)
    assert (network.synthesize(w, z) - network.synthesize(w, -z)).abs().max() > 0.01
    for name, parameter in network.named_parameters():
        if "noise_strength" in name:
            nn.init.zeros_(parameter)
    assert torch.equal(network.synthesize(w, z), network.synthesize(w, -z))


def mixed_rows(network: StyleGenerator, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return which styles of ``count`` latents are their own, bool [N, L], and w of their own and of the others."""
    z = torch.randn(count, 8)
    labels = Condition(torch.zeros(count, dtype=torch.int64))
    styles, own = network.styles(z, labels), network.mapping(z, labels)[:, None]
    other = network.mapping(hashed_normal(seeds_of(z), 1, (8,)), labels)[:, None]
    is_own, is_other = ((styles - w).abs().amax(dim=2) < 1e-5 for w in (own, other))
    assert (is_own ^ is_other).all()
    return is_own, own, other


def test_mixing_takes_another_latent_s_style_from_a_random_layer_on_in_ninety_per_cent():
    """The first layer is always the own one; each of the other five is the first of the rest equally often."""
    is_own, own, other = mixed_rows(StyleGAN2Generator(16, 3, 3, **StyleGAN2Generator.smallest), 4000)
    assert (is_own.int().diff(dim=1) <= 0).all()  # own, own, ..., other, other
    lengths = is_own.sum(dim=1)
    shares = torch.bincount(lengths, minlength=7)[1:] / 4000
    expected = torch.tensor([0.18] * 5 + [0.10])
    torch.testing.assert_close(shares, expected, rtol=0, atol=0.03)  # five standard errors of 0.006
    assert (own - other).abs().mean() > 0.1  # and the two are different


@pytest.mark.parametrize("how", ["eval", "never"])
def test_without_mixing_every_layer_has_the_same_style(how):
    network = small(StyleGAN2Generator, style_mixing=0.0 if how == "never" else 0.9).train(how == "never")
    styles = network.styles(torch.randn(4, 8), LABELS)
    assert torch.equal(styles, styles[:, :1].expand_as(styles))


# ---- The mean of w.


def test_the_mean_of_w_follows_the_styles_of_training_passes_and_no_others():
    """After n passes over the same batch it is (1 - decay^n) times the batch's mean of w."""
    network, z = small(StyleGAN2Generator), torch.randn(4, 8)
    for _ in range(10):
        network(z, LABELS)
    network.eval()(z, LABELS)
    expected = (1 - MEAN_W_DECAY**10) * network.mapping(z, LABELS).mean(dim=0)
    torch.testing.assert_close(network.mean_w, expected, rtol=1e-4, atol=1e-6)
    assert "mean_w" in network.state_dict()


@every_generator
def test_truncation_by_one_changes_nothing_and_by_zero_leaves_one_style(cls):
    network, z = small(cls).eval(), torch.randn(4, 8)
    network.mean_w += torch.randn(8)
    torch.testing.assert_close(Truncated(network, 1.0)(z, LABELS), network(z, LABELS), rtol=1e-4, atol=1e-5)
    styles = network.mean_w.expand(4, network.num_styles, -1)
    torch.testing.assert_close(Truncated(network, 0.0)(z, LABELS), network.synthesize(styles, z))


def test_truncation_by_a_half_is_the_image_of_w_half_way():
    network, z = small(StyleGAN2Generator).eval(), torch.randn(4, 8)
    network.mean_w += torch.randn(8)
    half = (network.styles(z, LABELS) + network.mean_w) / 2
    torch.testing.assert_close(Truncated(network, 0.5)(z, LABELS), network.synthesize(half, z), rtol=1e-4, atol=1e-5)
