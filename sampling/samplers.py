"""How to step from noise to an image. Every sampler has one signature and serves every denoiser.

A sampler starts at ``x = levels[0] * noise`` and walks down the levels. Its state is the variance-exploding
x = clean + sigma * noise in which denoisers speak, so at sigma = 0 it is the image. (The x_T ~ N(0, I) of DDPM would
start at sqrt(1 + sigma^2) instead of sigma: for its table 2 in 100,000 more.) Here t is the level stepped from, s the
level stepped to, both Python floats: coefficients are float64, the state is float32.
"""

import math
from abc import ABC, abstractmethod
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from sampling.chain import large_variance, small_variance
from sampling.registry import samplers_registry
from utils.batch import Condition
from utils.checks import described
from utils.schema import Fraction, NonNegativeFloat
from utils.seeding import ImageRng


class Sampler(ABC):
    """What all samplers share: how they are called, and that they say what they cost."""

    @abstractmethod
    def __call__(
        self, denoiser: nn.Module, noise: Tensor, cond: Condition | None, levels: Tensor, rng: ImageRng
    ) -> Tensor:
        """Return images, float32 [N, C, H, W], from noise of unit variance [N, C, H, W].

        ``levels`` are the sigmas to walk down, [steps + 1], the last one 0; ``rng`` draws each image's fresh noise from
        its own stream. Nothing here asks what the denoiser is made of.
        """

    @abstractmethod
    def evaluations(self, steps: int) -> int:
        """Return how often the denoiser is called in so many steps."""


def walk(noise: Tensor, levels: Tensor) -> list[float]:
    """Return the levels as numbers. Raises ``ValueError`` for what no sampler can walk down, or start from."""
    if not noise.is_floating_point() or noise.ndim < 2 or len(noise) == 0:
        raise ValueError(f"float noise [N, ...] with N >= 1 is wanted, not {described(noise)}")
    sigmas = levels.tolist()
    if levels.ndim != 1 or len(sigmas) < 2 or sigmas[-1] < 0 or not all(t > s for t, s in pairwise(sigmas)):
        raise ValueError(
            f"levels [steps + 1] that fall, to 0 at the least, are wanted, not {described(levels)}: {str(sigmas):.60}"
        )
    return sigmas


def denoise(denoiser: nn.Module, x: Tensor, sigma: float, cond: Condition | None) -> Tensor:
    """Return D(x; sigma) [N, C, H, W] for a batch that shares its noise level."""
    return denoiser(x, x.new_full((len(x),), sigma), cond)


@samplers_registry.add_to_registry(name="ddpm")
class DDPMSampler(Sampler):
    """Ancestral sampling (Ho et al. 2020, Algorithm 2): draw x_s from the posterior that takes D for the clean image.

    ``variance`` is that of the draw: ``small`` is beta-tilde, ``large`` is beta; ``auto`` is what the network has
    learned, between the two (Nichol and Dhariwal 2021, equation 15), and ``small`` for one that has not. ``clip`` keeps
    D in [-1, 1], which is right for images and wrong for latents.
    """

    def __init__(self, variance: Literal["auto", "small", "large"] = "auto", clip: bool = True):
        self.variance = variance
        self.clip = clip

    def evaluations(self, steps: int) -> int:
        return steps

    @torch.no_grad()
    def __call__(
        self, denoiser: nn.Module, noise: Tensor, cond: Condition | None, levels: Tensor, rng: ImageRng
    ) -> Tensor:
        sigmas = walk(noise, levels)
        x = noise * sigmas[0]
        for t, s in pairwise(sigmas):
            prediction = denoiser.predict(x, x.new_full((len(x),), t), cond)
            D = prediction.denoised.clamp(-1, 1) if self.clip else prediction.denoised
            x = D + (s / t) ** 2 * (x - D)  # the posterior's mean
            if s > 0:
                x = x + self.deviation(t, s, prediction.variance_fraction) * rng.randn(x.shape[1:], x.device)
        return x

    def deviation(self, t: float, s: float, learned: Tensor | None) -> Tensor | float:
        """Return the standard deviation of x_s; ``learned``: v of equation 15, [N, C, H, W]."""
        small, large = small_variance(t, s), large_variance(t, s)
        if self.variance == "large":
            return math.sqrt(large)
        if self.variance == "small" or learned is None:
            return math.sqrt(small)
        return math.sqrt(small) * (large / small) ** (learned / 2)


