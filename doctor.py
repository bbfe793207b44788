"""What will not work on this machine, and the fix; what a bug report needs.

    python3 doctor.py [data=DIR] [runs=DIR]

data    where the pictures are, in train/ and test/ (data/food101_64)
runs    where runs are written (runs)

Needs nothing but Python itself: also for machines on which PyTorch cannot be imported. Exit status 1 if something is
wrong.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).parent
OLDEST, NEWEST = (3, 11, 4), (3, 13)
ROOM = 5 * 2**30  # bytes: a few runs with their checkpoints
INSTALL = "python3 -m pip install -r requirements.txt"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; ``fix``: what to do, where it is wrong; ``hint``: where it only costs something."""

    what: str
    fix: str = ""
    hint: str = ""

    def __str__(self) -> str:
        mark = "WRONG" if self.fix else "note " if self.hint else "ok   "
        return f"{mark} {self.what}" + (f": {self.fix or self.hint}" if self.fix or self.hint else "")


def numbers(text: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with: 2.10.0+cu128 is (2, 10, 0)."""
    return tuple(int(part) for part in re.match(r"[\d.]*", text).group().split(".") if part)


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def check_python() -> Iterator[Finding]:
    right = sys.version_info[:3] >= OLDEST and sys.version_info[:2] <= NEWEST
    yield Finding(f"Python {platform.python_version()}, {platform.platform()}", "" if right else "take 3.11.4 to 3.13")
    commit = output("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD")
    yield Finding(f"commit {commit.strip() or 'unknown'}")


def check_packages() -> Iterator[Finding]:
    lines = (ROOT / "requirements-base.txt").read_text().splitlines()
    names = [re.match(r"[\w.-]+", line).group() for line in lines if line and not line.startswith(("#", "-"))]
    found = {name: installed(name) for name in [*names, "torch", "torchvision"]}
    missing = [name for name, number in found.items() if number is None]
    yield Finding(", ".join(f"{name} {number}" for name, number in found.items() if number))
    if missing:
        yield Finding(f"not installed: {', '.join(missing)}", INSTALL)
    if found["torch"] and found["torchvision"] and not fit_together(found["torch"], found["torchvision"]):
        pair = f"torch {found['torch']} and torchvision {found['torchvision']} are of different releases"
        yield Finding(pair, f"install both at once: {INSTALL}")


def fit_together(torch: str, torchvision: str) -> bool:
    """Tell whether two versions are of one release: torchvision 0.(n + 15) is made for torch 2.n."""
    (major, minor, *_), (tv_major, tv_minor, *_) = numbers(torch), numbers(torchvision)
    return (major, tv_major) != (2, 0) or tv_minor == minor + 15


def check_torch() -> Iterator[Finding]:
    try:
        import torch
        import torchvision  # noqa: F401 - it fails to load beside a PyTorch of another release
    except Exception as error:  # a broken installation raises whatever it likes
        first = (str(error).splitlines() or [""])[0]
        yield Finding(f"PyTorch cannot be imported ({type(error).__name__}: {first})", INSTALL)
        return
    driver = re.search(r"CUDA Version: ([\d.]+)", output("nvidia-smi"))
    if not torch.cuda.is_available():
        yield no_gpu(torch.version.cuda, driver and driver.group(1))
        return
    for index in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(index).total_memory / 2**30
        capability, name = torch.cuda.get_device_capability(index), torch.cuda.get_device_name(index)
        yield gpu(f"GPU {index}: {name}, {memory:.0f} GiB", capability, torch.cuda.get_arch_list(), torch.version.cuda)
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    yield Finding(f"bf16 in hardware: {'yes' if bf16 else 'no'}", hint="" if bf16 else "train.amp=auto takes fp16")


def no_gpu(built_for: str | None, driver: str | None) -> Finding:
    """Say why PyTorch sees no GPU: ``built_for`` is its CUDA version, ``driver`` the newest that the driver runs."""
    if driver is None:
        return Finding("no NVIDIA driver, so no GPU", hint="everything runs on the CPU; small configs end in _cpu")
    if built_for is None:
        return Finding("a GPU, but a PyTorch for the CPU", f"install the CUDA build: {INSTALL}")
    if numbers(driver) < numbers(built_for):
        fix = f"update the driver, or take the PyTorch for CUDA {driver} (pytorch.org/get-started has the command)"
        return Finding(f"the GPU's driver runs CUDA up to {driver}, this PyTorch is built for {built_for}", fix)
    return Finding(f"PyTorch for CUDA {built_for} sees no GPU", "look at CUDA_VISIBLE_DEVICES and the container's GPUs")


def gpu(what: str, capability: tuple[int, int], archs: list[str], built_for: str) -> Finding:
    """Say whether a GPU is among those that this PyTorch has code for: its major version, up to its minor one."""
    known = [divmod(int(digits), 10) for arch in archs if (digits := re.sub(r"\D", "", arch))]
    if any(major == capability[0] and minor <= capability[1] for major, minor in known):
        return Finding(what)
    if capability < min(known, default=(0, 0)):
        fix = "take the same PyTorch built for CUDA 12.6, the last with code for older cards (pytorch.org/get-started)"
        return Finding(f"{what} is older than what PyTorch for CUDA {built_for} has code for", fix)
    return Finding(f"{what} is newer than PyTorch for CUDA {built_for}", "take a newer PyTorch")


def check_compiler() -> Iterator[Finding]:
    found = any(shutil.which(name) for name in (os.environ.get("CXX", "c++"), "g++", "clang++"))
    hint = "" if found else "train.compile has no effect without one; networks run as they are"
    yield Finding(f"C++ compiler: {'yes' if found else 'no'}", hint=hint)


def check_room(runs: Path) -> Iterator[Finding]:
    place = next(folder for folder in (runs.absolute(), *runs.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    yield Finding(f"{free / 2**30:.1f} GiB free for runs", "" if free > ROOM else "make room, or set exp.exp_dir")
    if not os.access(place, os.W_OK):
        yield Finding(f"{place} cannot be written", "set exp.exp_dir to a folder of yours")


def check_data(data: Path) -> Iterator[Finding]:
    for split in ("train", "test"):
        folder = data / split
        if not folder.is_dir():
            hint = "python3 -m datasets.prepare source=gdrive makes it; the quickstart needs none"
            yield Finding(f"no pictures in {folder}", hint=hint)
            continue
        counts = [sum(1 for _ in os.scandir(entry)) for entry in os.scandir(folder) if entry.is_dir()]
        yield Finding(f"{folder}: {sum(counts)} files in {len(counts)} classes")


def check_services() -> Iterator[Finding]:
    home = Path(
        os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "torch"
    )
    named = os.environ.get("FID_WEIGHTS")
    weights = [Path(named)] if named else sorted((home / "hub" / "checkpoints").glob("pt_inception-*.pth"))
    there = bool(weights) and weights[0].is_file()
    hint = "" if there else "fetched when FID is first asked for; without a network name a file by metrics_args.fid"
    yield Finding(f"FID weights: {weights[0] if there else 'not here'}", hint=hint)
    netrc = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    known = any(os.environ.get(name) for name in ("WANDB_KEY", "WANDB_API_KEY"))
    known = known or (netrc.is_file() and "wandb" in netrc.read_text(errors="replace"))
    hint = "" if known else "exp.use_wandb=True logs offline; `wandb login` changes that"
    yield Finding(f"W&B key: {'yes' if known else 'no'}", hint=hint)


def output(*words: str) -> str:
    """Return what a program prints; nothing where it is not here or fails."""
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def main(arguments: list[str]) -> None:
    settings = dict(word.partition("=")[::2] for word in arguments)
    if settings.keys() - {"data", "runs"}:
        print(__doc__)
        sys.exit(0 if {"-h", "--help"} & set(arguments) else 2)
    data, runs = (Path(settings.get(key, default)) for key, default in (("data", "data/food101_64"), ("runs", "runs")))
    checks: list[Callable[[], Iterator[Finding]]] = [
        check_python, check_packages, check_torch, check_compiler, lambda: check_room(runs), lambda: check_data(data),
        check_services,
    ]  # fmt: skip
    findings = [finding for check in checks for finding in check()]
    print("\n".join(map(str, findings)))
    sys.exit(any(finding.fix for finding in findings))


if __name__ == "__main__":
    main(sys.argv[1:])
