"""Which image stands where in the run: a function of seed and position."""

import pytest
import torch

from datasets.image_folder import ImageFolder
from datasets.loaders import Share, TrainingOrder, copied_ahead, resident_batches, training_batches
from datasets.packed import Packed
from tests.helpers import write_image_folder
from utils.batch import Batch

CPU = torch.device("cpu")


def order(
    length: int = 10, batch: int = 4, seed: int = 0, first: int = 0, steps: int = 10, rank: int = 0, world: int = 1
):
    return TrainingOrder(length, Share(batch, rank, world), seed, first, steps)


def positions(made: TrainingOrder) -> list[int]:
    return [index for batch in made for index in batch]


@pytest.mark.parametrize(("length", "batch"), [(10, 4), (10, 10), (7, 3), (3, 8), (1, 4)])
def test_each_epoch_is_a_permutation_and_batches_run_on_across_its_end(length, batch):
    steps = 3 * length  # 3 * batch epochs
    found = positions(order(length, batch, steps=steps))
    assert len(found) == steps * batch
    epochs = [found[start : start + length] for start in range(0, len(found), length)]
    assert all(sorted(epoch) == list(range(length)) for epoch in epochs)


def test_epochs_and_seeds_have_orders_of_their_own():
    found = positions(order(length=50, batch=50, steps=3))
    other = positions(order(length=50, batch=50, steps=1, seed=1))
    assert len({tuple(found[:50]), tuple(found[50:100]), tuple(found[100:]), tuple(other), tuple(range(50))}) == 5


@pytest.mark.parametrize("first", [1, 2, 5, 9])
def test_resuming_at_a_step_gives_what_running_on_would_have(first):
    whole = list(order())
    assert list(order(first=first)) == whole[first:]
    assert len(order(first=first)) == len(whole) - first


@pytest.mark.parametrize("world", [2, 4])
def test_the_rows_of_all_processes_together_are_one_process_s(world):
    shares = [list(order(batch=8, rank=rank, world=world)) for rank in range(world)]
    together = [sum((share[step] for share in shares), []) for step in range(10)]
    assert together == list(order(batch=8))


def test_shares_cut_the_global_batch_without_gap_or_overlap():
    slices = [Share(12, rank, 3).rows for rank in range(3)]
    assert [(part.start, part.stop) for part in slices] == [(0, 4), (4, 8), (8, 12)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_image_folder(tmp_path_factory.mktemp("images"), {"pie": 5, "soup": 8})


def all_batches(dataset, workers: int = 0, **settings):
    batches = list(training_batches(dataset, order(len(dataset), **settings), workers, CPU))
    return torch.cat([batch.images for batch in batches]), torch.cat([batch.labels for batch in batches])


def assert_equal(first, second):
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_folder_and_its_pack_give_the_same_batches(folder):
    images, labels = all_batches(ImageFolder(str(folder), 16))
    assert_equal(all_batches(Packed(str(folder), 16)), (images, labels))
    assert images.shape == (40, 3, 16, 16)
    assert images.dtype == torch.uint8


def test_a_worker_changes_nothing(folder):
    dataset = ImageFolder(str(folder), 16)
    assert_equal(all_batches(dataset, workers=1, steps=3), all_batches(dataset, steps=3))


def test_each_image_comes_with_its_own_label(folder):
    dataset = ImageFolder(str(folder), 16)
    images, labels = all_batches(dataset)
    known = {dataset.images_at([row]).numpy().tobytes(): int(dataset.labels[row]) for row in range(len(dataset))}
    assert len(known) == len(dataset)
    assert [known[image.numpy().tobytes()] for image in images] == labels.tolist()


def test_batches_from_memory_of_the_device_are_the_same_batches(folder):
    """On the CPU here: the path that a GPU takes."""
    dataset = Packed(str(folder), 16)
    batches = list(resident_batches(dataset, dataset.pixels(), order(len(dataset))))
    resident = torch.cat([b.images for b in batches]), torch.cat([b.labels for b in batches])
    assert_equal(resident, all_batches(dataset))


def test_an_unlabelled_folder_has_no_labels(tmp_path):
    write_image_folder(tmp_path, {"flat": 6})
    flat = ImageFolder(str(tmp_path / "flat"), 16)
    loaded = next(training_batches(flat, order(6, batch=3), 0, CPU))
    resident = next(resident_batches(flat, flat.images_at(range(6)), order(6, batch=3)))
    assert loaded.labels is resident.labels is None
    assert torch.equal(loaded.images, resident.images)


def test_copying_ahead_hands_on_every_batch_in_order_and_asks_for_one_more_at_a_time():
    """With the CPU's streams, which have the names of CUDA's and do nothing: the path of data that outgrow a GPU."""
    asked = []

    def batches():
        for number in range(4):
            asked.append(number)
            yield Batch(torch.full((2, 3, 4, 4), number, dtype=torch.uint8), torch.tensor([number, number]))

    copies = copied_ahead(batches(), CPU)
    for number in range(4):
        batch = next(copies)
        assert batch.images.unique().tolist() == batch.labels.unique().tolist() == [number]
        assert asked == list(range(min(number + 2, 4)))
    assert list(copies) == []
    assert list(copied_ahead([], CPU)) == []
