"""Guidance: two opinions of what the clean image is, and a step from the weaker one to the better one or beyond.

A guided denoiser is a denoiser: samplers cannot tell.
"""

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sampling.registry import guidance_registry
from utils.batch import Condition, map_tensors
from utils.errors import ConfigError
from utils.schema import NonNegativeFloat


class Guidance(nn.Module, ABC):
    """A denoiser around a denoiser: same call, same range, same table.

    Guidance acts at the noise levels of ``interval`` only, both ends included (Kynkäänniemi et al. 2024, "Applying
    Guidance in a Limited Interval"); outside, the second opinion is not asked for.
    """

    needs_classes: ClassVar[bool] = False  # it guides towards a label
    needs_null_class: ClassVar[bool] = False  # the model must have been trained with hidden labels
    off: ClassVar[float] = 1.0  # the scale that is no guidance

    def __init__(self, denoiser: nn.Module, scale: float, interval: list[float] | None):
        super().__init__()
        if interval is not None and not (len(interval) == 2 and interval[0] < interval[1]):
            raise ConfigError(f"interval must be two noise levels, the lower first, not {interval}")
        self.denoiser = denoiser
        self.scale = scale
        self.interval = interval
        self.sigma_min: float = denoiser.sigma_min
        self.sigma_max: float = denoiser.sigma_max

    @property
    def table(self) -> Tensor | None:
        return self.denoiser.table

    def forward(self, x: Tensor, sigma: Tensor, cond: Condition | None = None) -> Tensor:
        """Return the guided D(x; sigma) [N, C, H, W]."""
        return self.predict(x, sigma, cond).denoised

    def predict(self, x: Tensor, sigma: Tensor, cond: Condition | None = None) -> Any:
        """Return the denoiser's prediction, guided."""
        if self.interval is not None and not self.is_guided(sigma).any():
            return self.denoiser.predict(x, sigma, cond)
        better, weaker = self.opinions(x, sigma, cond)
        scale = torch.where(self.is_guided(sigma), self.scale, self.off).to(x.dtype).view(-1, 1, 1, 1)
        return replace(
            better,
            denoised=torch.lerp(weaker.denoised, better.denoised, scale),
            output=torch.lerp(weaker.output, better.output, scale),  # of a fixed x, D is linear in the output
        )

    @abstractmethod
    def opinions(self, x: Tensor, sigma: Tensor, cond: Condition | None) -> tuple[Any, Any]:
        """Return the better prediction and the weaker one."""

    @property
    def cost(self) -> float:
        """What the second opinion costs, in evaluations of the network."""
        return 1.0

    def is_guided(self, sigma: Tensor) -> Tensor:
        """Return bool, of the shape of sigma: where guidance acts."""
        low, high = self.interval or (0, float("inf"))
        return (sigma >= low) & (sigma <= high)

    def evaluations(self, levels: Tensor) -> float:
        """Return how many network evaluations one call costs, on average over the levels stepped from."""
        return 1 + self.cost * self.is_guided(levels[:-1].float()).double().mean().item()


@guidance_registry.add_to_registry(name="cfg")
class ClassifierFreeGuidance(Guidance):
    """D = D_null + scale (D_cond - D_null), where "null" asks for no class (Ho and Salimans 2022, equation 6).

    ``scale`` 1 is no guidance (the paper's w is scale - 1). Both halves are one doubled batch. Raises ConfigError for a
    model without classes.
    """

    needs_classes = True
    needs_null_class = True

    def __init__(
        self,
        denoiser: nn.Module,
        num_classes: int,
        scale: NonNegativeFloat = 1.5,
        interval: list[NonNegativeFloat] | None = None,
    ):
        super().__init__(denoiser, scale, interval)
        if num_classes == 0:
            raise ConfigError(
                "guidance 'cfg' needs a model with classes: this one is unconditional, leave guidance out"
            )
        self.num_classes = num_classes

    def predict(self, x: Tensor, sigma: Tensor, cond: Condition | None = None) -> Any:
        if cond is None or cond.labels is None:
            raise ConfigError("guidance 'cfg' needs labels to guide to, and the condition has none")
        return super().predict(x, sigma, cond)

    def opinions(self, x: Tensor, sigma: Tensor, cond: Condition | None) -> tuple[Any, Any]:
        both = self.denoiser.predict(torch.cat([x, x]), torch.cat([sigma, sigma]), self.with_null(cond))
        return map_tensors(both, lambda tensor: tensor[: len(x)]), map_tensors(both, lambda tensor: tensor[len(x) :])

    def with_null(self, cond: Condition) -> Condition:
        """Return the condition twice over, [2N]: as it is, and with the null class."""
        twice = map_tensors(cond, lambda tensor: torch.cat([tensor, tensor]))
        return replace(twice, labels=torch.cat([cond.labels, torch.full_like(cond.labels, self.num_classes)]))


