"""Judging a model: which images it must make, and by which metrics."""

import math
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from datasets.base import ImageDataset
from evaluation.registry import analyses_registry
from metrics.base import Metric, SetMetric
from metrics.fid import FID
from metrics.judge import Judge
from metrics.registry import metrics_registry
from training.config import CommonConfig
from utils.class_registry import ClassRegistry
from utils.config import without_nulls
from utils.errors import ConfigError, MetricError
from utils.schema import construct

M = TypeVar("M", bound=Metric)


def check_metrics(config: CommonConfig, kinds: tuple[type[Metric], ...]) -> None:
    """Hold the names and arguments of metrics against the registry by building them; a family takes some ``kinds``."""
    check_named(config, config.train.val_metrics, metrics_registry, "train.val_metrics")
    for name in config.metrics_args:
        registry = analyses_registry if name in analyses_registry else metrics_registry
        check_named(config, [name], registry, "metrics_args")
    for name in config.train.val_metrics:
        if not issubclass(metrics_registry[name], kinds):
            fit = ", ".join(other for other in metrics_registry if issubclass(metrics_registry[other], kinds))
            raise ConfigError(
                f"train.val_metrics: '{name}' does not judge {' or '.join(kind.judges for kind in kinds)}, which is "
                f"what a {config.exp.model_type} model gives; these do: {fit}"
            )


def check_analyses(config: CommonConfig) -> None:
    """Hold the names and arguments of analyses against the registry by building them."""
    check_named(config, config.inference.analyses, analyses_registry, "inference.analyses")


def check_something_judges(config: CommonConfig) -> None:
    """Raise :class:`ConfigError` when analyses or seeds are asked for that would add to metrics, and there are none."""
    asked = {"analyses": bool(config.inference.analyses), "seeds": config.inference.seeds > 1}
    if any(asked.values()) and not config.train.val_metrics:
        name = next(name for name, is_set in asked.items() if is_set)
        raise ConfigError(f"inference.{name} without metrics judges nothing: set train.val_metrics=[fid,kid]")


def check_named(config: CommonConfig, names: list[str], registry: ClassRegistry, where: str) -> None:
    for name in names:
        construct(registry.find(name, where), config.metrics_args.get(name, {}), f"metrics_args.{name}")


def build_metrics(config: CommonConfig, kind: type[M]) -> dict[str, M]:
    """Build those metrics of ``train.val_metrics`` that are of a kind."""
    named = {name: metrics_registry[name] for name in config.train.val_metrics}
    return {
        name: cls(**without_nulls(config.metrics_args.get(name, {})))
        for name, cls in named.items()
        if issubclass(cls, kind)
    }


def build_judge(config: CommonConfig, device: torch.device) -> Judge | None:
    """Build the metrics of sets in ``train.val_metrics`` and load their networks; None where none is asked for.

    Raises :class:`MetricError` when weights cannot be had.
    """
    metrics = build_metrics(config, SetMetric)
    if not metrics:
        return None
    judge = Judge(metrics, device, standard=FID(**without_nulls(config.metrics_args.get("fid", {}))).features)
    try:
        judge.prepare()
    except MetricError as error:
        raise MetricError(f"{error}; train.val_metrics=[] does without metrics") from error
    return judge


def labels_like(dataset: ImageDataset, count: int | None = None) -> Tensor | None:
    """Return int64 [count] labels with the class distribution of ``dataset``; None for an unlabelled one.

    All of its labels by default: exactly its distribution. For fewer, evenly spaced among its sorted labels.
    """
    if dataset.labels is None:
        return None
    labels = np.sort(np.asarray(dataset.labels))
    count = len(labels) if count is None else count
    return torch.from_numpy(labels[np.linspace(0, len(labels) - 1, count).round().astype(np.int64)])


def pieces(count: int, size: int) -> Iterator[range]:
    """Cut the image indices 0 .. count - 1 into batches."""
    return (range(start, min(start + size, count)) for start in range(0, count, size))


def halving(work: Callable[[range], Tensor], count: int, size: int, say: Callable[[str], None]) -> Iterator[Tensor]:
    """Yield ``work(indices)`` for pieces of 0 .. count - 1, as large as fit: halved whenever the GPU's memory is full.

    The pieces are of one size, but for the last: ``size`` or a little less, so that none of them is small.
    """
    start, size = 0, even(count, size)
    while start < count:
        try:
            made = work(range(start, min(start + size, count)))
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            made = None  # outside of this block: as long as there is an error it keeps what filled the memory
        if made is None:
            torch.cuda.empty_cache()
            size = even(count - start, size // 2)
            say(f"the GPU's memory is full: going on with {size} images at a time")
        else:
            yield made
            start += len(made)


def even(count: int, size: int) -> int:
    """Return the size of pieces, at most ``size``, that cut ``count`` into as few and as equal ones as can be."""
    return max(1, math.ceil(count / math.ceil(count / size)))
