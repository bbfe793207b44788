"""A training step with and without what surrounds it, and what each way of making it faster gives.

``overhead``: the trainer's loop against a bare one of ten lines with the same modules on the same images.
``variants``: each switch against the step as it is by default.
"""

from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from benchmarks.measuring import Contestants, Place, Row, compared, timed
from training.launch import load_trainer
from training.trainers.base import BaseTrainer
from utils.batch import Condition
from utils.images import to_float

ROOT = Path(__file__).parents[1]
EDM = {"denoiser": "edm", "levels": "lognormal", "sampler": "heun", "sampling_levels": "karras"}
SMALL = {"base_channels": 32, "channel_mult": [1, 2, 2], "blocks_per_level": 1, "attention_resolutions": [],
         "scale_shift_norm": True, "dropout": 0.0, "patch": 4}  # fmt: skip
PRESET = {"base_channels": 96, "channel_mult": [1, 2, 3], "blocks_per_level": 3, "attention_resolutions": [16, 8],
          "head_channels": 48, "scale_shift_norm": True, "dropout": 0.0, "patch": 2}  # fmt: skip


def tree_of(place: Place, folder: str) -> dict[str, dict[str, Any]]:
    """Return the config of a diffusion experiment on the images of ``place``: the main preset, on a CPU a small one."""
    batch = 256 if place.gpu else 32
    return {
        "exp": {"exp_dir": f"{folder}/runs", "device": str(place.device)},
        "data": {"dataset": "packed", "input_train_dir": str(place.images), "train_batch_size": batch},
        "dataset_args": {"cache_dir": f"{folder}/packed"},
        "train": {"steps": 1_000_000, "val_step": 1_000_000, "model": "unet", **EDM},
        "model_args": PRESET if place.gpu else SMALL,
        "losses_coef": {"edm": 1.0},
    }


def experiment(place: Place, folder: str, *words: str, **sections: dict[str, Any]) -> BaseTrainer:
    """Build a trainer, ready for its first step; ``sections`` change or replace what :func:`tree_of` says."""
    tree = tree_of(place, folder)
    for name, section in sections.items():
        merge = name in ("data", "train")
        tree[name] = {**tree[name], **section} if merge else section
    file = Path(folder) / "experiment.yaml"
    file.write_text(yaml.safe_dump(tree))
    trainer = load_trainer([f"exp.config_path={file}", *words])
    trainer.say = lambda line: None
    trainer.setup()
    trainer.open_run()
    return trainer


def run_steps(trainer: BaseTrainer, count: int) -> dict[str, float]:
    """Take steps as ``training_loop`` does, with one log step at the end; return what it tells of the time."""
    train = trainer.config.train
    for _ in range(count):
        trainer.clock.stop_due(trainer.step)
        trainer.images_seen += trainer.images_per_step
        trainer.window.add(trainer.train_step(), trainer.step + 1)
        trainer.step += 1
        trainer.clock.count(trainer.images_per_step)
        trainer.clock.forecast(train.steps - trainer.step)
        for interval in (train.log_step, train.val_step, train.checkpoint_step):
            trainer.due(interval)
        trainer.clock.checkpoint_due(trainer.step)
    trainer.window.read()  # waits for the device
    return trainer.speedometer.read(trainer.clock.lap())


def bare_loop(trainer: BaseTrainer, batches: Iterator[Tensor]) -> Callable[[int], None]:
    """Return a loop over the trainer's own modules, written as one would in a notebook; float32 or autocast."""
    denoiser, average = trainer.networks["denoiser"], trainer.average
    optimizer = trainer.updaters["denoiser"].optimizer
    weights = list(denoiser.parameters())

    def run(count: int) -> None:
        for _ in range(count):
            batch = next(batches)
            images = to_float(batch.images)
            images = images.where(torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5, images.flip(-1))
            sigma = (torch.randn(len(images), device=images.device) * 1.2 - 1.2).exp()
            noise = torch.randn_like(images)
            with trainer.precision.autocast():
                denoised = denoiser(images + sigma.view(-1, 1, 1, 1) * noise, sigma, Condition(batch.labels))
            weight = ((sigma**2 + 0.25) / (sigma * 0.5) ** 2).view(-1, 1, 1, 1)
            loss = (weight * (denoised - images) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                torch._foreach_lerp_(list(average.parameters()), weights, 0.001)
        loss.item()

    return run


def speed_of(run: Callable[[int], Any], place: Place, batch: int, steps: int) -> Callable[[], float]:
    """Return what runs some steps and gives images a second."""
    return lambda: steps * batch / timed(lambda: run(steps), place.device)


def trainer_speed(trainer: BaseTrainer, place: Place, steps: int) -> Callable[[], float]:
    return speed_of(lambda count: run_steps(trainer, count), place, trainer.images_per_step, steps)


def overhead(place: Place) -> list[Row]:
    steps = 30 if place.gpu else 3
    with place.folder() as folder:
        trainer = experiment(place, folder)
        few = cycle([next(trainer.feed.batches) for _ in range(4)])  # neither of them waits for data
        trainer.feed.batches = few
        bare = speed_of(bare_loop(trainer, few), place, trainer.images_per_step, steps)
        contestants = {"trainer": trainer_speed(trainer, place, steps), "bare loop": bare}
        return compared("trainer", contestants, 2 * place.rounds, "images/s", "0.97")


def to_channels_last(trainer: BaseTrainer) -> None:
    for network in (*trainer.networks.values(), trainer.average):
        network.to(memory_format=torch.channels_last)


def fuse(trainer: BaseTrainer) -> None:
    for updater in trainer.updaters.values():
        for group in updater.optimizer.param_groups:
            group["fused"] = True


VARIANTS: dict[str, tuple[list[str], Callable[[BaseTrainer], None] | None]] = {
    "bf16": (["train.amp=bf16"], None),
    "float32": (["train.amp=off"], None),
    "channels_last": ([], to_channels_last),
    "fused Adam": ([], fuse),
    "recompute": (["train.recompute=true"], None),
    "not compiled": (["train.compile=off"], None),
    "not compiled, channels_last": (["train.compile=off"], to_channels_last),
}
ON_GPU = {"float32", "channels_last", "recompute", "not compiled", "not compiled, channels_last"}
ON_CPU = {"bf16", "channels_last", "fused Adam", "recompute"}


def variants(place: Place) -> list[Row]:
    """Compare the default step with each variant: a ratio above 1 says that the variant is faster."""
    steps = 20 if place.gpu else 3
    rows = []
    for name, (words, change) in VARIANTS.items():
        if name not in (ON_GPU if place.gpu else ON_CPU):
            continue
        torch.compiler.reset()
        with place.folder() as folder:
            default, other = experiment(place, folder), experiment(place, folder, "exp.run_name=b", *words)
            if change:
                change(other)
            contestants: Contestants = {
                name: trainer_speed(other, place, steps),
                "default": trainer_speed(default, place, steps),
            }
            rows += compared("step", contestants, place.rounds, "images/s")
    return rows