@guidance_registry.add_to_registry(name="auto")
class AutoGuidance(Guidance):
    """D = D_weak + scale (D - D_weak), where a worse version of the model itself guides it.

    Karras et al. 2024, "Guiding a Diffusion Model with a Bad Version of Itself", equation 3. ``guide`` is a denoiser of
    the same kind, such as an early snapshot of the same run (``train.guide_path``); it sees the same condition.
    """

    def __init__(
        self,
        denoiser: nn.Module,
        guide: nn.Module | None,
        scale: NonNegativeFloat = 2.0,
        interval: list[NonNegativeFloat] | None = None,
    ):
        super().__init__(denoiser, scale, interval)
        if guide is None:
            raise ConfigError("guidance 'auto' needs a weaker model to guide by: train.guide_path=CHECKPOINT")
        self.guide = guide

    def opinions(self, x: Tensor, sigma: Tensor, cond: Condition | None) -> tuple[Any, Any]:
        return self.denoiser.predict(x, sigma, cond), self.guide.predict(x, sigma, cond)

    @property
    def cost(self) -> float:
        """A smaller guide costs less."""
        return relative_size(self.guide, self.denoiser)


def relative_size(network: nn.Module, other: nn.Module) -> float:
    """Compare costs by the parameters, as nobody has counted the operations here."""
    own, theirs = (sum(weight.numel() for weight in net.parameters()) for net in (other, network))
    return theirs / own


@guidance_registry.add_to_registry(name="classifier")
class ClassifierGuidance(Guidance):
    """D + scale sigma^2 grad_x log p(label | x; sigma): the score moves towards pictures that a classifier recognises.

    Dhariwal and Nichol 2021, section 4.2 and Algorithm 2; the score there is (D - x) / sigma^2 here.
    ``classifier(x, sigma [N])`` gives logits [N, K] for noisy images (``train.guide_path``). The denoiser is asked for
    the label as well, as in the paper's best models. A prediction's ``output`` stays what the network answered.
    """

    needs_classes = True
    off = 0.0

    def __init__(
        self,
        denoiser: nn.Module,
        classifier: nn.Module | None,
        scale: NonNegativeFloat = 1.0,
        interval: list[NonNegativeFloat] | None = None,
    ):
        super().__init__(denoiser, scale, interval)
        if classifier is None:
            raise ConfigError("guidance 'classifier' needs one, trained with train.levels: train.guide_path=FILE")
        self.classifier = classifier

    def opinions(self, x: Tensor, sigma: Tensor, cond: Condition | None) -> tuple[Any, Any]:
        if cond is None or cond.labels is None:
            raise ConfigError("guidance 'classifier' needs labels to guide to: this model is unconditional")
        weaker = self.denoiser.predict(x, sigma, cond)
        step = sigma.view(-1, 1, 1, 1) ** 2 * self.slope(x, sigma, cond.labels)
        return replace(weaker, denoised=weaker.denoised + step), weaker

    def slope(self, x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
        """Return grad_x log p(label | x; sigma) [N, C, H, W], whether or not the sampler keeps gradients.

        Autocast ends here: a gradient over all pixels is small enough to vanish in fp16.
        """
        with torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
            x = x.detach().requires_grad_(True)
            log_p = self.classifier(x, sigma).log_softmax(dim=1).gather(1, labels[:, None])
            (gradient,) = torch.autograd.grad(log_p.sum(), x)
        return gradient

    @property
    def cost(self) -> float:
        """Of a pass forward and one back to the picture, each about as long."""
        return 2 * relative_size(self.classifier, self.denoiser)
