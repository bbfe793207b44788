"""Files and folders that a command cannot use end with one line and exit status 2, like a wrong config."""

from pathlib import Path

import pytest

import inference
import train
from tests.helpers import error_of, one_error_line, write_image_folder
from tests.runs import FAMILIES, words, write_config
from training.checkpoints import save_checkpoint

ROOT = Path(__file__).parents[1]
CONFIG_FILES = {
    "not YAML": ("train: [1, 2\nexp: 3", ("cannot be read as YAML",)),
    "duplicate key": (
        "train: {steps: 1}\ntrain: {steps: 2}",
        ("found duplicate key train (line 2)",),
    ),
    "a list": ("- train\n- exp", ("must hold sections",)),
    "a word": ("hello", ("hello is not a config key",)),
    "a number as key": ("train: {steps: 1, 3: 4}", ("the key 3 is not a word",)),
    "binary": (bytes(range(256)), ("cannot be read as YAML",)),
    "empty": ("", ("train is missing: set it in the config",)),
    "its own base": ("base: bad.yaml", ("is its own base", "bad.yaml -> bad.yaml")),
    "a missing base": ("base: other.yaml", ("no config file", "other.yaml")),
    "a base that is no name": ("base: {a: 1}", ("base must be a file name or a list of them",)),
    "code": ("train: !!python/object/apply:os.getcwd []", ("cannot be read as YAML",)),
}


@pytest.mark.parametrize("kind", CONFIG_FILES)
def test_a_file_that_is_no_config(capsys, tmp_path, kind):
    content, said = CONFIG_FILES[kind]
    path = tmp_path / "bad.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    line = one_error_line(capsys, train.main, words(path, tmp_path / "runs"))
    assert [part for part in said if part not in line] == [], line
    assert not (tmp_path / "runs").exists()


def test_no_file_or_a_folder_in_its_place(capsys, tmp_path):
    assert "exp.config_path=FILE is missing" in one_error_line(capsys, train.main, [])
    assert "exp.config_path=FILE is missing" in one_error_line(capsys, train.main, ["exp.config_path=3"])
    assert "no config file" in one_error_line(capsys, train.main, [f"exp.config_path={tmp_path}/none.yaml"])
    assert "is a folder: name a YAML file in it" in one_error_line(capsys, train.main, [f"exp.config_path={tmp_path}"])
    line = one_error_line(capsys, train.main, [f"exp.config_path={ROOT}/configs/quickstrat.yaml"])
    assert "/configs/quickstrat.yaml. Did you mean 'quickstart.yaml'?" in line


def test_training_and_test_folder_of_different_classes(capsys, tmp_path):
    for split, classes in (("train", {"pie": 2, "soup": 2}), ("test", {"pie": 2, "stew": 2})):
        write_image_folder(tmp_path / split, classes)
    folders = [f"data.input_train_dir={tmp_path}/train", f"data.input_val_dir={tmp_path}/test"]
    line = error_of(capsys, tmp_path, "gan", "data.dataset=base_dataset", *folders)
    assert "different classes, 'soup' is in one of them only" in line


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("checkpoint", "said"),
    [
        (None, "train.checkpoint_path=FILE is missing"),
        ("latest", "; train first, or name the run by exp.run_name (and exp.exp_dir)"),
        (
            "no/such.pt",
            "train.checkpoint_path=no/such.pt: there is no such file and no checkpoint: name one, such as runs/NAME",
        ),
    ],
)
def test_inference_without_a_checkpoint(capsys, tmp_path, family, checkpoint, said):
    overrides = [] if checkpoint is None else [f"train.checkpoint_path={checkpoint}"]
    assert said in error_of(capsys, tmp_path, family, *overrides, command=inference.main)


@pytest.mark.parametrize("command", [train.main, inference.main])
def test_a_checkpoint_of_the_other_family(capsys, tmp_path, command):
    save_checkpoint({"model_type": "diffusion", "step": 3}, tmp_path / "other.pt")
    line = error_of(capsys, tmp_path, "gan", f"train.checkpoint_path={tmp_path}/other.pt", command=command)
    assert "other.pt is a diffusion checkpoint, exp.model_type is gan" in line


def test_a_checkpoint_whose_config_has_a_key_that_is_not_known_here(capsys, tmp_path):
    config = {"exp": {"config_path": "x"}, "train": {"steps": 1, "warmth": 2}}
    save_checkpoint({"model_type": "gan", "step": 3, "config": config}, tmp_path / "other.pt")
    line = error_of(capsys, tmp_path, "gan", f"train.checkpoint_path={tmp_path}/other.pt", command=inference.main)
    assert "other.pt was trained by another version" in line and "train.warmth is not a config key" in line


def test_a_run_folder_that_cannot_be_made(capsys, tmp_path):
    (tmp_path / "runs").write_text("a file")
    line = one_error_line(capsys, train.main, words(write_config(tmp_path, "gan"), tmp_path / "runs"))
    assert "set exp.exp_dir to a folder" in line
