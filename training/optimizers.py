"""Optimizers by name, with the arguments a config may set."""

from collections.abc import Iterable

import torch
from torch.nn import Parameter

from training.registry import optimizers_registry
from utils.schema import NonNegativeFloat, PositiveFloat


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
    """Stochastic gradient descent with momentum."""

    def __init__(
        self,
        params: Iterable[Parameter],
        lr: PositiveFloat = 1e-2,
        momentum: NonNegativeFloat = 0.9,
        weight_decay: NonNegativeFloat = 0.0,
        nesterov: bool = False,
    ):
        super().__init__(params, lr, momentum, weight_decay=weight_decay, nesterov=nesterov)


def pair(betas: list[float]) -> tuple[float, float]:
    """Return Adam's two decay rates. Raises ``ValueError`` for another number of them or one outside [0, 1)."""
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas={list(betas)}: give two numbers in [0, 1)")
    return float(betas[0]), float(betas[1])


def on_gpu(params: list[Parameter]) -> bool:
    return any(parameter.is_cuda for parameter in params)
