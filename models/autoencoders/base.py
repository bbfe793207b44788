"""What every autoencoder answers, so that losses, studies and codecs can talk to each of them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Posterior:
    """q(z | x): a normal distribution for each number of a latent, or the point ``mean`` without a variance."""

    mean: Tensor  # [N, c, h, w]
    log_variance: Tensor | None = None  # [N, c, h, w]; None: a plain autoencoder knows no doubt

    def sample(self, noise: Tensor) -> Tensor:
        """Return mean + std * noise for standard normal ``noise`` [N, c, h, w] (Kingma & Welling 2014, section 2.4)."""
        return self.mean if self.log_variance is None else self.mean + torch.exp(self.log_variance / 2) * noise


@dataclass(frozen=True)
class Reconstruction:
    """Images read back from their latents."""

    images: Tensor  # [N, C, H, W]
    posterior: Posterior


class Autoencoder(nn.Module, ABC):
    """Images [N, C, H, W] in [-1, 1] to latents and back. ``latent_shape`` is (c, h, w), without the batch."""

    latent_shape: tuple[int, int, int]

    @abstractmethod
    def encode(self, x: Tensor) -> Posterior:
        """Say which latents stand for x [N, C, H, W]."""

    @abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """Turn latents z [N, c, h, w] into images [N, C, H, W]."""

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Reconstruction:
        """Write x down and read it back: through a drawn latent for ``noise`` [N, c, h, w], else through the mean."""
        posterior = self.encode(x)
        return Reconstruction(self.decode(posterior.mean if noise is None else posterior.sample(noise)), posterior)
