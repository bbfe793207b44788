"""What families that make images share: how images are made, looked at in training, and judged as a set."""

from abc import abstractmethod
from dataclasses import field
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from metrics.base import SetMetric
from training.alarms import Alarm, DiversityFalls
from training.compiling import compile_in_place
from training.config import CommonConfig, InferenceSection, TrainSection
from training.data import open_held_out
from training.evaluation import build_judge, check_analyses, halving
from training.registry import studies_registry
from training.trainers.base import BaseTrainer
from training.validation import QuickValidation
from utils import distributed
from utils.images import to_uint8
from utils.schema import PositiveInt, section
from utils.stages import Stages


@section
class GenerativeTrainSection(TrainSection):
    val_num_images: PositiveInt = 202  # generated for each quick validation


@section
class SamplingSection(InferenceSection):
    study: str = "sample"
    num_images: PositiveInt | None = None  # default: as many as the test set, with its class distribution
    classes: list[str] = field(default_factory=list)  # only these
    seeds: PositiveInt = 1  # how often to sample and judge, with other noise: results are mean and spread
    analyses: list[str] = field(default_factory=list)  # floor, memorisation, per_class, ...


@section
class GenerativeConfig(CommonConfig):
    train: GenerativeTrainSection
    inference: SamplingSection = field(default_factory=SamplingSection)


class GenerativeTrainer(BaseTrainer):
    """Trains networks of which one, with averaged weights, makes images."""

    metric_kinds = (SetMetric,)
    studies = studies_registry

    def __init__(self, config: GenerativeConfig):
        super().__init__(config)
        self.stages = Stages()  # seconds of sampling, and of what a study does with the images

    # ---- What a family says.

    @abstractmethod
    def generate(self, labels: Tensor | None, indices: range, seed: int, quick: bool) -> Tensor:
        """Make images number ``indices`` of ``seed`` for ``labels`` [N], float [N, C, H, W]; ``quick``: fewer steps."""

    @abstractmethod
    def describe_sampling(self) -> dict[str, Any]:
        """Say how images are made: what stands beside a reported number."""

    def prepare_sampling(self) -> None:
        """Build what else a family samples with, around ``self.average``."""

    # ---- What the loop and the studies ask.

    def check_config(self) -> None:
        super().check_config()
        check_analyses(self.config)

    def build_validation(self) -> QuickValidation:
        self.prepare_sampling()
        judge = build_judge(self.config, self.device) if distributed.is_main() else None
        real = open_held_out(self.roles, self.data, self.say) if judge else None
        count = self.config.train.val_num_images
        return QuickValidation(self.quick_images, self.data.facts, judge, real, count, self.data.mark)

    def build_alarms(self) -> list[Alarm]:
        return [*super().build_alarms(), DiversityFalls()]

    def setup_inference(self) -> None:
        super().setup_inference()
        self.prepare_sampling()
        if self.config.train.compile in ("on", "graphs"):  # auto: one evaluation takes less than compiling for it
            for line in compile_in_place(self.modules_to_compile(), "on", self.device):
                self.say(line)

    def quick_images(self, labels: Tensor | None, count: int) -> Tensor:
        return self.synthesize_images(labels, count, self.config.exp.seed, quick=True)

    def synthesize_images(self, labels: Tensor | None, count: int, seed: int, quick: bool = False) -> Tensor:
        """Make images 0 .. count - 1 of ``seed`` with the averaged weights; uint8 [count, C, H, W] on the CPU.

        An image depends on its number, its label and the seed, not on the batch it is made in.
        """

        def make(indices: range) -> Tensor:
            some = None if labels is None else labels[indices.start : indices.stop].to(self.device)
            with torch.no_grad(), self.precision.autocast():
                return to_uint8(self.generate(some, indices, seed, quick)).cpu()

        made, hidden = [], True if quick else None
        with self.stages("sampling"), tqdm(total=count, desc="sampling", leave=False, disable=hidden) as bar:
            for images in halving(make, count, self.config.data.val_batch_size, self.say):
                made.append(images)
                bar.update(len(images))
        return torch.cat(made)
