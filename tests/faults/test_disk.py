"""A disk that is full, a folder that refuses, a file that is damaged: the run goes on, the last good state stays."""

import os
import resource
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import train
from tests.crashes import assert_same, final_state
from tests.faults.victims import FORK, attempt
from tests.helpers import one_error_line
from tests.runs import words, write_config
from training import clock, saving
from training.losses.gan import SoftplusGen
from training.losses.registry import gen_losses_registry
from utils.files import LineFile

LIMIT = 20_000  # bytes: more than the logs, less than a checkpoint
CHECKPOINTS = Path("checkpoints")


@contextmanager
def full(limit: int = LIMIT):
    """Let the system refuse files larger than that, as it refuses them on a full disk: in the middle of a write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def gone(folder: Path):
    """Put a file in the place of a folder."""
    away = folder.with_name("away")
    folder.rename(away)
    folder.write_text("not a folder")
    try:
        yield
    finally:
        folder.unlink()
        away.rename(folder)


@contextmanager
def read_only(folder: Path):
    folder.chmod(0o500)
    try:
        yield
    finally:
        folder.chmod(0o700)


@gen_losses_registry.add_to_registry(name="troubled_softplus")
class TroubledSoftplus(SoftplusGen):
    """In steps 3 to ``until`` of the run there is trouble with the disk."""

    def __init__(self, trouble: str, folder: str, until: int):
        self.until, self.calls = until, 0
        self.trouble = {"full": full, "gone": lambda: gone(Path(folder)), "read-only": lambda: read_only(Path(folder))}[
            trouble
        ]()

    def __call__(self, outcome):
        self.calls += 1
        if self.calls == 3:
            self.trouble.__enter__()
        if self.calls == self.until + 1:
            self.trouble.__exit__(None, None, None)
        return super().__call__(outcome)


def impatient(arguments: list[str], log: Path) -> None:
    """Train, in a process of its own, without waiting between two tries."""
    clock.TRY_AGAIN, saving.LAST_TRIES = 0.0, (0, 0.1)
    attempt(arguments, log)


def run_in_trouble(folder: Path, trouble: str, until: int) -> tuple[int, str, Path]:
    run = folder / "runs" / "gan"
    changes = {
        "gen_losses": {"troubled_softplus": 1.0},
        "losses_args.troubled_softplus": {"trouble": trouble, "folder": str(run / CHECKPOINTS), "until": until},
        "train.checkpoint_step": 2,
    }
    config = write_config(folder, "gan", changes)
    process = FORK.Process(target=impatient, args=(words(config, folder / "runs"), folder / "log"))
    process.start()
    process.join(120)
    return process.exitcode, (folder / "log").read_text(), run


AS_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
TROUBLES = ["full", "gone", pytest.param("read-only", marks=AS_ROOT)]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_run_goes_on_without_room_tries_again_and_loses_nothing(trouble, tmp_path):
    """Checkpoints are due at 2, 4 and 6; from 3 to 4 the disk refuses, at 5 it is tried again."""
    status, said, run = run_in_trouble(tmp_path, trouble, until=4)
    assert status == 0, said
    assert said.count("step 4: no checkpoint could be written") == 1
    assert "step 5: no checkpoint" not in said and "step 7 of 7: finished" in said
    steps = [int(path.stem.removeprefix("step_")) for path in sorted((run / CHECKPOINTS).glob("*.pt"))]
    assert steps == [5, 6, 7]  # the newest three
    assert [line.split(",")[0] for line in (run / "metrics.jsonl").read_text().splitlines()] == [
        f'{{"step": {step}' for step in (2, 4, 4, 6, 7, 7)
    ]
    assert not list(run.rglob(".tmp-*"))


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_run_that_can_never_save_ends_in_one_line_and_the_last_good_checkpoint_goes_on(trouble, tmp_path):
    status, said, run = run_in_trouble(tmp_path, trouble, until=99)
    if trouble == "gone":  # the process ended in trouble: nobody put the folder back
        (run / CHECKPOINTS).unlink()
        (run / "away").rename(run / CHECKPOINTS)
    assert status == 2, said
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "step 7 could not be saved" in line and "goes on from step 2" in line
    assert [path.name for path in (run / CHECKPOINTS).glob("*.pt")] == ["step_00000002.pt"]
    assert "continuing at step 2" in run_in_trouble(tmp_path, trouble, until=99)[1]


def test_lines_that_the_disk_refuses_are_kept_and_written_in_order(tmp_path):
    file = LineFile(tmp_path / "log")
    file.add("first")
    file.write()
    with full(limit=10):
        for line in ("second", "third"):
            file.add(line)
            with pytest.raises(OSError, match="File too large|No space"):
                file.write()
        assert (tmp_path / "log").read_text() == "first\n"  # nothing half
    file.write()
    assert (tmp_path / "log").read_text() == "first\nsecond\nthird\n"


def test_a_device_without_room_refuses_and_the_line_is_kept(tmp_path):
    file = LineFile(Path("/dev/full"))
    file.add("a line")
    with pytest.raises(OSError, match="No space left"):
        file.write()
    assert file.waiting == b"a line\n"


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    """Change one bit in the middle: PyTorch itself reads such a file without a word."""
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    return bytes(changed)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Return a folder with the config and the finished run of a tiny experiment, to be copied."""
    folder = tmp_path_factory.mktemp("finished")
    train.main(words(write_config(folder, "gan"), folder / "runs"))
    return folder


