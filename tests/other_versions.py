"""The fast tests under other versions of PyTorch and Python: ``python3 -m tests.other_versions``; part of ``make check``.

The oldest and the newest PyTorch that the project promises, each in an environment of its own that is deleted
afterwards, under every Python that is here. What cannot be installed is said, not passed over.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
TORCH = [("2.7.1", "0.22.1"), ("2.11.0", "0.26.0")]  # with the torchvision that fits
PYTHONS = ["python3.11", "python3.12", "python3.13"]
TESTS = ["tests/training", "tests/models", "tests/sampling", "tests/test_config_errors.py", "tests/test_readme.py"]


def main() -> None:
    pythons = [name for name in PYTHONS if shutil.which(name)] or [sys.executable]
    print(f"Python here: {', '.join(pythons)}; not here: {', '.join(sorted(set(PYTHONS) - set(pythons))) or 'none'}")
    results = {(python, torch): check(python, torch, vision) for python in pythons for torch, vision in TORCH}
    for (python, torch), result in results.items():
        print(f"{python}, torch {torch}: {result}")
    sys.exit(any(result != "passed" for result in results.values()))


def check(python: str, torch: str, vision: str) -> str:
    """Install into a fresh environment and run the tests; say how it went."""
    with tempfile.TemporaryDirectory() as folder:
        own = str(Path(folder) / "bin" / "python")
        wanted = [*requirements(), f"torch=={torch}", f"torchvision=={vision}"]
        install = [own, "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted]
        for command in ([python, "-m", "venv", folder], install):
            if subprocess.run(command, cwd=ROOT).returncode:
                return f"could not be installed ({' '.join(command[1:4])} ...)"
        tests = [own, "-m", "pytest", "-n", "2", "-m", "not slow", *TESTS]
        done = subprocess.run(tests, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
        return "passed" if done.returncode == 0 else "FAILED"


def requirements() -> list[str]:
    """Return what the project and its tests need besides PyTorch, one word each."""
    files = [ROOT / "requirements-base.txt", ROOT / "requirements-dev.txt"]
    lines = [line.partition("#")[0].strip() for file in files for line in file.read_text().splitlines()]
    return [line for line in lines if line and not line.startswith("-r")]


if __name__ == "__main__":
    main()
