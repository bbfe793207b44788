"""What several GPUs must tell each other in a step, and how long that takes beside the step itself: computed.

    python3 -m benchmarks.scaling gpus=8 [configs=[diffusion/food101_edm,...]]

Gradients are float32, one number for each trained parameter, averaged once an update (with accumulation too). A ring
sends 2 (n - 1) / n of them from every GPU (Patarasuk, Yuan 2009, "Bandwidth Optimal All-reduce Algorithms for Clusters
of Workstations"). Links: an H200's NVLink, 450 GB/s each way, and 16 lanes of PCIe 4.0, 32 GB/s, of either half. Steps
are those of benchmarks/estimate.py: of an H200 with its share of the config's batch, and with a whole batch of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.estimate import CARDS, seconds_of_step, untrained
from evaluation.tables import aligned
from training.trainers.base import BaseTrainer
from training.updater import trainable
from utils.command import command_of
from utils.schema import PositiveInt, section

CONFIGS = Path(__file__).parents[1] / "configs"
SHOWN = ["diffusion/food101_edm", "diffusion/food101_6gb", "diffusion/baseline_public", "gan/food101_sngan"]
LINKS = {"NVLink": 450e9 / 2, "PCIe 4.0": 32e9 / 2}  # bytes a second each way, of which half is assumed


@section
class Settings:
    """What the command takes."""

    gpus: PositiveInt = 8
    configs: list[str] = field(default_factory=lambda: list(SHOWN))


@dataclass(frozen=True)
class Step:
    """One step of a config on so many GPUs."""

    config: str
    bytes: int  # averaged over all GPUs
    links: dict[str, float]  # seconds by link
    shared: float  # seconds of arithmetic with 1 / n of the batch
    whole: float  # with a batch of its own

    def cells(self) -> list[str]:
        seconds = [*self.links.values(), self.shared, self.whole]
        return [self.config, f"{self.bytes / 1e6:.0f}", *(f"{1e3 * one:.3g}" for one in seconds)]


@command_of(Settings)
def main(settings: Settings) -> None:
    links = [f"{name}, ms" for name in LINKS]
    header = ["config", "MB a step", *links, f"step of 1/{settings.gpus} batch, ms", "of a batch, ms"]
    print(aligned([header, *(step.cells() for step in steps(settings.configs, settings.gpus))]))


def steps(configs: list[str], gpus: int) -> Iterator[Step]:
    """Yield what a step of each config takes."""
    for config in configs:
        trainer = untrained(str(CONFIGS / f"{config}.yaml"))
        averaged = bytes_a_step(trainer)
        links = {name: sent(averaged, gpus) / rate for name, rate in LINKS.items()}
        whole = seconds_of_step(trainer, {"H200": CARDS["H200"]})["H200"]
        batch = trainer.config.data.train_batch_size // gpus
        small = untrained(str(CONFIGS / f"{config}.yaml"), f"data.train_batch_size={batch}")
        shared = seconds_of_step(small, {"H200": CARDS["H200"]})["H200"]
        yield Step(config, averaged, links, shared, whole)


def bytes_a_step(trainer: BaseTrainer) -> int:
    """Return the bytes of gradients that are averaged in one step: a discriminator's as often as it is updated."""
    updates = {"discriminator": trainer.batches_per_step}
    return sum(
        4 * updates.get(name, 1) * sum(parameter.numel() for parameter in trainable(network))
        for name, network in trainer.networks.items()
    )


def sent(averaged: int, gpus: int) -> float:
    """Return the bytes that each GPU of a ring sends to have so many averaged."""
    return 2 * (gpus - 1) / gpus * averaged


if __name__ == "__main__":
    main()
