"""What a number was made with, beside its config: commit, versions, hardware."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ["torch", "torchvision", "numpy", "pillow", "omegaconf", "pydantic", "pytorch-fid", "wandb"]


def environment() -> dict[str, Any]:
    """Say what a number is made with: commit, versions, hardware."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "commit": git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(git("status", "--porcelain", "--untracked-files=no")),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "gpu": gpu,
        "cuda": torch.version.cuda,
        "packages": {name: installed(name) for name in PACKAGES},
    }


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def git(*arguments: str) -> str | None:
    """Ask git about this source tree; None where there is no git or no repository."""
    here = Path(__file__).parent
    try:
        return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
