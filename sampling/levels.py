"""Which noise levels a sampler steps through.

``levels(denoiser)`` returns sigmas as float64 [steps + 1], descending, the last one 0. How to step from one to the next
is the sampler's business.
"""

import math

import torch
from torch import Tensor, nn

from sampling.registry import sampling_levels_registry
from utils.errors import ConfigError
from utils.schema import PositiveFloat, PositiveInt


def down_to_zero(sigmas: Tensor) -> Tensor:
    """Append the last level, 0: no noise."""
    return torch.cat([sigmas, sigmas.new_zeros(1)])


@sampling_levels_registry.add_to_registry(name="karras")
class KarrasLevels:
    """Evenly spaced in sigma^(1/rho): the larger rho, the more steps near the clean image.

    Karras et al. 2022, equation 5. The range is the denoiser's unless it is given.
    """

    def __init__(
        self,
        steps: PositiveInt = 18,
        rho: PositiveFloat = 7.0,
        sigma_min: PositiveFloat | None = None,
        sigma_max: PositiveFloat | None = None,
    ):
        self.steps = steps
        self.rho = rho
        self.sigma_min = sigma_min
        self.sigma_max = sigma_max

    def levels(self, denoiser: nn.Module) -> Tensor:
        """Return the levels, float64 [steps + 1]. Raises ConfigError where the denoiser knows nothing of the range."""
        low = denoiser.sigma_min if self.sigma_min is None else self.sigma_min
        high = denoiser.sigma_max if self.sigma_max is None else self.sigma_max
        if not denoiser.sigma_min <= low < high <= denoiser.sigma_max:
            raise ConfigError(
                f"sigma_min {low:g} to sigma_max {high:g} is not a range within the denoiser's own, "
                f"{denoiser.sigma_min:g} to {denoiser.sigma_max:g}"
            )
        roots = torch.linspace(high ** (1 / self.rho), low ** (1 / self.rho), self.steps, dtype=torch.float64)
        return down_to_zero(roots**self.rho)


@sampling_levels_registry.add_to_registry(name="linear")
class LinearLevels:
    """Evenly spaced in t = sigma / (1 + sigma), the time of a rectified flow (Liu et al. 2022)."""

    def __init__(self, steps: PositiveInt = 50):
        self.steps = steps

    def levels(self, denoiser: nn.Module) -> Tensor:
        """Return the levels from the denoiser's largest, float64 [steps + 1]."""
        t = torch.linspace(denoiser.sigma_max / (1 + denoiser.sigma_max), 0, self.steps + 1, dtype=torch.float64)
        return t / (1 - t)


@sampling_levels_registry.add_to_registry(name="cosine")
class CosineLevels:
    """Evenly spaced in the angle arctan(sigma): signal cos, noise sin (Nichol and Dhariwal 2021, offset 0)."""

    def __init__(self, steps: PositiveInt = 50):
        self.steps = steps

    def levels(self, denoiser: nn.Module) -> Tensor:
        """Return the levels from the denoiser's largest, float64 [steps + 1]."""
        return torch.linspace(math.atan(denoiser.sigma_max), 0, self.steps + 1, dtype=torch.float64).tan()


@sampling_levels_registry.add_to_registry(name="respaced")
class RespacedLevels:
    """Evenly spaced members of the table the denoiser was trained on, the first and the last among them.

    Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic Models" (2021), section 4.
    """

    def __init__(self, steps: PositiveInt = 50):
        self.steps = steps

    def levels(self, denoiser: nn.Module) -> Tensor:
        """Return the levels, float64 [steps + 1]. Raises ConfigError if there is no table, or one that is shorter."""
        if denoiser.table is None:
            raise ConfigError("'respaced' levels need a denoiser with a table, and this one has none: take 'karras'")
        num_steps = len(denoiser.table)
        if self.steps > num_steps:
            raise ConfigError(
                f"steps must be at most {num_steps}, the length of the denoiser's table: not {self.steps}"
            )
        indices = torch.linspace(num_steps - 1, 0, self.steps, dtype=torch.float64).round().long()
        return down_to_zero(denoiser.table.cpu().double()[indices])
