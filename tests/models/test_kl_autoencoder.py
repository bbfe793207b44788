"""Our KL autoencoder against diffusers' AutoencoderKL with the weights carried over, and what it refuses.

diffusers is imported inside the tests: it is a development dependency, and slow to load.
"""

import pytest
import torch
from torch import nn

from models.autoencoders.base import Posterior
from models.autoencoders.kl import Double, Halve, KLAutoencoder, ResidualUnit
from models.diffusion.to_diffusers import copy_layer, copy_self_attention
from models.layers.blocks import GroupNorm, SelfAttention
from utils.errors import ConfigError

STABLE_DIFFUSION = {"channel_mult": [1, 2, 4, 4], "latent_channels": 4}


def theirs(channels: tuple[int, ...], layers: int, latent_channels: int, attention: bool = True) -> nn.Module:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        block_out_channels=channels,
        layers_per_block=layers,
        latent_channels=latent_channels,
        mid_block_add_attention=attention,
    ).eval()


def copy_unit(other: nn.Module, ours: ResidualUnit) -> None:
    for name in ("norm1", "conv1", "norm2", "conv2"):
        copy_layer(getattr(other, name), getattr(ours, name))
    if other.conv_shortcut is not None:
        copy_layer(other.conv_shortcut, ours.skip)


def their_layers(half: nn.Module, middle_first: bool) -> list[nn.Module]:
    """Return the layers of an encoder or decoder of diffusers in the order of their use."""
    attentions = [layer for layer in half.mid_block.attentions if layer is not None]
    middle = [half.mid_block.resnets[0], *attentions, half.mid_block.resnets[1]]
    levels = []
    for block in half.up_blocks if middle_first else half.down_blocks:
        resamplers = block.upsamplers if middle_first else block.downsamplers
        levels += [*block.resnets, *(resamplers or [])]
    inner = middle + levels if middle_first else levels + middle
    return [half.conv_in, *inner, half.conv_norm_out, half.conv_out]


def copy_half(other: nn.Module, ours: nn.Sequential, middle_first: bool) -> None:
    layers = [layer for layer in ours if any(True for _ in layer.parameters())]
    for their_layer, layer in zip(their_layers(other, middle_first), layers, strict=True):
        if isinstance(layer, ResidualUnit):
            copy_unit(their_layer, layer)
        elif isinstance(layer, SelfAttention):
            copy_self_attention(their_layer, layer)
        else:
            copy_layer(
                getattr(their_layer, "conv", their_layer), layer.conv if isinstance(layer, (Halve, Double)) else layer
            )


def copy_autoencoder(other: nn.Module, ours: KLAutoencoder) -> None:
    copy_half(other.encoder, ours.encoder, middle_first=False)
    copy_half(other.decoder, ours.decoder, middle_first=True)
    copy_layer(other.quant_conv, ours.to_moments)
    copy_layer(other.post_quant_conv, ours.from_latent)


@pytest.mark.parametrize("attention", [True, False])
@torch.no_grad()
def test_it_is_the_autoencoder_of_diffusers(attention):
    """128 channels and more: below that our group norms have fewer groups."""
    torch.manual_seed(0)
    ours = KLAutoencoder(16, 3, 128, [1, 1, 2], blocks_per_level=1, latent_channels=4, attention=attention).eval()
    for parameter in ours.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    other = theirs((128, 128, 256), layers=1, latent_channels=4, attention=attention)
    assert sum(p.numel() for p in other.parameters()) == sum(p.numel() for p in ours.parameters())
    copy_autoencoder(other, ours)
    x, z, noise = torch.randn(2, 3, 16, 16), torch.randn(2, 4, 4, 4), torch.randn(2, 4, 4, 4)
    posterior, expected = ours.encode(x), other.encode(x).latent_dist
    torch.testing.assert_close(posterior.mean, expected.mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(posterior.log_variance, expected.logvar, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(posterior.sample(noise), expected.mean + expected.std * noise, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.decode(z), other.decode(z).sample, rtol=1e-4, atol=1e-4)
    assert posterior.mean.std() > 0.1
    assert ours.decode(z).std() > 0.1


def test_kl_f8_has_the_parameters_of_stable_diffusion_s():
    """83,653,863: diffusers' AutoencoderKL with the settings that Stable Diffusion publishes."""
    with torch.device("meta"):
        ours = sum(p.numel() for p in KLAutoencoder(256, 3, **STABLE_DIFFUSION).parameters())
        other = sum(p.numel() for p in theirs((128, 256, 512, 512), layers=2, latent_channels=4).parameters())
    assert ours == other == 83_653_863


@pytest.mark.parametrize(("patch", "levels", "factor"), [(1, 2, 2), (1, 3, 4), (2, 2, 4), (4, 2, 8), (2, 3, 8)])
def test_latents_are_smaller_by_the_factor(patch, levels, factor):
    network = KLAutoencoder(16, 3, 8, [1] * levels, 1, latent_channels=5, patch=patch)
    assert network.factor == factor
    assert network.latent_shape == (5, 16 // factor, 16 // factor)
    answer = network(torch.randn(2, 3, 16, 16))
    assert answer.posterior.mean.shape == (2, *network.latent_shape)
    assert answer.images.shape == (2, 3, 16, 16)


def test_without_noise_the_latent_is_the_mean_and_with_noise_it_is_drawn():
    network = KLAutoencoder(16, 3, **KLAutoencoder.smallest).eval()
    x, noise = torch.randn(2, 3, 16, 16), torch.randn(2, *network.latent_shape)
    posterior = network.encode(x)
    assert torch.equal(network(x).images, network.decode(posterior.mean))
    drawn = posterior.mean + torch.exp(0.5 * posterior.log_variance) * noise
    torch.testing.assert_close(network(x, noise).images, network.decode(drawn))


def test_a_posterior_without_variance_is_a_point():
    posterior = Posterior(torch.randn(2, 3, 4, 4))
    assert torch.equal(posterior.sample(torch.randn(2, 3, 4, 4)), posterior.mean)


def test_its_norms_have_the_epsilon_of_the_authors():
    norms = [
        module for module in KLAutoencoder(16, 3, **KLAutoencoder.smallest).modules() if isinstance(module, GroupNorm)
    ]
    assert norms
    assert {norm.eps for norm in norms} == {1e-6}


@pytest.mark.parametrize(
    ("size", "settings", "message"),
    [
        (20, {"channel_mult": [1, 2, 4, 4]}, "20 is not a multiple of 8, which patch 1 with the 4 levels"),
        (16, {"channel_mult": []}, "channel_mult is empty"),
    ],
)
def test_what_does_not_fit_is_one_line(size, settings, message):
    with pytest.raises(ConfigError, match=message):
        KLAutoencoder(size, 3, **{"base_channels": 8, **settings})
