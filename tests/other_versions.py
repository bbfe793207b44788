"""The fast tests under other versions: ``python3 -m tests.other_versions``, part of ``make check``.

From the oldest PyTorch that the project promises to the newest there is, and from the oldest Python to the newest, in
environments that are deleted afterwards. What is not here or cannot be installed is said, and counts as not passed.
Under pyenv: PYENV_VERSION=3.11.7:3.12.1:3.13.0 make check.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAIRS = [
    ("python3.11", ["torch==2.7.1", "torchvision==0.22.1"]),
    ("python3.12", ["torch==2.11.0", "torchvision==0.26.0"]),
    ("python3.13", ["torch", "torchvision"]),  # the newest that fit together
]
TESTS = ["tests/training", "tests/models", "tests/sampling", "tests/test_config_errors.py", "tests/test_readme.py"]


def main() -> None:
    results = {f"{python}, {' '.join(torch)}": check(python, torch) for python, torch in PAIRS}
    for pair, result in results.items():
        print(f"{pair}: {result}")
    sys.exit(any(result != "passed" for result in results.values()))


def check(python: str, torch: list[str]) -> str:
    """Install into a fresh environment and run the tests; say how it went."""
    if not runs([python, "--version"]):
        return "not checked: this Python is not here"
    with tempfile.TemporaryDirectory() as folder:
        own = str(Path(folder) / "bin" / "python")
        install = [own, "-m", "pip", "install", "-q", "--disable-pip-version-check", *requirements(), *torch]
        if not (runs([python, "-m", "venv", folder]) and runs(install)):
            return "not checked: it could not be installed"
        return "passed" if runs([own, "-m", "pytest", "-n", "2", "-m", "not slow", *TESTS]) else "FAILED"


def runs(command: list[str]) -> bool:
    """Run a command from the project's root; tell whether it went well."""
    try:
        return subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode == 0
    except FileNotFoundError:
        return False


def requirements() -> list[str]:
    """Return what the project and its tests need besides PyTorch, one word each."""
    files = [ROOT / f"requirements-{name}.txt" for name in ("base", "report", "dev")]
    lines = [line.partition("#")[0].strip() for file in files for line in file.read_text().splitlines()]
    return [line for line in lines if line and not line.startswith("-r")]


if __name__ == "__main__":
    main()
