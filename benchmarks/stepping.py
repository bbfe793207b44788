"""A training step with and without what surrounds it, and what each way of making it faster gives.

``overhead``: the trainer's loop against a bare one of ten lines with the same modules on the same images.
``variants``: each switch against the step as it is by default.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from benchmarks.measuring import Contestants, Place, Row, attempt, compared, timed
from training.launch import load_trainer
from training.trainers.base import BaseTrainer
from utils.batch import Condition
from utils.config import Tree, read_file
from utils.images import to_float

ROOT = Path(__file__).parents[1]
EDM = {"denoiser": "edm", "levels": "lognormal", "sampler": "heun", "sampling_levels": "karras"}
SMALL = {"base_channels": 32, "channel_mult": [1, 2, 2], "blocks_per_level": 1, "attention_resolutions": [],
         "scale_shift_norm": True, "dropout": 0.0, "patch": 4}  # fmt: skip
MAIN, MAIN_GAN = "diffusion/food101_edm", "gan/food101_best"  # the presets that GPUs are measured with


def preset(name: str) -> Tree:
    """Read a config of configs/."""
    return read_file(ROOT / "configs" / f"{name}.yaml")


def tree_of(place: Place, folder: str) -> Tree:
    """Return the config of a diffusion experiment on the images of ``place``: the main preset, on a CPU a small one."""
    batch = 256 if place.gpu else 32
    return {
        "exp": {"exp_dir": f"{folder}/runs", "device": str(place.device)},
        "data": {"dataset": "packed", "input_train_dir": str(place.images), "train_batch_size": batch},
        "dataset_args": {"cache_dir": place.packs},
        "train": {"steps": 1_000_000, "val_step": 1_000_000, "model": "unet", **EDM},
        "model_args": preset(MAIN)["model_args"] if place.gpu else SMALL,
        "losses_coef": {"edm": 1.0},
    }


def experiment(place: Place, folder: str, *words: str, **sections: dict[str, Any]) -> BaseTrainer:
    """Build a trainer, ready for its first step; ``sections`` change or replace what :func:`tree_of` says."""
    tree = tree_of(place, folder)
    for name, section in sections.items():
        merge = name in ("data", "train")
        tree[name] = {**tree[name], **section} if merge else section
    return trainer_of(tree, folder, *words)


def gan_experiment(place: Place, folder: str, *words: str) -> BaseTrainer:
    """Build the trainer of the main GAN, ready for its first step."""
    own, gan = tree_of(place, folder), preset(MAIN_GAN)
    data = {**own["data"], "train_batch_size": gan["data"]["train_batch_size"]}
    tree = gan | {"exp": {**own["exp"], "model_type": "gan"}, "data": data, "dataset_args": own["dataset_args"]}
    del tree["metrics_args"]  # of weights that may not be here
    return trainer_of(tree, folder, "train.val_metrics=[]", *words)


def trainer_of(tree: Tree, folder: str, *words: str) -> BaseTrainer:
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


def fuse(trainer: BaseTrainer) -> None:
    for updater in trainer.updaters.values():
        for group in updater.optimizer.param_groups:
            group["fused"] = True


LAST, PLAIN = "train.channels_last=true", "train.compile=off"
VARIANTS: dict[str, list[str]] = {  # what is said on the command line
    "bf16": ["train.amp=bf16"],
    "channels_last": [LAST],
    "bf16, channels_last": ["train.amp=bf16", LAST],
    "not compiled": [PLAIN],
    "not compiled, channels_last": [PLAIN, LAST],
    "CUDA graphs": ["train.compile=graphs"],
    "recompute": ["train.recompute=true"],
    "float32": ["train.amp=off"],
    "fused Adam": [],
}
ON_GPU = ["channels_last", "CUDA graphs", "not compiled", "not compiled, channels_last", "recompute", "float32"]
ON_CPU = ["bf16", "channels_last", "bf16, channels_last", "fused Adam", "recompute"]
OF_GAN = ["channels_last", "CUDA graphs"]  # on a GPU


def variants(place: Place) -> list[Row]:
    """Compare the default step with each variant: a ratio above 1 says that the variant is faster."""
    build, gan = partial(experiment, place), partial(gan_experiment, place)
    tries = [("step", build, name) for name in (ON_GPU if place.gpu else ON_CPU)]
    tries[2:2] = [("step of the GAN", gan, name) for name in OF_GAN if place.gpu]
    rows = []
    for what, builder, name in tries:
        if not place.time_is_over():
            rows += attempt(f"{what}, {name}", partial(against_default, place, what, builder, name))
    return rows


def against_default(place: Place, what: str, build: Callable[..., BaseTrainer], name: str) -> list[Row]:
    steps = 20 if place.gpu else 3
    torch.compiler.reset()
    with place.folder() as folder:
        default, other = build(folder), build(folder, "exp.run_name=b", *VARIANTS[name])
        if name == "fused Adam":
            fuse(other)
        contestants: Contestants = {
            name: trainer_speed(other, place, steps),
            "default": trainer_speed(default, place, steps),
        }
        return compared(what, contestants, place.rounds, "images/s")