DAMAGE = {"cut short": cut, "one bit": flip, "empty": lambda data: b""}


def damaged_copy(finished: Path, folder: Path, kind: str, *steps: int) -> Path:
    shutil.copytree(finished / "runs", folder / "runs")
    for step in steps:
        path = folder / "runs" / "gan" / CHECKPOINTS / f"step_{step:08d}.pt"
        path.write_bytes(DAMAGE[kind](path.read_bytes()))
    return folder / "runs"


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_is_named_and_set_aside_and_the_one_before_ends_in_the_same_bits(
    kind, finished, tmp_path, capsys
):
    runs = damaged_copy(finished, tmp_path, kind, 7)
    train.main(words(finished / "gan.yaml", runs))
    said = capsys.readouterr().out
    assert "step_00000007.pt is damaged" in said and "set aside as step_00000007.pt.damaged" in said
    assert "continuing at step 6" in said
    assert_same(final_state(finished / "runs", "gan"), final_state(runs, "gan"))
    logs = [(place / "gan" / "metrics.jsonl").read_text() for place in (finished / "runs", runs)]
    assert logs[0] == logs[1]


def test_when_no_checkpoint_is_whole_nothing_is_begun_again_by_itself(finished, tmp_path, capsys):
    runs = damaged_copy(finished, tmp_path, "one bit", 3, 6, 7)
    before = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    line = one_error_line(capsys, train.main, words(finished / "gan.yaml", runs))
    assert "is whole any more: delete that folder to start again at step 0" in line
    assert {path: path.read_bytes() for path in before} == before


def test_a_checkpoint_of_the_first_layout_goes_on(finished, tmp_path, capsys):
    """It had no checksum, and a window of two tables by name."""
    runs = damaged_copy(finished, tmp_path, "cut short", 7)
    path = runs / "gan" / CHECKPOINTS / "step_00000006.pt"
    state = torch.load(path, weights_only=True)
    names = [name for tally in state["window"] for name in tally["names"]]
    old = {"sums": {name: torch.tensor(0.0) for name in names}, "counts": dict.fromkeys(names, 0)}
    del state["checksum"]
    torch.save({**state, "format": 1, "window": old}, path)
    train.main(words(finished / "gan.yaml", runs))
    assert "continuing at step 6" in capsys.readouterr().out
    assert_same(final_state(finished / "runs", "gan"), final_state(runs, "gan"))
