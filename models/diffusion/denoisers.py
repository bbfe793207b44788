"""A denoiser wraps a network so that every loss and every sampler can talk to it in one language.

It is a function D(x; sigma): given a clean image with Gaussian noise of standard deviation ``sigma`` added,
``x = clean + sigma * noise``, it returns its best guess of the clean image (Karras et al. 2022, section 2). A paper's
own coordinates are x times a number: the variance-preserving ``x_t`` of DDPM is ``x / sqrt(1 + sigma^2)``, the
``x_t`` of a rectified flow is ``x / (1 + sigma)``. How a network is asked (scale of its input, the number c_noise that
tells it the noise) and what it answers (the noise, the velocity, ...) is the whole difference between the classes here.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from models.diffusion.noise_tables import noise_table
from models.registry import denoisers_registry
from utils.batch import Condition
from utils.checks import check_images, check_rows
from utils.errors import ConfigError
from utils.schema import NonNegativeInt, PositiveFloat, PositiveInt


@dataclass(frozen=True)
class Prediction:
    """What a denoiser says about noisy images, in float32."""

    denoised: Tensor  # [N, C, H, W] D(x; sigma), the clean image as it is guessed
    output: Tensor  # [N, C, H, W] what the network answered: compare it with ``Denoiser.target``
    variance_fraction: Tensor | None = None  # [N, C, H, W] of a network that learns the reverse variance: see ``iddpm``
    log_uncertainty: Tensor | None = None  # [N] of a network that predicts its own loss


class Denoiser(nn.Module, ABC):
    """D(x; sigma) around a backbone. A subclass says how the backbone is asked and what its answer means.

    ``sigma_min`` and ``sigma_max`` are the noise levels it is made for; ``table`` holds the levels it was trained on,
    float32 [T] ascending, or None if they are continuous. The backbone must answer ``outputs`` numbers for each of an
    image.
    """

    outputs: ClassVar[int] = 1  # 2: a variance as well

    def __init__(self, backbone: nn.Module, sigma_min: float, sigma_max: float, table: Tensor | None = None):
        super().__init__()
        if not 0 < sigma_min < sigma_max:
            raise ConfigError(f"sigma_min must lie between 0 and sigma_max: {sigma_min} and {sigma_max} do not")
        self.backbone = backbone
        self.sigma_min = float(sigma_min)
        self.sigma_max = float(sigma_max)
        self.register_buffer("table", table, persistent=False)  # a function of the settings: no business of checkpoints

    def forward(self, x: Tensor, sigma: Tensor, cond: Condition | None = None) -> Tensor:
        """Return D(x; sigma), float32 [N, C, H, W]: the clean images as guessed from x, noisy by sigma [N].

        Raises ``ValueError`` for other shapes.
        """
        check_images(x)
        check_rows(sigma, len(x), "noise levels")
        return self.predict(x, sigma, cond).denoised

    @abstractmethod
    def predict(self, x: Tensor, sigma: Tensor, cond: Condition | None = None) -> Prediction:
        """Ask the backbone about noisy images x [N, C, H, W] with noise levels sigma [N]; float32 in and out."""

    @abstractmethod
    def target(self, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """Return what ``Prediction.output`` should be for x = clean + sigma * noise [N, C, H, W], with sigma [N]."""

    def ask(self, x: Tensor, c_noise: Tensor, cond: Condition | None) -> Tensor:
        """Run the backbone, under autocast perhaps, and give its answer in float32: precision ends at this line."""
        assert x.dtype == c_noise.dtype == torch.float32, f"denoisers take float32, not {x.dtype} and {c_noise.dtype}"
        return self.backbone(x, c_noise, cond or Condition()).to(torch.float32)


def per_image(values: Tensor) -> Tensor:
    """Shape one number an image, [N], so that it multiplies images [N, C, H, W]."""
    return values.view(-1, 1, 1, 1)


class TableDenoiser(Denoiser):
    """A denoiser trained on T noise levels only; the network is told the level by its index."""

    def __init__(self, backbone: nn.Module, num_steps: int | None, schedule: str):
        table = noise_table(schedule, 1000 if num_steps is None else num_steps).float()  # [T]
        super().__init__(backbone, table[0].item(), table[-1].item(), table)
        halfway = (table[1:] * table[:-1]).sqrt()  # [T - 1] where the nearest level changes, on the log scale
        self.register_buffer("halfway", halfway, persistent=False)

    def c_noise(self, sigma: Tensor) -> Tensor:
        """Return the index of the level nearest to each sigma on the log scale, as float32 [N]."""
        return torch.bucketize(sigma, self.halfway).to(torch.float32)


@denoisers_registry.add_to_registry(name="ddpm")
class DDPMDenoiser(TableDenoiser):
    """The network predicts the noise.

    Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models" (2020); tables in ``noise_tables.py``.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_steps: PositiveInt | None = None,  # length of the table; None: 1000
        schedule: Literal["linear", "cosine"] = "linear",
    ):
        super().__init__(backbone, num_steps, schedule)

    def predict(self, x: Tensor, sigma: Tensor, cond: Condition | None = None) -> Prediction:
        s = per_image(sigma)
        x_t = x / (1 + s**2).sqrt()  # variance-preserving: sqrt(abar) clean + sqrt(1 - abar) noise
        epsilon = self.ask(x_t, self.c_noise(sigma), cond)
        return Prediction(denoised=x - s * epsilon, output=epsilon)

    def target(self, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        return noise


@denoisers_registry.add_to_registry(name="iddpm")
class IDDPMDenoiser(DDPMDenoiser):
    """The network predicts the noise, and for each pixel the variance of a step back.

    Nichol, Dhariwal, "Improved Denoising Diffusion Probabilistic Models" (2021). The variance of a step from t to s is
    beta^v beta-tilde^(1 - v) (equation 15). Both ends depend on s, so it is v that is predicted here: the same network
    serves steps of any length, as in their section 4. Half the channels are the noise, the others r, of which v is
    (r + 1) / 2: from a last layer of zeros it starts half way.
    """

    outputs = 2

    def __init__(
        self,
        backbone: nn.Module,
        num_steps: PositiveInt | None = None,  # length of the table; None: 4000
        schedule: Literal["linear", "cosine"] = "cosine",
    ):
        super().__init__(backbone, 4000 if num_steps is None else num_steps, schedule)

    def predict(self, x: Tensor, sigma: Tensor, cond: Condition | None = None) -> Prediction:
        s = per_image(sigma)
        epsilon, r = self.ask(x / (1 + s**2).sqrt(), self.c_noise(sigma), cond).chunk(2, dim=1)
        return Prediction(denoised=x - s * epsilon, output=epsilon, variance_fraction=(r + 1) / 2)


@denoisers_registry.add_to_registry(name="v")
class VDenoiser(TableDenoiser):
    """The network predicts v = sqrt(abar) noise - sqrt(1 - abar) clean, well scaled at every noise level.

    Salimans and Ho, "Progressive Distillation for Fast Sampling of Diffusion Models" (2022), appendix D.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_steps: PositiveInt | None = None,  # length of the table; None: 1000
        schedule: Literal["linear", "cosine"] = "cosine",
    ):
        super().__init__(backbone, num_steps, schedule)

    def predict(self, x: Tensor, sigma: Tensor, cond: Condition | None = None) -> Prediction:
        s = per_image(sigma)
        length = (1 + s**2).sqrt()  # 1 / length = sqrt(abar), s / length = sqrt(1 - abar)
        v = self.ask(x / length, self.c_noise(sigma), cond)
        return Prediction(denoised=x / length**2 - s / length * v, output=v)

    def target(self, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        s = per_image(sigma)
        return (noise - s * clean) / (1 + s**2).sqrt()


class Uncertainty(nn.Module):
    """A learned function of the noise level: random Fourier features and one linear layer. It starts at zero."""

    def __init__(self, channels: int):
        super().__init__()
        self.register_buffer("frequencies", 2 * torch.pi * torch.randn(channels))
        self.register_buffer("phases", 2 * torch.pi * torch.rand(channels))
        self.linear = nn.Linear(channels, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, c_noise: Tensor) -> Tensor:
        """Turn c_noise [N] into the logarithm of the loss, float32 [N]."""
        with torch.autocast(c_noise.device.type, enabled=False):
            features = (c_noise.float()[:, None] * self.frequencies + self.phases).cos() * 2**0.5  # [N, channels]
            return self.linear(features).squeeze(1)


@denoisers_registry.add_to_registry(name="edm")
class EDMDenoiser(Denoiser):
    """The network's input and its target have unit variance at every noise level.

    Karras, Aittala, Aila, Laine, "Elucidating the Design Space of Diffusion-Based Generative Models" (2022), Table 1.
    ``sigma_data`` is the standard deviation of the data. With ``uncertainty_channels`` it also predicts, from the
    noise level alone, the logarithm of its own loss (Karras et al. 2024, section 2.1): see ``edm_uncertainty``.
    """

    def __init__(
        self,
        backbone: nn.Module,
        sigma_data: PositiveFloat = 0.5,
        sigma_min: PositiveFloat = 0.002,
        sigma_max: PositiveFloat = 80.0,
        uncertainty_channels: NonNegativeInt = 0,  # 0: none
    ):
        super().__init__(backbone, sigma_min, sigma_max)
        self.sigma_data = float(sigma_data)
        self.uncertainty = Uncertainty(uncertainty_channels) if uncertainty_channels else None

    def predict(self, x: Tensor, sigma: Tensor, cond: Condition | None = None) -> Prediction:
        s, variance = per_image(sigma), per_image(sigma) ** 2 + self.sigma_data**2
        c_skip = self.sigma_data**2 / variance
        c_out = s * self.sigma_data / variance.sqrt()
        c_in = 1 / variance.sqrt()
        c_noise = sigma.log() / 4
        F_x = self.ask(c_in * x, c_noise, cond)
        u = None if self.uncertainty is None else self.uncertainty(c_noise)
        return Prediction(denoised=c_skip * x + c_out * F_x, output=F_x, log_uncertainty=u)

    def target(self, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """Return (clean - c_skip x) / c_out (equation 8), written so that nothing cancels where sigma is small."""
        s = per_image(sigma)
        return (s * clean - self.sigma_data**2 * noise) / (self.sigma_data * (s**2 + self.sigma_data**2).sqrt())


@denoisers_registry.add_to_registry(name="flow")
class FlowDenoiser(Denoiser):
    """The network predicts the velocity of the straight path x_t = (1 - t) clean + t noise, v = noise - clean.

    Liu, Gong, Liu, "Flow Straight and Fast" (2022); Lipman et al., "Flow Matching for Generative Modeling" (2022).
    Time is a noise level by another name, t = sigma / (1 + sigma): the default range is t from 0.001 to 0.999. The
    network is told 1000 t, so that the embedding of a DDPM's step sees the numbers that it was made for.
    """

    def __init__(self, backbone: nn.Module, sigma_min: PositiveFloat = 0.001, sigma_max: PositiveFloat = 1000.0):
        super().__init__(backbone, sigma_min, sigma_max)

    def predict(self, x: Tensor, sigma: Tensor, cond: Condition | None = None) -> Prediction:
        t = sigma / (1 + sigma)  # [N] 0: clean, 1: noise
        x_t = x / per_image(1 + sigma)
        v = self.ask(x_t, 1000 * t, cond)
        return Prediction(denoised=x_t - per_image(t) * v, output=v)

    def target(self, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        return noise - clean
