"""Whatever is done to a config, it ends in a checked config or in one line: never in a traceback, never in a run."""

import copy
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from training.launch import load_trainer
from utils.errors import UserError

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
ODD = [
    None, "", "x", "привет", "../..", "a b", "${exp.seed}", "${nope}", "${a:b}", "1e400", "[", "{", "off", "null", True,
    0, -1, 1, 2**63, 10**30, 0.5, -0.5, 1e-300, 1e308, float("nan"), float("inf"), [], {}, [1], ["x"], [[1]],
    {"x": 1}, {1: 2}, "exp", "2024-01-01", "\x00", "a" * 5000,
]  # fmt: skip


def places(tree: dict, path: tuple = ()) -> list[tuple]:
    """List the path of every key, sections and leaves."""
    found = []
    for key, value in tree.items():
        found.append((*path, key))
        if isinstance(value, dict):
            found += places(value, (*path, key))
    return found


def mutate(tree: dict, rng: random.Random) -> str:
    """Change one thing somewhere; return what was done, for the message of a failure."""
    path = rng.choice(places(tree))
    place: Any = tree
    for part in path[:-1]:
        place = place[part]
    key, kind = path[-1], rng.choice(["drop", "rename", "retype", "nest", "copy", "loop"])
    value = place.pop(key)
    if kind == "rename":
        place[rng.choice([f"{key}x", str(key)[:-1] or "k", str(key).upper(), "ключ", "exp", ""])] = value
    elif kind == "retype":
        value = rng.choice(ODD)
        place[key] = value
    elif kind == "nest":
        place[key] = {key: value}
    elif kind == "copy":
        place[key] = value
        tree[rng.choice(["exp", "train", "model_args", "losses_args", "base", "new"])] = copy.deepcopy(value)
    elif kind == "loop":
        place[key] = "${" + ".".join(map(str, path)) + "}"
    return f"{kind} {'.'.join(map(str, path))} ({value!r:.60})"


def outcome(file: Path) -> str | None:
    """Check the config as a command would; return the message of its one-line error, if it has one."""
    try:
        load_trainer([f"exp.config_path={file}", "exp.exp_dir=nowhere/at/all"]).check_config()
    except UserError as error:
        return str(error)
    return None


def fuzz(file: Path, folder: Path, cases: int, seed: int, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    rng = random.Random(f"{file.name} {seed}")
    tree = yaml.safe_load(file.read_text())
    if "base" in tree:
        tree["base"] = str((file.parent / tree["base"]).resolve())
    for number in range(cases):
        mutated = copy.deepcopy(tree)
        done = [mutate(mutated, rng) for _ in range(rng.choice([1, 1, 2, 3])) if places(mutated)]
        victim = folder / "victim.yaml"
        victim.write_text(yaml.safe_dump(mutated, allow_unicode=True), encoding="utf-8")
        try:
            said = outcome(victim)
        except BaseException as error:
            raise AssertionError(f"case {number} of {file.name}: {'; '.join(done)}: {error!r}") from error
        assert said is None or said.strip(), done
    assert {path.name for path in folder.iterdir()} <= {"victim.yaml"}  # nothing was started


@pytest.mark.parametrize("file", CONFIGS, ids=lambda path: path.stem)
def test_a_mutated_config_is_checked_or_refused(file, tmp_path, monkeypatch):
    fuzz(file, tmp_path, cases=12, seed=0, monkeypatch=monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("file", CONFIGS, ids=lambda path: path.stem)
def test_thousands_of_mutated_configs_are_checked_or_refused(file, seed, tmp_path, monkeypatch):
    fuzz(file, tmp_path, cases=100, seed=seed, monkeypatch=monkeypatch)
