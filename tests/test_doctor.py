"""What will not work here, and the fix: also on a machine where PyTorch itself does not."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
import torchvision

from doctor import Finding, fit_together, gpu, no_gpu
from tests.helpers import write_image_folder

ROOT = Path(__file__).parents[1]


def ask(*words: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "doctor.py"), *words]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)


def test_a_machine_on_which_everything_works_is_told_so_with_versions_and_counts(tmp_path):
    for split in ("train", "test"):
        write_image_folder(tmp_path / split, {"pie": 3, "soup": 2})
    told = ask(f"data={tmp_path}", f"runs={tmp_path / 'runs'}")
    assert told.returncode == ("WRONG" in told.stdout), told.stdout + told.stderr
    count = f"{tmp_path / 'test'}: 5 files in 2 classes"
    for part in (f"torch {version('torch')}", "GiB free for runs", count, "W&B key"):
        assert part in told.stdout
    assert not (tmp_path / "runs").exists()


def test_a_broken_pytorch_is_one_line_and_the_rest_is_looked_at(tmp_path):
    (tmp_path / "torch.py").write_text("raise OSError('libcudart.so: cannot open shared object file')")
    told = ask(f"data={tmp_path}", PYTHONPATH=str(tmp_path))
    assert told.returncode == 1
    assert (
        "WRONG PyTorch cannot be imported (OSError: libcudart.so: cannot open shared object file): python3"
        in told.stdout
    )
    assert "no pictures in" in told.stdout and "datasets.prepare" in told.stdout
    assert told.stderr == ""


def test_another_word_is_answered_with_help():
    told = ask("dta=x")
    assert told.returncode == 2 and "python3 doctor.py [data=DIR]" in told.stdout


def test_torch_and_torchvision_of_one_release_fit():
    assert fit_together(torch.__version__, torchvision.__version__)
    assert fit_together("2.7.1", "0.22.1")  # the oldest pair that the project promises
    assert not fit_together("2.10.0+cu128", "0.24.1")


@pytest.mark.parametrize(
    ("built_for", "driver", "said"),
    [
        (None, None, "no NVIDIA driver"),
        ("12.8", None, "no NVIDIA driver"),
        (None, "12.8", "install the CUDA build"),
        ("12.8", "12.4", "update the driver, or take the PyTorch for CUDA 12.4"),
        ("12.8", "13.0", "CUDA_VISIBLE_DEVICES"),
    ],
)
def test_why_there_is_no_gpu(built_for, driver, said):
    assert said in str(no_gpu(built_for, driver))


ARCHS = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]


@pytest.mark.parametrize(
    ("capability", "said"),
    [
        ((7, 5), ""),
        ((8, 9), ""),  # runs the code of 8.6
        ((9, 0), ""),
        ((12, 0), ""),
        ((6, 1), "CUDA 12.6, the last with code for older cards"),
        ((7, 0), "CUDA 12.6, the last with code for older cards"),
        ((13, 0), "take a newer PyTorch"),
    ],
)
def test_a_card_without_code_in_this_pytorch_is_told_which_to_take(capability, said):
    finding = gpu("GPU 0", capability, ARCHS, "12.8")
    assert finding == Finding("GPU 0") if not said else said in finding.fix
