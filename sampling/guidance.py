"""Guidance: a second opinion, of the model asked otherwise or of a classifier, moves the guess of the clean image.

A guided denoiser is a denoiser: samplers cannot tell.
"""

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from sampling.registry import guidance_registry
from utils.batch import Condition, map_tensors
from utils.errors import ConfigError
from utils.schema import NonNegativeFloat


class Guidance(nn.Module, ABC):
    """A denoiser around a denoiser: same call, same range, same table."""

    def __init__(self, denoiser: nn.Module):
        super().__init__()
        self.denoiser = denoiser
        self.sigma_min: float = denoiser.sigma_min
        self.sigma_max: float = denoiser.sigma_max

    @property
    def table(self) -> Tensor | None:
        return self.denoiser.table

    def forward(self, x: Tensor, sigma: Tensor, cond: Condition | None = None) -> Tensor:
        """Return the guided D(x; sigma) [N, C, H, W]."""
        return self.predict(x, sigma, cond).denoised

    @abstractmethod
    def predict(self, x: Tensor, sigma: Tensor, cond: Condition | None = None) -> Any:
        """Return the denoiser's prediction, guided."""

    @abstractmethod
    def evaluations(self, levels: Tensor) -> float:
        """Return how many network evaluations one call costs, on average over the levels stepped from."""


@guidance_registry.add_to_registry(name="cfg")
class ClassifierFreeGuidance(Guidance):
    """D = D_null + scale (D_cond - D_null), where "null" asks for no class (Ho and Salimans 2022, equation 6).

    ``scale`` 1 is no guidance (the paper's w is scale - 1). Guidance acts at the noise levels of ``interval`` only,
    both ends included (Kynkäänniemi et al. 2024); outside, the null half is not computed. Raises ConfigError for a
    model without classes.
    """

    def __init__(
        self,
        denoiser: nn.Module,
        num_classes: int,
        scale: NonNegativeFloat = 1.5,
        interval: list[NonNegativeFloat] | None = None,
    ):
        super().__init__(denoiser)
        if num_classes == 0:
            raise ConfigError(
                "guidance 'cfg' needs a model with classes: this one is unconditional, leave guidance out"
            )
        if interval is not None and not (len(interval) == 2 and interval[0] < interval[1]):
            raise ConfigError(f"interval must be two noise levels, the lower first, not {interval}")
        self.num_classes = num_classes
        self.scale = scale
        self.interval = interval

    def predict(self, x: Tensor, sigma: Tensor, cond: Condition | None = None) -> Any:
        if cond is None or cond.labels is None:
            raise ConfigError("guidance 'cfg' needs labels to guide to, and the condition has none")
        guided = self.is_guided(sigma)
        if self.interval is not None and not guided.any():
            return self.denoiser.predict(x, sigma, cond)
        both = self.denoiser.predict(torch.cat([x, x]), torch.cat([sigma, sigma]), self.with_null(cond))
        with_class = map_tensors(both, lambda tensor: tensor[: len(x)])
        null = map_tensors(both, lambda tensor: tensor[len(x) :])
        scale = torch.where(guided, self.scale, 1.0).to(x.dtype).view(-1, 1, 1, 1)
        return replace(
            with_class,
            denoised=torch.lerp(null.denoised, with_class.denoised, scale),
            output=torch.lerp(null.output, with_class.output, scale),  # of a fixed x, D is linear in the output
        )

    def is_guided(self, sigma: Tensor) -> Tensor:
        """Return bool, of the shape of sigma: where guidance acts."""
        low, high = self.interval or (0, float("inf"))
        return (sigma >= low) & (sigma <= high)

    def with_null(self, cond: Condition) -> Condition:
        """Return the condition twice over, [2N]: as it is, and with the null class."""
        twice = map_tensors(cond, lambda tensor: torch.cat([tensor, tensor]))
        return replace(twice, labels=torch.cat([cond.labels, torch.full_like(cond.labels, self.num_classes)]))

    def evaluations(self, levels: Tensor) -> float:
        return 1 + self.is_guided(levels[:-1].float()).double().mean().item()


@guidance_registry.add_to_registry(name="classifier")
class ClassifierGuidance(Guidance):
    """D + scale sigma^2 grad_x log p(label | x; sigma): the score moves towards pictures that a classifier recognises.

    Dhariwal and Nichol 2021, section 4.2 and Algorithm 2; the score there is (D - x) / sigma^2 here.
    ``classifier(x, sigma [N])`` gives logits [N, K] for noisy images. The denoiser is asked for the label as well, as
    in the paper's best models. Raises ConfigError for a model without classes.
    """

    def __init__(self, denoiser: nn.Module, num_classes: int, classifier: nn.Module, scale: NonNegativeFloat = 1.0):
        super().__init__(denoiser)
        if num_classes == 0:
            raise ConfigError("guidance 'classifier' needs a model with classes: this one is unconditional")
        self.classifier = classifier
        self.scale = scale

    def predict(self, x: Tensor, sigma: Tensor, cond: Condition | None = None) -> Any:
        """Return the denoiser's prediction with another clean image; its ``output`` stays what the network answered."""
        if cond is None or cond.labels is None:
            raise ConfigError("guidance 'classifier' needs labels to guide to, and the condition has none")
        prediction = self.denoiser.predict(x, sigma, cond)
        variance = sigma.to(x.dtype).view(-1, 1, 1, 1) ** 2
        slope = self.slope(x, sigma, cond.labels).to(x.dtype)
        return replace(prediction, denoised=prediction.denoised + self.scale * variance * slope)

    def slope(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """Return grad_x log p(label | x; sigma) [N, C, H, W], whether or not the sampler keeps gradients.

        Autocast ends here: a gradient over all pixels is small enough to vanish in fp16.
        """
        with torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
            x = x.detach().requires_grad_(True)
            log_p = self.classifier(x, sigma).log_softmax(dim=1).gather(1, labels[:, None])
            (gradient,) = torch.autograd.grad(log_p.sum(), x)
        return gradient

    def evaluations(self, levels: Tensor) -> float:
        """One: the classifier's passes, forward and back, are of another network and not counted."""
        return 1.0
