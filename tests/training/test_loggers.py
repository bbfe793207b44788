"""Who is told what: always the run folder, and by a switch TensorBoard and W&B, which needs no account."""

import json
import math
import os

import pytest
import torch
from torchvision.io import read_image

from tests.helpers import trainer_of
from training.loggers import Loggers, open_loggers
from training.loggers.base import Logger
from training.loggers.folder import Folder
from training.loggers.weights_and_biases import wandb_key_found
from training.run_folder import RunFolder
from utils.distributed import say

IMAGE = torch.arange(3 * 8 * 8, dtype=torch.uint8).view(3, 8, 8)


@pytest.fixture
def nobody_logged_in(monkeypatch, tmp_path):
    """No key, no login and no W&B setting in the environment."""
    for name in ("WANDB_KEY", "WANDB_API_KEY", "WANDB_MODE", "WANDB_SILENT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nobody listens there


def run_of(tmp_path, *overrides: str) -> RunFolder:
    run = RunFolder(trainer_of(tmp_path, "gan", *overrides).config)
    run.open(step=0)
    return run


def lines(run: RunFolder, name: str) -> list[dict]:
    return [json.loads(line) for line in (run.path / name).read_text().splitlines()]


def test_values_and_times_are_lines_of_their_own_files(tmp_path):
    """Times differ between identical runs, so they must not stand in metrics.jsonl."""
    run = run_of(tmp_path)
    folder = Folder(run)
    folder.scalars(2, {"loss": 0.5, "r1": math.pi}, {"images_per_second": 10.0})
    folder.scalars(4, {"loss": 0.25}, {})
    assert lines(run, "metrics.jsonl") == [{"step": 2, "loss": 0.5, "r1": math.pi}, {"step": 4, "loss": 0.25}]
    assert lines(run, "timing.jsonl") == [{"step": 2, "images_per_second": 10.0}]


def test_nothing_to_say_is_no_line(tmp_path):
    run = run_of(tmp_path)
    Folder(run).scalars(2, {}, {})
    assert not (run.path / "metrics.jsonl").exists()
    assert not (run.path / "timing.jsonl").exists()


def test_images_are_png_without_loss(tmp_path):
    run = run_of(tmp_path)
    Folder(run).image(12, "samples", IMAGE)
    assert torch.equal(read_image(str(run.images / "samples_00000012.png")), IMAGE)


def test_all_loggers_are_told_everything():
    class Witness(Logger):
        def __init__(self):
            self.heard = []

        def scalars(self, step, values, timing):
            self.heard.append(("scalars", step, values, timing))

        def checkpoint(self, step, path):
            self.heard.append(("checkpoint", step, path))

        def close(self):
            self.heard.append("close")

    witnesses = [Witness(), Logger(), Witness()]
    told = Loggers(witnesses)
    told.scalars(1, {"a": 1.0})
    told.image(1, "x", IMAGE)
    told.checkpoint(2, "file")
    told.close()
    expected = [("scalars", 1, {"a": 1.0}, {}), ("checkpoint", 2, "file"), "close"]
    assert witnesses[0].heard == witnesses[2].heard == expected


def test_a_file_gets_lines_and_the_time_left(tmp_path, capsys, monkeypatch):
    """4 of 10 steps were done before; 2 steps take 3 seconds, so the last 4 will take 6."""
    clock = iter([100.0, 103.0, 103.0])
    monkeypatch.setattr("training.loggers.console.time.monotonic", lambda: next(clock))
    loggers = open_loggers(run_of(tmp_path, "train.steps=10"), step=4)
    loggers.scalars(6, {"loss": 0.5}, {"images_per_second": 20.0, "seconds": 3.0})
    loggers.scalars(6, {"val_quick20_fid": 123.456})
    loggers.close()
    lines = ["step 6: loss 0.5, images_per_second 20, left 0:00:06", "step 6: val_quick20_fid 123.46"]
    assert capsys.readouterr().out.splitlines() == lines


def test_what_a_run_says_stands_above_the_bar(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    loggers = open_loggers(run_of(tmp_path, "train.steps=10"), step=4)
    say("validation has taken long")
    loggers.close()
    line = next(line for line in capsys.readouterr().out.splitlines() if "validation" in line)
    assert line.rpartition("\r")[2] == "validation has taken long"


def test_a_terminal_shows_losses_on_the_bar_and_judgements_on_a_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    loggers = open_loggers(run_of(tmp_path, "train.steps=10"), step=4)
    loggers.scalars(6, {"loss": 0.5}, {"images_per_second": 20.0})
    loggers.scalars(8, {"val_quick20_fid": 123.456})
    loggers.close()
    out = capsys.readouterr().out
    assert "4/10" in out  # where it goes on
    last = out.splitlines()[-1].rpartition("\r")[2]
    assert "8/10" in last
    assert "loss=0.5, images_per_second=20" in last
    assert "step 8: val_quick20_fid 123.46\n" in out


def test_tensorboard_has_the_values(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = run_of(tmp_path, "exp.use_tensorboard=true")
    loggers = open_loggers(run, step=0)
    loggers.scalars(2, {"loss": 0.5}, {"seconds": 3.0})
    loggers.image(2, "samples", IMAGE)
    loggers.close()
    events = accumulator.EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(2, 0.5)]
    assert [(event.step, event.value) for event in events.Scalars("seconds")] == [(2, 3.0)]
    assert [image.step for image in events.Images("samples")] == [2]


def log_a_little(run: RunFolder) -> None:
    loggers = open_loggers(run, step=0)
    loggers.scalars(1, {"loss": 0.5})
    loggers.image(1, "samples", IMAGE)
    loggers.close()


def test_wandb_without_a_key_is_offline_asks_nothing_and_says_how_to_upload(tmp_path, capsys, nobody_logged_in):
    pytest.importorskip("wandb")
    run = run_of(tmp_path, "exp.use_wandb=true")
    log_a_little(run)
    out = capsys.readouterr().out
    assert out.count("W&B: no key in WANDB_KEY or WANDB_API_KEY and no login, so this run is logged offline\n") == 1
    (folder,) = (run.path / "wandb").glob("offline-run-*")
    assert folder.is_dir() and f"W&B ran offline; to upload: wandb sync {run.path}/wandb/offline-run-*\n" in out
    assert list(folder.glob("*.wandb"))
    assert list(folder.rglob("samples*.png"))


def test_a_run_that_goes_on_keeps_its_wandb_id(tmp_path, nobody_logged_in):
    pytest.importorskip("wandb")
    run = run_of(tmp_path, "exp.use_wandb=true", "exp.wandb_mode=offline")
    log_a_little(run)
    first = (run.path / "wandb_run_id").read_text()
    log_a_little(run)
    assert (run.path / "wandb_run_id").read_text() == first
    assert list((run.path / "wandb").glob(f"offline-run-*-{first}"))


def test_a_key_that_wandb_refuses_means_offline_too(tmp_path, capsys, monkeypatch, nobody_logged_in):
    """One that is too short is refused without asking anybody."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_API_KEY", "short")
    run = run_of(tmp_path, "exp.use_wandb=true")
    log_a_little(run)
    out = capsys.readouterr().out
    assert "this run is logged offline" in out
    assert "to upload: wandb sync" in out


@pytest.mark.parametrize("name", ["WANDB_KEY", "WANDB_API_KEY"])
def test_a_key_in_the_environment_is_found(name, monkeypatch, nobody_logged_in):
    """WANDB_KEY is the template's word for it; W&B itself reads WANDB_API_KEY."""
    monkeypatch.setenv("WANDB_API_KEY", "")  # so that it is restored afterwards
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv(name, "k" * 40)
    assert wandb_key_found()
    assert os.environ["WANDB_API_KEY"] == "k" * 40


def test_a_login_is_found(tmp_path, nobody_logged_in):
    assert not wandb_key_found()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password " + "k" * 40)
    (tmp_path / "netrc").chmod(0o600)
    assert wandb_key_found()


def test_only_what_is_asked_for_is_opened(tmp_path, nobody_logged_in):
    run = run_of(tmp_path)
    log_a_little(run)
    assert sorted(path.name for path in run.path.iterdir() if path.is_dir()) == ["checkpoints", "images"]
