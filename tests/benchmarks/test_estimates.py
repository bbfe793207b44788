"""The times and the memory in the headers of the presets by size are what the estimate says today."""

import copy
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.estimate import ATTAINED, CARDS, OTHERS, Card, forward_seconds, seconds_of_step, untrained
from benchmarks.roofline import Roofline, training_pass
from training.check import estimated_memory
from training.speed import GIB, operations_per_image
from training.trainers.base import BaseTrainer

ROOT = Path(__file__).parents[2]
# Without limits of the one kind or the other, and without Python.
LIMITS = {
    "arithmetic": Card(flops=1e12, bandwidth=1e30, memory=1, launch=0),
    "memory": Card(flops=1e30, bandwidth=1e11, memory=1, launch=0),
    "twice the memory": Card(flops=1e30, bandwidth=2e11, memory=1, launch=0),
    "Python": Card(flops=1e30, bandwidth=1e30, memory=1, launch=1.0),
}
HOURS = re.compile(r"(\d+\.\d) hours on an? (H200|T4|RTX 3060 laptop)")


@dataclass(frozen=True)
class Preset:
    """A config whose header tells hours on cards, built."""

    file: Path
    trainer: BaseTrainer
    gib: float  # estimated
    seconds: dict[str, float]  # of a step, by card

    @property
    def header(self) -> str:
        lines = [line.lstrip("# ") for line in self.file.read_text().splitlines() if line.startswith("#")]
        return re.sub(r" {2,}", " ", " ".join(lines))


FILES = [path for path in sorted((ROOT / "configs").rglob("*.yaml")) if HOURS.search(path.read_text())]


@pytest.fixture(scope="module", params=FILES, ids=lambda path: str(path.relative_to(ROOT / "configs")))
def preset(request) -> Preset:
    trainer = untrained(str(request.param))
    return Preset(request.param, trainer, estimated_memory(trainer) / GIB + OTHERS,
                  seconds_of_step(trainer, CARDS | LIMITS))  # fmt: skip


def test_there_is_a_preset_for_each_small_card():
    assert {str(path.relative_to(ROOT / "configs").with_suffix("")) for path in FILES} == {
        "diffusion/food101_t4", "diffusion/food101_6gb", "gan/food101_t4"
    }  # fmt: skip


def test_the_header_s_hours_and_memory_are_the_estimate_s(preset):
    told = {card: float(hours) for hours, card in HOURS.findall(preset.header)}
    assert told.keys() == CARDS.keys() and "estimated, not measured" in preset.header
    for name, hours in told.items():
        assert hours == pytest.approx(preset.trainer.config.train.steps * preset.seconds[name] / 3600, abs=0.06)
    assert float(re.search(r"(\d+\.\d) GiB", preset.header)[1]) == pytest.approx(preset.gib, abs=0.1)


def test_it_fits_the_card_of_its_name(preset):
    card = CARDS["RTX 3060 laptop" if preset.file.stem.endswith("6gb") else "T4"]
    assert preset.gib < 0.8 * card.memory


def test_what_the_header_says_of_a_smaller_card_fits_it(preset):
    laptop, words = CARDS["RTX 3060 laptop"].memory, re.search(r"\(there with (\S+)\)", preset.header)
    assert (words is not None) == (preset.gib > laptop)
    if words:
        assert estimated_memory(untrained(str(preset.file), words[1])) / GIB + OTHERS < laptop


def test_with_endless_bandwidth_a_step_takes_its_operations(preset):
    """Counted by PyTorch's counter, which knows nothing of time."""
    operations = operations_per_image(preset.trainer) * preset.trainer.images_per_step
    assert preset.seconds["arithmetic"] * ATTAINED == pytest.approx(operations / 1e12, rel=1e-3)


def test_with_endless_arithmetic_twice_the_bandwidth_halves_the_time(preset):
    assert preset.seconds["memory"] == pytest.approx(2 * preset.seconds["twice the memory"])


def test_only_what_is_not_compiled_waits_for_python(preset):
    """A discriminator, 6.4 passes an image of whole batches, of some hundred operations each."""
    waits = preset.seconds["Python"]
    assert 6.4 * 5 * 100 < waits < 6.4 * 5 * 1000 if "gan" in preset.file.parts else waits < 1e-9


def test_three_forward_passes_stand_for_training():
    """Against a forward and a backward pass of the U-Net, operation by operation."""
    small = ["train.accumulate=1", "data.train_batch_size=32", "model_args.blocks_per_level=1"]
    trainer = untrained(str(ROOT / "configs" / "diffusion" / "food101_6gb.yaml"), *small)
    for name, once in forward_seconds(trainer, CARDS)["denoiser"].items():
        mode = Roofline(CARDS[name].flops, CARDS[name].bandwidth, bytes_per_number=2)
        training_pass(copy.deepcopy(trainer.networks["denoiser"].backbone).to("meta"), 32, mode)
        assert 3 * once * ATTAINED == pytest.approx(mode.seconds(fused=True), rel=0.2)
