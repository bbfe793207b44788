"""Optimizers by name, with the arguments a config may set."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch.nn import Parameter

from training.registry import optimizers_registry
from training.schedules import Cosine
from utils.schema import Fraction, NonNegativeFloat, PositiveFloat


class Annealed(ABC):
    """An optimizer with a setting, beside the learning rate, that follows the run."""

    @abstractmethod
    def anneal(self, progress: float) -> None:
        """Set it for ``progress`` in [0, 1]; called before every step."""


@optimizers_registry.add_to_registry(name="adam")
class Adam(torch.optim.Adam):
    """Adam (Kingma & Ba 2015). On a GPU the fused kernel."""

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: PositiveFloat = 1e-3,
        betas: list[NonNegativeFloat] = [0.9, 0.999],  # noqa: B006 - never changed
        eps: PositiveFloat = 1e-8,
        weight_decay: NonNegativeFloat = 0.0,
    ):
        params = list(params)
        super().__init__(params, lr, pair(betas), eps, weight_decay, fused=on_gpu(params))


@optimizers_registry.add_to_registry(name="burn_in_adam")
class BurnInAdam(Adam, Annealed):
    """Adam whose beta2 rises from ``beta2_start`` to that of ``betas`` along half a cosine, until ``until`` of the run.

    A short memory while the gradients change fast (Huang et al. 2024, appendix).
    """

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: PositiveFloat = 2e-4,
        betas: list[NonNegativeFloat] = [0.0, 0.99],  # noqa: B006 - never changed
        eps: PositiveFloat = 1e-8,
        weight_decay: NonNegativeFloat = 0.0,
        beta2_start: Fraction = 0.9,
        until: Fraction = 0.2,
    ):
        super().__init__(params, lr, betas, eps, weight_decay)
        self.beta1, self.beta2 = pair(betas)
        _, self.beta2_start = pair([self.beta1, beta2_start])
        self.distance = Cosine(until=until)

    def anneal(self, progress: float) -> None:
        """Set beta2 for ``progress``."""
        beta2 = self.beta2 + (self.beta2_start - self.beta2) * self.distance(progress)
        for group in self.param_groups:
            group["betas"] = (self.beta1, beta2)


@optimizers_registry.add_to_registry(name="adamw")
class AdamW(torch.optim.AdamW):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: PositiveFloat = 1e-3,
        betas: list[NonNegativeFloat] = [0.9, 0.999],  # noqa: B006 - never changed
        eps: PositiveFloat = 1e-8,
        weight_decay: NonNegativeFloat = 1e-2,
    ):
        params = list(params)
        super().__init__(params, lr, pair(betas), eps, weight_decay, fused=on_gpu(params))


@optimizers_registry.add_to_registry(name="sgd")
class SGD(torch.optim.SGD):
    """Stochastic gradient descent with momentum. On a GPU the fused kernel."""

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: PositiveFloat = 1e-2,
        momentum: NonNegativeFloat = 0.9,
        weight_decay: NonNegativeFloat = 0.0,
        nesterov: bool = False,
    ):
        params = list(params)
        fused = on_gpu(params)
        super().__init__(params, lr, momentum, weight_decay=weight_decay, nesterov=nesterov, fused=fused)
        for parameter in params if fused and momentum else []:
            # The kernel never writes a buffer that it makes for a first step which is left out.
            self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def pair(betas: list[float]) -> tuple[float, float]:
    """Return Adam's two decay rates. Raises ``ValueError`` for another number of them or one outside [0, 1)."""
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas={list(betas)}: give two numbers in [0, 1)")
    return float(betas[0]), float(betas[1])


def on_gpu(params: list[Parameter]) -> bool:
    return any(parameter.is_cuda for parameter in params)
