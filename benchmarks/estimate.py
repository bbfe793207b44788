"""How long a config's training takes on cards that are not here, and the memory it needs: estimated, not measured.

    python3 -m benchmarks.estimate config=configs/diffusion/food101_t4.yaml [set=[key=value,...]]

The time of a step is the roofline of the networks' own operations (benchmarks/roofline.py: each takes the larger of its
arithmetic and its memory traffic, what is done number by number is free) divided by ATTAINED, the share of it that is
assumed to be reached; a network that is not compiled takes at least `launch` for every operation. A backward pass
counts as two forward ones; gradient penalties, validation and waiting for data are left out. Memory: as exp.check
counts it, plus OTHERS.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field

from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.roofline import Roofline, update_seconds
from datasets.loaders import Share
from evaluation.tables import aligned
from report.models import facts_of
from training.check import estimated_memory
from training.launch import load_trainer
from training.speed import GIB, passes_per_image
from training.trainers.base import BaseTrainer
from utils.command import command_of
from utils.schema import section

ATTAINED = 0.5  # share of the roofline; the goal on an H200 is 0.7, and nothing has been measured yet
OTHERS = 2.0  # GiB: CUDA itself, work space of cuDNN, and Food-101 as uint8 (1.1 GiB)


@dataclass(frozen=True)
class Card:
    """What a GPU can do."""

    flops: float  # a second, dense, half precision summed in float32
    bandwidth: float  # bytes a second
    memory: float  # GiB
    launch: float = 10e-6  # seconds that Python and PyTorch need for one operation


CARDS = {
    "H200": Card(790e12, 4.3e12, 139.0),  # measured by matrix products and copies
    "T4": Card(65e12, 320e9, 15.0),  # data sheet; 15 of its 16 GB are free
    # GA106 with 30 multiprocessors at 80 W: 120 tensor cores x 1.425 GHz x 128; 192 bits x 14 Gbit/s
    "RTX 3060 laptop": Card(21.9e12, 336e9, 6.0),
}


@section
class Settings:
    """What the command takes."""

    config: str
    set: list[str] = field(default_factory=list)  # further words, such as train.accumulate=2


@command_of(Settings)
def main(settings: Settings) -> None:
    trainer = untrained(settings.config, *settings.set)
    gib = estimated_memory(trainer) / GIB + OTHERS
    rows = [["card", "images/s", "hours", "memory", ""]]
    for name, seconds in seconds_of_step(trainer, CARDS).items():
        speed, hours = trainer.images_per_step / seconds, trainer.config.train.steps * seconds / 3600
        room = "" if gib < CARDS[name].memory else "does not fit"
        rows.append([name, f"{speed:.0f}", f"{hours:.2f}", f"{gib:.1f} of {CARDS[name].memory:g} GiB", room])
    print(aligned(rows))


def untrained(config: str, *words: str) -> BaseTrainer:
    """Build the networks of a config for Food-101's classes; no data is opened. On the CPU, in half precision."""
    trainer = load_trainer([f"exp.config_path={config}", "exp.device=cpu", *words, "train.amp=bf16"])
    trainer.check_config()
    trainer.make_networks(facts_of(trainer))
    trainer.share = Share(trainer.config.data.train_batch_size)
    return trainer


def seconds_of_step(trainer: BaseTrainer, cards: dict[str, Card]) -> dict[str, float]:
    """Return, by card, the estimated seconds of one optimizer step of each player."""
    accumulate, turns = trainer.config.train.accumulate, trainer.batches_per_step
    passes, seconds = passes_per_image(turns), dict.fromkeys(cards, 0.0)
    for name, once in forward_seconds(trainer, cards).items():
        updates = turns if name == "discriminator" else 1
        for key, card in cards.items():
            update = update_seconds(trainer.networks[name], card.bandwidth) / ATTAINED
            seconds[key] += once[key] * passes.get(name, 3) * accumulate * turns + update * updates
    return seconds


def forward_seconds(trainer: BaseTrainer, cards: dict[str, Card]) -> dict[str, dict[str, float]]:
    """Return, by network and card, what a micro-batch takes through it once. Nothing is computed: tensors are fake."""
    micro, found = trainer.share.batch_size // trainer.config.train.accumulate, {}
    for name in trainer.example_passes(1):
        modes = {key: Roofline(card.flops, card.bandwidth, bytes_per_number=2) for key, card in cards.items()}
        with FakeTensorMode(allow_non_fake_inputs=True), ExitStack() as stack:
            run = trainer.example_passes(micro)[name]
            for mode in modes.values():  # one around the other: each counts for its card
                stack.enter_context(mode)
            run()
        eager = name in trainer.penalised
        found[name] = {
            key: max(mode.seconds(fused=not eager) / ATTAINED, mode.calls * cards[key].launch if eager else 0.0)
            for key, mode in modes.items()
        }
    return found


if __name__ == "__main__":
    main()
