"""A codec stands between images and a diffusion model: what the model learns and draws are the codec's latents."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from utils.errors import ConfigError


class Codec(nn.Module, ABC):
    """Images float32 [N, C, H, W] in [-1, 1] to latents float32 [N, c, h, w] and back. Nothing in it is trained.

    ``latent_shape`` is (c, h, w), with h = w. ``note`` is added to what a network says of sizes that it cannot take.
    """

    latent_shape: tuple[int, int, int]
    note: str = ""

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Return the latents of images; the same ones every time."""

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Return the images of latents."""

    def fit(self, images: Iterable[Tensor]) -> None:
        """Measure what a new run must know of its training images, [N, C, H, W] at a time."""

    def kept(self) -> dict[str, Any]:
        """Return what a checkpoint holds of it, tensors (``weights``) and plain values: enough to build it again."""
        return {}

    def described_origin(self) -> dict[str, Any]:
        """Say where it comes from and what it measured, beside a reported number."""
        return {}

    def offered(self) -> dict[str, int]:
        """The constructor arguments of a network that works on the latents."""
        channels, size, _ = self.latent_shape
        return {"image_size": size, "image_channels": channels}


class LatentCodec(Codec):
    """An autoencoder's latents, divided by their standard deviation over training images.

    Rombach et al. 2022, appendix G: one number for all channels. A latent is the posterior's mean: at the KL weights of
    latent diffusion the posterior is narrow, and what is deterministic needs no random numbers.

    ``described``: plain values from which a subclass builds the network; ``origin``: where the weights come from, with
    ``foreign_weights`` where they are not this project's.
    """

    def __init__(self, network: nn.Module, described: dict[str, Any], origin: dict[str, Any], std: float = 1.0):
        super().__init__()
        self.network, self.described, self.origin, self.std = network, described, origin, std

    @abstractmethod
    def mean(self, images: Tensor) -> Tensor:
        """Return the autoencoder's own latents [N, c, h, w]."""

    @abstractmethod
    def images_of(self, z: Tensor) -> Tensor:
        """Return the images of the autoencoder's own latents z [N, c, h, w]."""

    @property
    def note(self) -> str:
        channels, height, width = self.latent_shape
        return f" (here the images are the codec's latents, {channels} channels of {height}x{width})"

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        return self.mean(images).float() / self.std

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        return self.images_of(latents * self.std).float()

    @torch.no_grad()
    def fit(self, images: Iterable[Tensor]) -> None:
        """Measure the standard deviation. Raises :class:`ConfigError` when there is none to divide by."""
        self.std = torch.cat([self.mean(some).double().flatten() for some in images]).std(correction=0).item()
        if not 0 < self.std < math.inf:
            raise ConfigError(f"the latents' standard deviation is {self.std:g}: this autoencoder has learnt nothing")

    def described_origin(self) -> dict[str, Any]:
        return {**self.origin, "latent_std": self.std}

    def kept(self) -> dict[str, Any]:
        weights = self.network.state_dict()
        return {"described": self.described, "origin": self.origin, "std": self.std, "weights": weights}
