"""What passes between parts moves as one."""

from dataclasses import dataclass

import torch

from utils.batch import Batch, Condition, map_tensors, to_device


@dataclass(frozen=True)
class Nested:
    batch: Batch
    pair: tuple
    name: str = "n"


def test_every_tensor_moves_however_deep_and_the_rest_stays():
    """``meta`` is a device that every machine has."""
    extra = {"boxes": [torch.zeros(2), {"mask": torch.zeros(1)}], "file": "a.png", "size": 3, "none": None}
    moved = to_device(Nested(Batch(torch.zeros(1, 3, 4, 4), extra=extra), (torch.zeros(1), 5)), "meta")
    tensors = [moved.batch.images, moved.batch.extra["boxes"][0], moved.batch.extra["boxes"][1]["mask"], moved.pair[0]]
    assert [tensor.device.type for tensor in tensors] == ["meta"] * 4
    assert moved.batch.labels is None
    assert (moved.batch.extra["file"], moved.batch.extra["size"], moved.batch.extra["none"]) == ("a.png", 3, None)
    assert (moved.pair[1], moved.name) == (5, "n")


def test_the_original_stays_as_it_is():
    condition = Condition(labels=torch.arange(3))
    doubled = map_tensors(condition, lambda tensor: 2 * tensor)
    assert condition.labels.tolist() == [0, 1, 2]
    assert doubled == Condition(labels=doubled.labels)
    assert doubled.labels.tolist() == [0, 2, 4]


def test_a_batch_is_as_long_as_it_has_images():
    assert len(Batch(torch.zeros(5, 3, 4, 4, dtype=torch.uint8))) == 5
