"""A penalty on the slope of a style generator."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from models.gan.style import StyleGenerator
from training.losses.builder import Stateful
from training.losses.gan import GanOutcome
from training.losses.penalties import Penalty
from training.losses.registry import gen_losses_registry
from training.precision import float32_if_fp16
from utils.batch import map_tensors
from utils.distributed import mean_over_processes
from utils.schema import Fraction, PositiveInt


def path_lengths(images: Tensor, w: Tensor, noise: Tensor) -> Tensor:
    """Return |J^T y| for each image, float32 [N]: how far a step of w moves it (Karras et al. 2020, section 3.2).

    ``images`` [N, C, H, W] come from ``w`` [N, L, D]; ``noise`` y, of the images' shape, is divided by sqrt(H W), and
    the squares are averaged over the L layers, as in the authors' code.
    """
    y = noise / (images.shape[2] * images.shape[3]) ** 0.5
    (slope,) = torch.autograd.grad((images * y).sum(), w, create_graph=True)  # [N, L, D]
    return torch.linalg.vector_norm(slope.float(), dim=(1, 2)) / w.shape[1] ** 0.5


@gen_losses_registry.add_to_registry(name="path_length")
class PathLength(Penalty, Stateful):
    """(|J^T y| - a)^2, where a is the running mean of the lengths (Karras et al. 2020, equation 4).

    A step of w of one size should move the image by one distance, wherever w is. ``decay``: how far a moves towards
    the lengths of a penalised update; it starts at 0. ``shrink``: every how manyth image of the batch is asked.

    What an update sees is the mean before it, which its own lengths then move, over all its micro-batches and
    processes: so another cut of the batch penalises the same. (The authors' code moves it first, on each GPU.)
    """

    needs: ClassVar[type] = StyleGenerator  # the generator's class

    def __init__(self, interval: PositiveInt = 1, decay: Fraction = 0.01, shrink: PositiveInt = 2):
        super().__init__(interval)
        self.decay, self.shrink = decay, shrink
        self.mean = torch.zeros(())  # a
        self.lengths: list[Tensor] = []  # of each micro-batch of the update ``step``, not yet in the mean
        self.step = -1

    def penalty(self, outcome: GanOutcome) -> Tensor:
        """Return the penalty of one update, a number."""
        if outcome.step != self.step:
            self.settle()
            self.step = outcome.step
        lengths = self.measure(outcome)
        self.lengths.append(lengths.detach().mean())
        self.mean = self.mean.to(lengths.device)
        return (lengths - self.mean).square().mean()

    def measure(self, outcome: GanOutcome) -> Tensor:
        """Return the lengths of every ``shrink``-th image, with gradients."""
        z, cond = map_tensors((outcome.z, outcome.cond), lambda tensor: tensor[:: self.shrink])
        with float32_if_fp16(z.device.type):
            w = outcome.generator.styles(z, cond)  # [N / shrink, L, D]
            images = outcome.generator.synthesize(w, z).float()
            noise = outcome.randn("path_length", images.shape[1:])[:: self.shrink]
            return path_lengths(images, w, noise)

    def settle(self) -> None:
        """Move the mean by the lengths of the last penalised update."""
        if self.lengths:
            length = mean_over_processes(torch.stack(self.lengths).mean())
            self.mean, self.lengths = self.mean.lerp(length, self.decay), []

    def state_dict(self) -> dict[str, Any]:
        self.settle()
        return {"mean": self.mean.cpu()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.mean = state["mean"]
