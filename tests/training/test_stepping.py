"""One step's images and random numbers do not depend on how the global batch is cut."""

import pytest
import torch

from datasets.augmentations import augmentations_registry
from datasets.loaders import Share
from tests.helpers import trainer_of
from training.data import open_training_data
from training.stepping import BatchFeed, MicroBatch, StepRng, micro_slices

CPU = torch.device("cpu")


def rng(rows: slice, step: int = 5, seed: int = 0, batch: int = 8) -> StepRng:
    return StepRng(seed, step, batch, rows, CPU)


@pytest.mark.parametrize("cuts", [[0, 4, 8], [0, 2, 4, 6, 8], [0, 1, 8]])
def test_rows_draw_the_same_numbers_however_the_batch_is_cut(cuts):
    parts = [slice(start, stop) for start, stop in zip(cuts, cuts[1:])]
    whole = rng(slice(0, 8))
    assert torch.equal(torch.cat([rng(part).randn("noise", (3, 2)) for part in parts]), whole.randn("noise", (3, 2)))
    assert torch.equal(torch.cat([rng(part).rand("level") for part in parts]), whole.rand("level"))
    assert torch.equal(torch.cat([rng(part).rand("shift", (2,)) for part in parts]), whole.rand("shift", (2,)))


def test_purposes_steps_and_seeds_draw_other_numbers_and_the_same_ones_again():
    rows = slice(0, 8)
    draws = [rng(rows).rand("a"), rng(rows).rand("b"), rng(rows, step=6).rand("a"), rng(rows, seed=1).rand("a")]
    assert len({tuple(draw.tolist()) for draw in draws}) == 4
    assert torch.equal(rng(rows).rand("a"), draws[0])


def test_what_layers_draw_is_a_function_of_the_step():
    """Dropout draws from PyTorch's own generator."""
    draws = []
    for step in (3, 3, 4):
        torch.rand(7)  # whatever happened before
        rng(slice(0, 8), step=step).seed_layers("denoiser")
        draws.append(torch.rand(5))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize(("world", "accumulate"), [(1, 1), (1, 3), (2, 1), (2, 3), (3, 2)])
def test_slices_of_all_processes_cover_the_global_batch_in_order(world, accumulate):
    slices = [part for rank in range(world) for part in micro_slices(Share(12, rank, world), accumulate)]
    assert [row for part in slices for row in range(part.start, part.stop)] == list(range(12))
    assert {part.stop - part.start for part in slices} == {12 // world // accumulate}


def micro_batches(tmp_path, step: int, share: Share, *overrides: str) -> list[MicroBatch]:
    """The micro-batches of one step of a run that begins there."""
    trainer = trainer_of(tmp_path, "gan", *overrides)
    data = open_training_data(trainer.roles, print)
    return BatchFeed(data, trainer.config, share, CPU, first_step=step).micro_batches(step)


def test_a_step_of_two_batches_takes_what_two_steps_would(tmp_path):
    """Batches are numbered through the run: batch 3 is the second one of step 1."""
    trainer = trainer_of(tmp_path, "gan")
    data = open_training_data(trainer.roles, print)
    feed = BatchFeed(data, trainer.config, Share(8), CPU, first_step=1, per_step=2)
    for number in (2, 3):
        (micro,), (expected,) = feed.micro_batches(number), micro_batches(tmp_path, number, Share(8))
        assert torch.equal(micro.images, expected.images)
        assert torch.equal(micro.rng.rand("z"), expected.rng.rand("z"))
    assert len(list(feed.batches)) == 2 * 7 - 4  # of the 7 steps' batches these are left


def joined(micros: list[MicroBatch]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    noise = torch.cat([micro.rng.randn("z", (4,)) for micro in micros])
    return torch.cat([micro.images for micro in micros]), torch.cat([micro.cond.labels for micro in micros]), noise


@pytest.mark.parametrize(("world", "accumulate"), [(1, 4), (2, 1), (2, 2)])
def test_processes_and_accumulation_cut_the_same_augmented_images(tmp_path, world, accumulate):
    whole = joined(micro_batches(tmp_path, 3, Share(8)))
    parts = []
    for rank in range(world):
        parts += micro_batches(tmp_path, 3, Share(8, rank, world), f"train.accumulate={accumulate}")
    assert all(torch.equal(a, b) for a, b in zip(joined(parts), whole, strict=True))
    assert [micro.last for micro in parts] == ([False] * (accumulate - 1) + [True]) * world


def test_images_are_floats_between_minus_one_and_one(tmp_path):
    (micro,) = micro_batches(tmp_path, 0, Share(8))
    assert micro.images.dtype == torch.float32
    assert micro.images.abs().max() <= 1
    assert micro.images.min() < 0 < micro.images.max()


def test_an_unconditional_run_sees_no_labels(tmp_path):
    (micro,) = micro_batches(tmp_path, 0, Share(8), "data.conditional=false")
    assert micro.cond.labels is None


def test_a_flip_mirrors_the_images_with_numbers_above_a_half():
    images = torch.arange(40.0).view(2, 1, 4, 5)
    flipped = augmentations_registry["horizontal_flip"]()(images, torch.tensor([0.49, 0.5]))
    assert torch.equal(flipped[0], images[0])
    assert torch.equal(flipped[1], images[1].flip(-1))


def shifted(line: list[float], uniform: float) -> list[float]:
    """The first row of a picture of sixteen equal rows, after a shift."""
    picture = torch.tensor(line).expand(1, 1, 16, 16)
    return augmentations_registry["random_shift"]()(picture, torch.tensor([uniform]))[0, 0, 0].tolist()


def test_a_shift_moves_by_up_to_an_eighth_and_shows_the_mirror_image_at_the_edge():
    """Of 16 pixels: two each way, five places across; the number counts them row by row."""
    line = [float(value) for value in range(16)]
    assert shifted(line, 0.0) == [2, 1, *line[:-2]]
    assert shifted(line, 0.999) == [*line[2:], 14, 13]
    assert shifted(line, 12.5 / 25) == line  # the middle of 5 by 5 places
    assert shifted(line, 13.5 / 25) == [*line[1:], 14]


def test_a_shift_reaches_every_place_down_and_across():
    picture = torch.arange(256.0).view(1, 1, 16, 16).expand(25, 1, 16, 16)
    moved = augmentations_registry["random_shift"]()(picture, (torch.arange(25) + 0.5) / 25)
    assert moved[:, 0, 8, 8].tolist() == [16 * row + column for row in range(6, 11) for column in range(6, 11)]


@pytest.mark.parametrize("reach, farthest", [(0.0, 0), (0.25, 4), (0.99, 15)])
def test_a_shift_goes_as_far_as_it_is_told(reach, farthest):
    picture = torch.arange(16.0).expand(1, 1, 16, 16)
    first = augmentations_registry["random_shift"](reach=reach)(picture, torch.tensor([0.0]))
    assert first[0, 0, 0, 0] == farthest


@pytest.mark.parametrize("name", augmentations_registry)
def test_an_augmentation_treats_each_image_by_its_own_number(name):
    """So it is the same in any batch. A new augmentation is tested by being registered."""
    augment = augmentations_registry[name]()
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(6, 3, 8, 8, generator=generator) * 2 - 1
    uniform = torch.rand(6, generator=generator)
    together = augment(images, uniform)
    alone = torch.cat([augment(images[i : i + 1], uniform[i : i + 1]) for i in range(6)])
    assert torch.equal(together, alone)
    assert together.shape == images.shape