@samplers_registry.add_to_registry(name="ddim")
class DDIMSampler(Sampler):
    """Keep a part of the noise, draw the rest afresh (Song, Meng, Ermon 2020, equations 12 and 16).

    ``eta`` is the share drawn afresh: 0 is deterministic, 1 is the ``ddpm`` sampler. ``clip`` keeps D in [-1, 1].
    """

    def __init__(self, eta: Fraction = 0.0, clip: bool = True):
        self.eta = eta
        self.clip = clip

    def evaluations(self, steps: int) -> int:
        return steps

    @torch.no_grad()
    def __call__(
        self, denoiser: nn.Module, noise: Tensor, cond: Condition | None, levels: Tensor, rng: ImageRng
    ) -> Tensor:
        sigmas = walk(noise, levels)
        x = noise * sigmas[0]
        for t, s in pairwise(sigmas):
            D = denoise(denoiser, x, t, cond)
            D = D.clamp(-1, 1) if self.clip else D
            fresh = self.eta**2 * small_variance(t, s)
            x = D + math.sqrt(s**2 - fresh) * (x - D) / t  # (x - D) / t is the noise as predicted
            if fresh > 0:
                x = x + math.sqrt(fresh) * rng.randn(x.shape[1:], x.device)
        return x


@samplers_registry.add_to_registry(name="euler")
class EulerSampler(Sampler):
    """Euler's steps along dx/dsigma = (x - D) / sigma (Karras et al. 2022, equation 1 with sigma(t) = t).

    In these coordinates it is DDIM with eta 0, without the clipping; along a rectified flow it is the usual Euler.
    """

    def evaluations(self, steps: int) -> int:
        return steps

    @torch.no_grad()
    def __call__(
        self, denoiser: nn.Module, noise: Tensor, cond: Condition | None, levels: Tensor, rng: ImageRng
    ) -> Tensor:
        sigmas = walk(noise, levels)
        x = noise * sigmas[0]
        for t, s in pairwise(sigmas):
            D = denoise(denoiser, x, t, cond)
            d = (x - D) / t
            x = D + s * d  # = x + (s - t) d, but nothing cancels where t is large
        return x


@samplers_registry.add_to_registry(name="heun")
class HeunSampler(Sampler):
    """Heun's second-order steps, with noise churned in between (Karras et al. 2022, Algorithm 2).

    ``s_churn`` 0 is deterministic; else noise is added at the levels from ``s_tmin`` to ``s_tmax``, ``s_noise`` times
    its standard deviation.
    """

    def __init__(
        self,
        s_churn: NonNegativeFloat = 0.0,
        s_tmin: NonNegativeFloat = 0.0,
        s_tmax: NonNegativeFloat = float("inf"),
        s_noise: NonNegativeFloat = 1.0,
    ):
        self.s_churn = s_churn
        self.s_tmin = s_tmin
        self.s_tmax = s_tmax
        self.s_noise = s_noise

    def evaluations(self, steps: int) -> int:
        return 2 * steps - 1  # the last step, to 0, has no correction

    @torch.no_grad()
    def __call__(
        self, denoiser: nn.Module, noise: Tensor, cond: Condition | None, levels: Tensor, rng: ImageRng
    ) -> Tensor:
        sigmas = walk(noise, levels)
        x = noise * sigmas[0]
        for t, s in pairwise(sigmas):
            x, t = self.churn(x, t, len(sigmas) - 1, rng)
            D = denoise(denoiser, x, t, cond)
            d = (x - D) / t
            x = D + s * d  # Euler's step
            if s > 0:
                D_s = denoise(denoiser, x, s, cond)
                x = x + (t - s) / (2 * s) * (D_s - D)  # = x + (s - t) (d + d_s) / 2, with the x before the step
        return x

    def churn(self, x: Tensor, t: float, steps: int, rng: ImageRng) -> tuple[Tensor, float]:
        """Raise the noise from t to t + gamma t by fresh noise. Returns the state and its level."""
        gamma = min(self.s_churn / steps, math.sqrt(2) - 1) if self.s_tmin <= t <= self.s_tmax else 0
        if gamma == 0:
            return x, t
        t_hat = t + gamma * t
        added = math.sqrt(t_hat**2 - t**2) * self.s_noise
        return x + added * rng.randn(x.shape[1:], x.device), t_hat


@samplers_registry.add_to_registry(name="dpmpp_2m")
class DPMPlusPlus2MSampler(Sampler):
    """Second order for the price of first: the step before tells how D moves (Lu et al. 2022b, Algorithm 2).

    "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models". The solution is exact in x and
    linear in D over lambda = -log(sigma); first-order are the first step, which has no past, and the last, to 0.
    """

    def evaluations(self, steps: int) -> int:
        return steps

    @torch.no_grad()
    def __call__(
        self, denoiser: nn.Module, noise: Tensor, cond: Condition | None, levels: Tensor, rng: ImageRng
    ) -> Tensor:
        sigmas = walk(noise, levels)
        x = noise * sigmas[0]
        D_before, h_before = None, None
        for t, s in pairwise(sigmas):
            D = D_middle = denoise(denoiser, x, t, cond)
            h = math.log(t / s) if s > 0 else math.inf  # the step in lambda
            if D_before is not None and s > 0:
                D_middle = D + h / (2 * h_before) * (D - D_before)  # D half a step ahead
            x = s / t * x + (1 - s / t) * D_middle
            D_before, h_before = D, h
        return x
