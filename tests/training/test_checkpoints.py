"""Files of weights: whole or absent, and opened without running anybody's code."""

import os
import pickle
import random
import re
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from training.checkpoints import (
    FORMAT,
    DamagedError,
    checkpoint_name,
    checksum,
    list_checkpoints,
    load_checkpoint,
    load_into,
    prune_checkpoints,
    save_checkpoint,
)
from utils.errors import ConfigError, DataError

STATE = {"step": 3, "weights": {"w": torch.arange(1000.0)}, "names": ("a", "b"), "rate": 1e-4, "none": None}


class Unwritable:
    """Fails in the middle of being written."""

    def __reduce__(self):
        raise OSError("the disk is full")


class Evil:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def test_what_is_written_comes_back(tmp_path):
    save_checkpoint(STATE, tmp_path / "deep" / "a.pt")
    state = load_checkpoint(tmp_path / "deep" / "a.pt")
    assert torch.equal(state.pop("weights")["w"], STATE["weights"]["w"])
    assert state == {"format": FORMAT, "step": 3, "names": ("a", "b"), "rate": 1e-4, "none": None}


def test_the_same_state_makes_the_same_bytes(tmp_path):
    """Nothing of the clock is inside."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_checkpoint(STATE, tmp_path / name / "x.pt")
    assert (tmp_path / "a" / "x.pt").read_bytes() == (tmp_path / "b" / "x.pt").read_bytes()


def test_a_checkpoint_that_fails_midway_leaves_nothing_behind(tmp_path):
    with pytest.raises(OSError, match="the disk is full"):
        save_checkpoint({**STATE, "late": Unwritable()}, tmp_path / "a.pt")
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_fails_midway_leaves_the_earlier_one_whole(tmp_path):
    save_checkpoint(STATE, tmp_path / "a.pt")
    before = (tmp_path / "a.pt").read_bytes()
    with pytest.raises(OSError, match="the disk is full"):
        save_checkpoint({**STATE, "late": Unwritable()}, tmp_path / "a.pt")
    assert (tmp_path / "a.pt").read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "a.pt"]


def one_line(path: Path, error: type) -> str:
    with pytest.raises(error) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_missing_file_names_the_key_that_named_it(tmp_path):
    assert one_line(tmp_path / "none.pt", ConfigError).startswith("train.checkpoint_path=")
    with pytest.raises(ConfigError, match=r"^train\.init_from="):
        load_checkpoint(tmp_path / "none.pt", "train.init_from")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("runs/dishes", "this is a folder; there are {}: write train.init_from={}/step_00001500.pt"),
        ("runs/dishes/checkpoints", "this is a folder; there are {}: write train.init_from={}/step_00001500.pt"),
        ("runs/dishes/last.pt", "there is no such checkpoint; there are {}: write train.init_from={}/step_00001500.pt"),
        ("runs/dishes/checkpoints/step_750.pt", "there are {}: write train.init_from={}/step_00000750.pt"),
        ("runs/dishes/checkpoints/step_00001400.pt", "there are {}: write train.init_from={}/step_00001500.pt"),
        ("runs", "this folder holds no exported model and no checkpoint: name one, such as runs/NAME/checkpoints"),
        ("runs/nobody", "there is no such file and no checkpoint: name one, such as runs/NAME/checkpoints"),
        ("runs/model", "this is an exported model, which inference.py opens: name a checkpoint, such as runs/NAME"),
        ("latest", "this word is for train.checkpoint_path of inference.py: name a file"),
    ],
)
def test_a_folder_or_a_misspelt_step_is_told_which_file_may_be_meant(tmp_path, monkeypatch, written, said):
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/dishes/checkpoints")
    for file in (*(folder / f"step_{step:08d}.pt" for step in (1, 375, 750, 1500)), Path("runs/model/model.json")):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    expected = said.format("step_00000375.pt, step_00000750.pt, step_00001500.pt", folder)
    with pytest.raises(ConfigError, match=rf"^train\.init_from={written}: .*{re.escape(expected)}"):
        load_checkpoint(written, "train.init_from")


def test_a_damaged_file_is_told_with_the_key_that_named_it(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"nothing")
    with pytest.raises(DamagedError, match=r"name another by train\.guide_path$"):
        load_checkpoint(tmp_path / "a.pt", "train.guide_path")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_damaged(tmp_path, share):
    save_checkpoint(STATE, tmp_path / "a.pt")
    data = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(data[: int(share * len(data))])
    one_line(tmp_path / "a.pt", DataError)


@pytest.mark.parametrize("seed", range(3))
def test_random_bytes_are_no_checkpoint(tmp_path, seed):
    noise = torch.randint(0, 256, (5000,), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    (tmp_path / "a.pt").write_bytes(noise.numpy().tobytes())
    one_line(tmp_path / "a.pt", DataError)


@pytest.mark.parametrize("seed", range(5))
def test_a_file_with_one_bit_changed_is_damaged_or_opens_as_it_was(tmp_path, seed):
    """PyTorch alone opens seven of ten such files without a word, with other numbers in them."""
    save_checkpoint(STATE, tmp_path / "a.pt")
    data, rng, refused = (tmp_path / "a.pt").read_bytes(), random.Random(seed), 0
    whole = checksum(load_checkpoint(tmp_path / "a.pt"))
    for _ in range(100):
        changed = bytearray(data)
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (tmp_path / "a.pt").write_bytes(changed)
        try:
            assert checksum(load_checkpoint(tmp_path / "a.pt")) == whole
        except DamagedError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 50


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.zeros(2), torch.zeros(2, dtype=torch.int32)),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
        (torch.tensor(0.0), torch.tensor(-0.0)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([1, 2], (1, 2)),
        ([[1], 2], [1, [2]]),
        (1, True),
        ("1", 1),
        (["ab", "c"], ["a", "bc"]),
        ({}, []),
    ],
)
def test_different_states_have_different_checksums(one, other):
    assert checksum({"it": one}) != checksum({"it": other})
    assert checksum({"it": one}) == checksum({"it": one})


def test_a_checksum_does_not_depend_on_how_a_tensor_lies_in_memory():
    square = torch.arange(6.0).view(2, 3)
    for same in (square.T.contiguous().T, torch.arange(12.0).view(2, 6)[:, ::2] / 2 * 1.0):
        expected = {"x": same.clone(memory_format=torch.contiguous_format)}
        assert checksum({"x": same}) == checksum(expected)
    assert checksum({"x": torch.arange(10)[::2]}) == checksum({"x": torch.tensor([0, 2, 4, 6, 8])})


def test_a_zip_of_nothing_or_of_something_else_is_no_checkpoint(tmp_path):
    for names in ([], ["readme.txt"]):
        with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
            for name in names:
                archive.writestr(name, "hello")
        one_line(tmp_path / "a.pt", DataError)


@pytest.mark.parametrize("form", ["pickle", "torch"])
def test_code_in_a_file_does_not_run(tmp_path, form):
    trace = tmp_path / "trace"
    state = {"format": FORMAT, "evil": Evil(trace)}
    if form == "torch":
        torch.save(state, tmp_path / "a.pt")
    else:
        (tmp_path / "a.pt").write_bytes(pickle.dumps(state))
    assert "could run code and is not opened" in one_line(tmp_path / "a.pt", DataError)
    assert not trace.exists()
    torch.load(tmp_path / "a.pt", weights_only=False) if form == "torch" else pickle.loads(pickle.dumps(state))
    assert trace.exists()  # it would have


@pytest.mark.parametrize("content", [{"step": 3}, [1, 2], torch.zeros(3)])
def test_a_file_of_another_project_is_not_one_of_ours(tmp_path, content):
    torch.save(content, tmp_path / "a.pt")
    assert "not a checkpoint of this project" in one_line(tmp_path / "a.pt", DataError)


def test_a_newer_format_asks_for_an_update(tmp_path):
    state = {"format": FORMAT + 1}
    torch.save({"checksum": checksum(state), **state}, tmp_path / "a.pt")
    assert "update the project" in one_line(tmp_path / "a.pt", DataError)


def test_a_folder_lists_its_checkpoints_by_step_whatever_the_number_of_digits(tmp_path):
    steps = [99_999_999, 5, 100_000_000, 1_000_000_000, 12]
    others = ["step_5.pt", "step_0000000x.pt", "best.pt", "step_00000007.tmp12", "step_00000008.pt.bak"]
    for name in [*map(checkpoint_name, steps), *others]:
        (tmp_path / name).touch()
    assert [path.name for path in list_checkpoints(tmp_path)] == [checkpoint_name(step) for step in sorted(steps)]


def test_a_folder_that_is_not_there_has_none(tmp_path):
    assert list_checkpoints(tmp_path / "none") == []


@pytest.mark.parametrize("keep", [1, 2, 9])
def test_pruning_keeps_the_newest_and_touches_nothing_else(tmp_path, keep):
    steps = [1, 20, 300, 4000]
    for name in [*map(checkpoint_name, steps), "best.pt"]:
        (tmp_path / name).touch()
    prune_checkpoints(tmp_path, keep)
    assert [path.name for path in list_checkpoints(tmp_path)] == [checkpoint_name(step) for step in steps[-keep:]]
    assert (tmp_path / "best.pt").exists()


@pytest.mark.parametrize(
    ("change", "first"),
    [
        (lambda weights: weights.pop("bias"), "bias"),
        (lambda weights: weights.update(weight=torch.zeros(2, 3)), "weight"),
        (lambda weights: weights.update(extra=torch.zeros(1)), "extra"),
    ],
)
def test_weights_that_do_not_fit_are_named_and_change_nothing(change, first):
    network = nn.Linear(2, 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    weights = {name: value + 1 for name, value in before.items()}
    change(weights)
    with pytest.raises(DataError, match=rf"a\.pt does not fit the critic .*: 1 of its tensors differ, .* is {first};"):
        load_into(network, weights, "critic", "a.pt")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_weights_that_fit_are_taken():
    network, other = nn.Linear(2, 2), nn.Linear(2, 2)
    load_into(network, other.state_dict(), "critic", "a.pt")
    assert torch.equal(network.weight, other.weight)
