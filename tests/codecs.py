"""Tiny codecs as files, for tests of several folders."""

from pathlib import Path

import torch
from torch import nn

from models.autoencoders.export import export_autoencoder
from models.autoencoders.kl import KLAutoencoder

SMALL = {"base_channels": 8, "channel_mult": [1, 2], "blocks_per_level": 1, "latent_channels": 4}


def write_autoencoder(
    path: Path, size: int = 16, channels: int = 3, seed: int = 0, factor: float = 14.0, **settings
) -> KLAutoencoder:
    """Export an untrained autoencoder, its latents multiplied by ``factor``, and return it."""
    arguments = {"image_size": size, "image_channels": channels, **SMALL, **settings}
    torch.manual_seed(seed)
    network = KLAutoencoder(**arguments).eval()
    for parameter in network.to_moments.parameters():
        parameter.data *= factor
    export_autoencoder(path, network, "kl_autoencoder", arguments, {"step": 7})
    return network


def write_diffusers_folder(path: Path) -> nn.Module:
    """Write a tiny AutoencoderKL of random weights as diffusers does, and return it: factor 2, 4 channels."""
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    network = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        latent_channels=4,
    ).eval()
    network.save_pretrained(path)
    return network
