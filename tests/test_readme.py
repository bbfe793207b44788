"""The README's commands run, and what it names exists."""

import json
import re
import shlex
from pathlib import Path

import pytest

import inference
import train

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
# What makes a command small enough for a test; nothing else of it changes.
SMALL = {
    "train.py": ["train.steps=2", "data.train_batch_size=8", "dataset_args.num_images=20", "exp.device=cpu"],
    "inference.py": ["dataset_args.num_images=20", "inference.num_images=10", "exp.device=cpu"],
}


def commands() -> list[list[str]]:
    """Return the words of every line of the README's shell blocks, comments left out."""
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    return [words for block in blocks for line in block.splitlines() if (words := shlex.split(line, comments=True))]


def arguments_of(script: str) -> list[list[str]]:
    return [words[words.index(script) + 1 :] for words in commands() if script in words]


def test_the_quickstart_commands_train_and_sample(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    for script, main in (("train.py", train.main), ("inference.py", inference.main)):
        quick = next(words for words in arguments_of(script) if "quickstart" in words[0])
        main([*quick, f"exp.exp_dir={tmp_path}", *SMALL[script]])
    assert (tmp_path / "quickstart" / "inference" / "step_00000002" / "grid.png").exists()
    assert str(tmp_path / "quickstart") in capsys.readouterr().out  # it says where


def test_every_config_that_a_command_names_exists():
    named = re.findall(r"configs/[\w/]+\.yaml", README + (ROOT / "Makefile").read_text())
    named += re.findall(r"configs/[\w/]+\.yaml", (ROOT / "docs" / "colab.ipynb").read_text())
    assert named and all((ROOT / name).exists() for name in named)


def test_every_config_is_in_the_table_and_every_row_is_a_config():
    rows = set(re.findall(r"^\| `([\w/]+)` \| [^|]+ \| [^|]+ \|$", README, re.MULTILINE))
    files = {str(path.relative_to(ROOT / "configs").with_suffix("")) for path in (ROOT / "configs").rglob("*.yaml")}
    assert rows == {name for name in files if not name.startswith(("base/", "inference/", "experiments/"))}


def test_environment_variables_in_configs_are_explained():
    used = {
        name for path in (ROOT / "configs").rglob("*.yaml") for name in re.findall(r"oc\.env:(\w+)", path.read_text())
    }
    assert used and all(f"`{name}`" in README for name in used)


@pytest.mark.parametrize("target", ["quickstart", "test"])
def test_make_targets_that_the_readme_names_exist(target):
    assert ["make", target] in [words[:2] for words in commands()]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_ci_runs_the_test_command_of_the_readme():
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "make test"


def test_the_notebook_is_valid_and_short():
    notebook = json.loads((ROOT / "docs" / "colab.ipynb").read_text())
    assert notebook["nbformat"] == 4 and len(notebook["cells"]) <= 8
    source = "".join("".join(cell["source"]) for cell in notebook["cells"])
    for part in ("requirements-base.txt", "datasets.prepare", "train.py", "inference.py", "drive.mount"):
        assert part in source
