"""One folder a run: its name, what may change when it goes on, and its logs."""

import json
from dataclasses import fields, is_dataclass
from typing import get_type_hints

import pytest

from datasets.leaks import Leak
from tests.helpers import trainer_of
from training.config import EVERYTHING, MAY_CHANGE
from training.launch import load_trainer
from training.run_folder import RunFolder, plain, run_name
from training.trainers.registry import FAMILIES, trainer_class
from utils.config import read_yaml, to_yaml
from utils.environment import environment
from utils.errors import ConfigError


def folder_of(tmp_path, *overrides: str, family: str = "gan") -> RunFolder:
    return RunFolder(trainer_of(tmp_path, family, *overrides).config)


def start(tmp_path, *overrides: str) -> RunFolder:
    """Check and open a run, as training does."""
    run = folder_of(tmp_path, *overrides)
    run.check()
    run.open(step=0)
    (run.path / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
    run.close()
    return run


def test_the_name_is_the_config_file_s_or_the_one_given(tmp_path):
    assert run_name(trainer_of(tmp_path, "gan").config) == "gan"  # the file is gan.yaml
    assert folder_of(tmp_path, "exp.run_name=first").path == tmp_path / "runs" / "first"


@pytest.mark.parametrize("name", ["..", ".", "../out", "/out", "a/b", "a\\b", ".hidden", "a/.."])
def test_a_name_cannot_lead_out(tmp_path, name):
    with pytest.raises(ConfigError, match=r"exp\.run_name=.*: a name, not a path; exp\.exp_dir says where"):
        folder_of(tmp_path, f"exp.run_name='{name}'")


def test_a_name_that_no_file_system_takes_is_refused(tmp_path):
    assert folder_of(tmp_path, f"exp.run_name={'я' * 100}").path.name == "я" * 100
    with pytest.raises(ConfigError, match=r"more than 200 bytes: choose a shorter one"):
        folder_of(tmp_path, f"exp.run_name={'я' * 101}")


def test_opening_writes_the_config_and_what_the_run_is_made_with(tmp_path):
    run = start(tmp_path, "train.steps=9")
    assert read_yaml(run.path / "config.yaml") == plain(run.config)
    assert read_yaml(run.path / "config.yaml")["train"]["steps"] == 9
    recorded = json.loads((run.path / "environment.jsonl").read_text())
    assert recorded == {"step": 0, **environment()}
    assert recorded["packages"]["torch"]
    assert run.images.is_dir()
    assert run.checkpoints.is_dir()


def test_the_same_config_continues(tmp_path):
    start(tmp_path)
    start(tmp_path)


def test_two_commands_in_one_folder_at_once_are_refused(tmp_path):
    first, second = folder_of(tmp_path), folder_of(tmp_path)
    first.open(step=0)
    with pytest.raises(ConfigError, match="in use by another process"):
        second.open(step=0)
    first.close()
    second.open(step=0)
    second.close()


def test_a_run_from_before_a_key_existed_continues(tmp_path):
    run = start(tmp_path)
    recorded = read_yaml(run.path / "config.yaml")
    del recorded["train"]["keep_checkpoints"], recorded["exp"]["wandb_project"]
    (run.path / "config.yaml").write_text(to_yaml(recorded))
    start(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "key", "old", "new"),
    [
        (["gen_optimizer_args.lr=0.5"], "gen_optimizer_args.lr", "0.0002", "0.5"),
        (["train.gen_optimizer=adamw"], "train.gen_optimizer", '"adam"', '"adamw"'),  # not the arguments it drops
        (["exp.seed=1"], "exp.seed", "42", "1"),
        (["data.train_batch_size=16"], "data.train_batch_size", "8", "16"),
        (["gen_losses={hinge_gen: 1.0}"], "gen_losses.hinge_gen", "null", "1.0"),
        (["disc_losses.r1=null", "losses_args=null"], "disc_losses.r1", "1.0", "null"),
        (["train.max_grad_norm=1.0"], "train.max_grad_norm", "null", "1.0"),
        (["data.augmentations=[]"], "data.augmentations", r'\["horizontal_flip"\]', r"\[\]"),
    ],
)
def test_another_config_is_an_error_that_names_the_key_and_both_ways_out(tmp_path, overrides, key, old, new):
    run = start(tmp_path)
    before = {path: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    ways_out = r"\(exp\.run_name=NAME\).*\(exp\.run_name=NAME train\.checkpoint_path=FILE\)"
    with pytest.raises(ConfigError, match=rf"holds a run with {key}={old}, this one says {new}: .*{ways_out}"):
        start(tmp_path, *overrides)
    assert {path: path.read_bytes() for path in before} == before


def test_a_run_that_came_to_nothing_stands_in_nobody_s_way(tmp_path):
    """It ran out of memory in its first step, say: the same name with a smaller batch is free."""
    (start(tmp_path).path / "metrics.jsonl").unlink()
    run = start(tmp_path, "data.train_batch_size=4")
    assert read_yaml(run.path / "config.yaml")["data"]["train_batch_size"] == 4


OTHER_VALUES = {
    "exp": {"use_wandb": True, "use_tensorboard": True, "wandb_mode": "offline", "wandb_project": "p", "check": True},
    "data": {"workers": 3, "val_batch_size": 5, "input_train_dir": "there"},
    "train": {"steps": 99, "log_step": 9, "checkpoint_minutes": 1.5, "stop_after_minutes": 2.5, "compile": "off"},
    "inference": {"num_images": 3, "classes": "[pizza]", "out_dir": "here"},
}


@pytest.mark.parametrize("section", OTHER_VALUES)
def test_what_may_change_does_not_stop_a_run(tmp_path, section):
    run = start(tmp_path)
    overrides = [f"{section}.{key}={value}" for key, value in OTHER_VALUES[section].items()]
    start(tmp_path, *overrides)
    first = next(iter(OTHER_VALUES[section]))
    assert read_yaml(run.path / "config.yaml")[section][first] == OTHER_VALUES[section][first]
    assert MAY_CHANGE[section] == EVERYTHING or OTHER_VALUES[section].keys() <= MAY_CHANGE[section]


def test_every_key_that_may_change_is_a_key_of_some_family():
    schemas = [trainer_class(family, "").schema for family in FAMILIES]
    known = {
        (name, field.name)
        for schema in schemas
        for name, hint in get_type_hints(schema).items()
        if is_dataclass(hint)
        for field in fields(hint)
    }
    whole = {(name, "*") for schema in schemas for name in get_type_hints(schema)}
    assert {(section, key) for section, keys in MAY_CHANGE.items() for key in keys} - known - whole == set()


def test_a_folder_with_somebody_s_files_is_refused_and_left_alone(tmp_path):
    run = folder_of(tmp_path)
    run.path.mkdir(parents=True)
    (run.path / "thesis.txt").write_text("precious")
    with pytest.raises(ConfigError, match=r"is not empty and no run: choose another name with exp\.run_name="):
        run.check()
    assert [path.name for path in run.path.iterdir()] == ["thesis.txt"]


def test_a_folder_of_a_run_that_was_killed_before_its_config_was_written_is_fine(tmp_path):
    """Found by killing: folders were made before the config, and such a run could not be begun again."""
    run = folder_of(tmp_path)
    run.path.mkdir(parents=True)
    for name in (".lock", ".tmp-0123.yaml"):
        (run.path / name).touch()
    start(tmp_path)
    assert not (run.path / ".tmp-0123.yaml").exists()


def test_an_empty_folder_is_fine(tmp_path):
    folder_of(tmp_path).path.mkdir(parents=True)
    start(tmp_path)


def test_checking_writes_nothing(tmp_path):
    folder_of(tmp_path).check()
    assert not (tmp_path / "runs").exists()


LINES = [f'{{"step": {step}, "loss": {step / 10}}}\n' for step in (2, 4, 6)]


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (LINES, LINES[:2]),
        ([*LINES[:2], '{"step": 6, "lo'], LINES[:2]),  # half written when the machine went down
        ([*LINES[:2], '{"step": 6, "loss": 0.6}'], LINES[:2]),  # all but the line's end
        ([*LINES[:2], "\n"], LINES[:2]),
        ([], []),
    ],
)
def test_resuming_drops_the_lines_after_the_step(tmp_path, content, kept):
    run = start(tmp_path)
    for name in ("metrics.jsonl", "timing.jsonl"):
        (run.path / name).write_text("".join(content))
    run.truncate_logs(4)
    for name in ("metrics.jsonl", "timing.jsonl"):
        assert (run.path / name).read_text() == "".join(kept)


def test_a_half_written_line_of_an_earlier_step_goes_too(tmp_path):
    run = start(tmp_path)
    (run.path / "metrics.jsonl").write_text("".join([*LINES[:1], '{"step": 4, "lo']))
    run.truncate_logs(100)
    assert (run.path / "metrics.jsonl").read_text() == LINES[0]


def test_without_logs_there_is_nothing_to_drop(tmp_path):
    run = folder_of(tmp_path)
    run.open(step=0)
    run.truncate_logs(4)
    run.close()
    assert not (run.path / "metrics.jsonl").exists()


def test_left_out_files_are_listed(tmp_path):
    run = start(tmp_path)
    names = [field.name for field in fields(Leak)]
    leak = Leak(**{name: f"the {name}" for name in names})
    run.list_left_out([leak])
    assert (run.path / "left_out.txt").read_text() == f"{leak.train_file} shows {leak.test_file}\n"


def test_the_config_in_a_run_s_folder_means_that_run(tmp_path):
    """A person gives it as ``exp.config_path`` to continue or study the run; its file's stem is only ``config``."""
    run = start(tmp_path)
    again = load_trainer([f"exp.config_path={run.path / 'config.yaml'}"])
    assert RunFolder(again.config).path == run.path
