"""The noise levels of discrete-time diffusion: from the papers' betas to standard deviations."""

import math

import torch
from torch import Tensor

from utils.errors import ConfigError

MAX_BETA = 0.999  # Nichol and Dhariwal 2021, section 3.2: no step destroys everything


def linear_betas(num_steps: int) -> Tensor:
    """Return beta_1 ... beta_T from 1e-4 to 0.02, float64 [T] (Ho et al. 2020, section 4, for T = 1000).

    For another T the ends scale by 1000 / T, so that the whole chain destroys as much (Nichol and Dhariwal 2021).
    """
    scale = 1000 / num_steps
    return torch.linspace(scale * 1e-4, scale * 0.02, num_steps, dtype=torch.float64).clamp(max=MAX_BETA)


def cosine_betas(num_steps: int) -> Tensor:
    """Return the betas, float64 [T], whose abar is cos^2 (Nichol and Dhariwal 2021, equation 17)."""
    s = 0.008  # keeps the first beta from vanishing
    t = torch.arange(num_steps + 1, dtype=torch.float64) / num_steps
    f = ((t + s) / (1 + s) * math.pi / 2).cos() ** 2
    return (1 - f[1:] / f[:-1]).clamp(max=MAX_BETA)


SCHEDULES = {"linear": linear_betas, "cosine": cosine_betas}


def noise_table(schedule: str, num_steps: int) -> Tensor:
    """Return sigma_t = sqrt((1 - abar_t) / abar_t) for t = 1 ... T: float64 [T], ascending.

    Raises :class:`ConfigError` for an unknown schedule or a table without steps.
    """
    if schedule not in SCHEDULES:
        raise ConfigError(f"schedule must be one of {', '.join(SCHEDULES)}, not '{schedule}'")
    if num_steps < 2:
        raise ConfigError(f"num_steps must be at least 2, not {num_steps}")
    abar = (1 - SCHEDULES[schedule](num_steps)).cumprod(0)  # the share of the data's variance left after t steps
    return ((1 - abar) / abar).sqrt()
