"""The chain of discrete-time diffusion: the variance of its steps, and the bound on the likelihood that they add up to.

A step leads from the noise level t down to s. The forward chain's posterior q(x_s | x_t, clean) and the model's
p(x_s | x_t) are Gaussians around D + (s / t)^2 (x_t - D), with the clean image and with D(x_t; t); their variances are
the papers' divided by abar_s, as x = clean + sigma * noise here. The divergence of the two does not depend on that.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from utils.batch import map_tensors

HALF_BIN = 1 / 255  # half the distance of two grey levels in [-1, 1]


def small_variance(t, s):
    """Return the variance of x_s given x_t and the clean image (Ho et al. 2020, equation 7: beta-tilde)."""
    return s**2 * (t**2 - s**2) / t**2


def large_variance(t, s):
    """Return beta of a step: right for the reverse step of standard normal data (Ho et al. 2020, section 3.2)."""
    return (t**2 - s**2) * (1 + s**2) / (1 + t**2)  # beta / abar_s, with abar = 1 / (1 + sigma^2)


@dataclass(frozen=True)
class Steps:
    """Steps of a chain: all of them in order, the one to the clean image first, or one for each image of a batch."""

    count: int  # T, of the whole chain
    index: Tensor  # int64 [N] place in the chain, from 0
    t: Tensor  # float64 [N] noise level stepped from
    s: Tensor  # float64 [N] noise level stepped to
    log_small: Tensor  # float64 [N] logarithm of beta-tilde
    log_large: Tensor  # float64 [N] logarithm of beta

    def at(self, index: Tensor) -> "Steps":
        """Return the steps number ``index`` [N] of all."""
        return map_tensors(self, lambda values: values[index])


def steps_of(levels: Tensor) -> Steps:
    """Return all steps down the noise levels [T], ascending and without 0, as far as 0.

    The step to 0 has no beta-tilde: it is given that of the step before, in the papers' coordinates, as in the code of
    Ho et al. and of Nichol and Dhariwal.
    """
    t = levels.double()
    s = torch.cat([t.new_zeros(1), t[:-1]])
    log_small, log_large = small_variance(t, s).log(), large_variance(t, s).log()
    log_small[0] = log_small[1] - (1 + t[0] ** 2).log() if len(t) > 1 else log_large[0]
    return Steps(len(t), torch.arange(len(t), device=t.device), t, s, log_small, log_large)


def bits_per_dim(steps: Steps, clean: Tensor, denoised: Tensor, fraction: Tensor | float) -> Tensor:
    """Return what each image's step adds to the bound on its -log2 p(image): bits per dimension, float32 [N].

    ``clean`` and ``denoised`` = D(x_t; t) are [N, C, H, W]; ``fraction`` is v of the model's variance
    beta^v beta-tilde^(1 - v) (Nichol and Dhariwal 2021, equation 15). The step to the clean image has to name its grey
    levels; of every other the divergence from the posterior counts (Ho et al. 2020, equation 5).
    """
    last = shaped(steps.s == 0)
    nats = torch.where(
        last, grey_level_nats(steps, clean, denoised, fraction), divergence(steps, clean, denoised, fraction)
    )
    return (nats.flatten(1).mean(dim=1) / math.log(2)).float()


def divergence(steps: Steps, clean: Tensor, denoised: Tensor, fraction: Tensor | float) -> Tensor:
    """Return KL(q(x_s | x_t, clean) || p(x_s | x_t)) of every pixel in nats, float32 [N, C, H, W]; s is not 0.

    The means are (1 - s^2/t^2) (clean - D) apart, which squared and divided by beta-tilde is (clean - D)^2 times the
    gain in signal-to-noise ratio, 1/s^2 - 1/t^2.
    """
    gain = torch.where(steps.s > 0, steps.s**-2 - steps.t**-2, 0)  # what stands here for s = 0 is not used
    excess = fraction * shaped(steps.log_large - steps.log_small).float()  # log(model's variance / beta-tilde)
    apart = shaped(gain).float() * (clean - denoised).square()
    return 0.5 * (excess + torch.expm1(-excess) + (-excess).exp() * apart)


def grey_level_nats(steps: Steps, clean: Tensor, denoised: Tensor, fraction: Tensor | float) -> Tensor:
    """Return -log of the mass that N(D, variance) gives to each pixel's grey level, float32 [N, C, H, W] in nats.

    Ho et al. 2020, equation 13: a level reaches half a distance to each side, the first and the last to infinity.
    """
    log_variance = shaped(steps.log_small) + fraction * shaped(steps.log_large - steps.log_small)
    inverse = (-0.5 * log_variance).exp()  # float64: far out, the two ends of a level differ little
    above = (clean.double() - denoised + HALF_BIN) * inverse
    below = (clean.double() - denoised - HALF_BIN) * inverse
    above = torch.where(clean > 1 - HALF_BIN, torch.inf, above)
    below = torch.where(clean < HALF_BIN - 1, -torch.inf, below)
    return -log_normal_mass(below, above).float()


def log_normal_mass(below: Tensor, above: Tensor) -> Tensor:
    """Return log(Phi(above) - Phi(below)), precise in both tails."""
    mirrored = below + above > 0  # by symmetry, so that both ends lie where Phi is not close to 1
    low, high = torch.where(mirrored, -above, below), torch.where(mirrored, -below, above)
    log_low, log_high = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
    return log_high + (-torch.expm1(log_low - log_high)).log()


def prior_bits_per_dim(clean: Tensor, sigma: float) -> Tensor:
    """Return KL(q(x_T | clean) || N(0, I)) of images [N, C, H, W] in bits per dimension, [N] (Ho et al. 2020, L_T)."""
    abar = 1 / (1 + sigma**2)
    nats = 0.5 * (abar * clean.double().square() - abar - math.log1p(-abar))
    return nats.flatten(1).mean(dim=1) / math.log(2)


def shaped(values: Tensor) -> Tensor:
    """Shape one value an image, [N], so that it combines with images [N, C, H, W]."""
    return values.view(-1, 1, 1, 1)
