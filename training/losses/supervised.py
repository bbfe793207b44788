"""Losses of networks that are told the right answer: settings and a formula over one outcome."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from training.losses.registry import supervised_losses_registry
from utils.schema import Fraction


@dataclass(frozen=True)
class SupervisedOutcome:
    """One batch and what the network said of it."""

    images: Tensor  # [N, C, H, W] in [-1, 1], as the network saw them
    logits: Tensor  # [N, K] float32
    labels: Tensor  # int64 [N]


@supervised_losses_registry.add_to_registry(name="cross_entropy")
class CrossEntropy:
    """-log p(label). ``label_smoothing`` spreads that share of the target evenly over all classes.

    Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7.
    """

    def __init__(self, label_smoothing: Fraction = 0.0):
        self.label_smoothing = label_smoothing

    def __call__(self, outcome: SupervisedOutcome) -> Tensor:
        return F.cross_entropy(outcome.logits, outcome.labels, label_smoothing=self.label_smoothing)
