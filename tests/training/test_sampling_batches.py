"""How many images are made at a time, and how long each stage of an evaluation takes."""

import json

import pytest
import torch

import inference
import train
from metrics.registry import features_registry
from tests.evaluation.conftest import Colours
from tests.helpers import trainer_of
from tests.runs import words, write_config
from training.evaluation import even, halving


class Gpu:
    """Work that fails, as a full GPU does, with more than ``room`` images at a time."""

    def __init__(self, room: int):
        self.room, self.asked = room, []

    def __call__(self, indices: range) -> torch.Tensor:
        self.asked.append(len(indices))
        if len(indices) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.tensor(list(indices))


@pytest.mark.parametrize("room", [1, 2, 7, 30, 64, 1000])
def test_pieces_are_halved_until_they_fit_and_every_image_is_made_once_in_order(room):
    gpu, said = Gpu(room), []
    made = torch.cat(list(halving(gpu, 203, 64, said.append)))
    assert made.tolist() == list(range(203))
    assert min(64, room) / 2 <= max(size for size in gpu.asked if size <= room) <= room
    assert len(said) == sum(size > room for size in gpu.asked) <= 7  # 64, 32, ..., 2: found once, then kept


def test_not_even_one_image_is_an_error_that_the_command_explains():
    with pytest.raises(torch.OutOfMemoryError):
        list(halving(Gpu(0), 8, 4, lambda line: None))


@pytest.mark.parametrize(("count", "size", "pieces"), [(2020, 256, 8), (202, 128, 2), (10, 128, 1), (64, 64, 1)])
def test_pieces_are_as_few_as_the_size_allows_and_nearly_equal(count, size, pieces):
    gpu = Gpu(room=count)
    list(halving(gpu, count, size, print))
    assert len(gpu.asked) == pieces and max(gpu.asked) <= size
    assert max(gpu.asked) - min(gpu.asked) < pieces
    assert even(count, size) == gpu.asked[0]


def test_a_gpu_that_is_too_small_makes_the_same_images(tmp_path, monkeypatch, capsys):
    """An image depends on its number, not on the batch it is made in."""
    trainer = trainer_of(tmp_path, "gan")
    trainer.setup()
    whole = trainer.synthesize_images(None, 12, seed=3)
    generate = trainer.generate

    def crowded(labels, indices, seed, quick):
        if len(indices) > 5:
            raise torch.OutOfMemoryError
        return generate(labels, indices, seed, quick)

    monkeypatch.setattr(trainer, "generate", crowded)
    parts = trainer.synthesize_images(None, 12, seed=3)
    assert (parts.int() - whole.int()).abs().max() <= 1  # one grey level
    assert "the GPU's memory is full: going on with 3 images at a time" in capsys.readouterr().out


def test_an_evaluation_tells_the_seconds_of_its_stages(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(features_registry.classes, "inception", Colours)
    config = write_config(tmp_path, "gan")
    train.main(words(config, tmp_path, "train.steps=2"))
    more = ["train.steps=2", "train.checkpoint_path=latest", "train.val_metrics=[fid]", "metrics_args.fid.dims=64"]
    inference.main(words(config, tmp_path, *more, f"inference.out_dir={tmp_path / 'out'}"))
    seconds = json.loads((tmp_path / "out" / "metrics.json").read_text())["seconds"]
    assert list(seconds) == ["sampling", "writing images", "features", "distances"]
    assert all(0 < value < 60 for value in seconds.values())
    assert f"sampling {seconds['sampling']:.1f} s, writing images" in capsys.readouterr().out
