"""``torch.compile`` as a switch that falls back to eager where there is no compiler."""

import importlib.util
import os
import shutil
import sysconfig
from pathlib import Path

import torch
from torch import nn


def missing_compiler(device: torch.device) -> str | None:
    """Say what is missing for compiling on this device, or None."""
    if not any(shutil.which(name) for name in (os.environ.get("CXX", "c++"), "g++", "clang++", "cl")):
        return "a C++ compiler"
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        return "Python.h (the package python3-dev)"
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "Triton"
    return None


def compile_in_place(modules: dict[str, nn.Module], mode: str, device: torch.device) -> list[str]:
    """Compile modules without renaming their weights. ``mode`` is ``train.compile``; auto: on a GPU only.

    Returns lines to print.
    """
    if mode == "off" or (mode == "auto" and device.type != "cuda"):
        return []
    missing = missing_compiler(device)
    if missing:
        return [f"train.compile: {missing} is not here, so networks run without compiling"]
    for module in modules.values():
        module.compile()
    return [f"compiling: {', '.join(modules)} (the first step takes longer)"]
