"""A file from a stranger never runs code, whatever it is opened as."""

import ast
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import inference
import train
from metrics.features import _read
from metrics.inception import read_weights
from models.autoencoders.export import read_autoencoder
from models.classifiers.export import load_noisy_classifier
from tests.helpers import one_error_line
from tests.runs import words, write_config
from training.checkpoints import FORMAT, load_checkpoint, save_checkpoint
from training.export import NEEDED, load_export
from training.posthoc_ema import list_snapshots
from utils.errors import DataError, UserError

ROOT = Path(__file__).parents[2]


class Call:
    """Unpickles by calling a function."""

    def __init__(self, function: Callable, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def deeds(trace: Path) -> dict[str, Call]:
    return {
        "a system call": Call(os.mkdir, str(trace)),
        "eval": Call(eval, f"__import__('os').mkdir({str(trace)!r})"),
        "exec": Call(exec, f"open({str(trace)!r}, 'w').close()"),
        "an attribute of a module": Call(getattr(os, "system"), f"touch {trace}"),  # noqa: B009
        "a method": Call(Path.touch, trace),
    }


def as_pickle(state: dict) -> bytes:
    return pickle.dumps(state)


def as_old_pickle(state: dict) -> bytes:
    return pickle.dumps(state, protocol=0)


def as_torch(state: dict) -> bytes:
    torch.save(state, file := io.BytesIO())
    return file.getvalue()


def as_legacy_torch(state: dict) -> bytes:
    torch.save(state, file := io.BytesIO(), _use_new_zipfile_serialization=False)
    return file.getvalue()


def as_numpy(state: dict) -> bytes:
    np.save(file := io.BytesIO(), np.array([state], dtype=object), allow_pickle=True)
    return file.getvalue()


def as_zip(state: dict) -> bytes:
    """A zip as PyTorch's, with a pickle of its own."""
    with zipfile.ZipFile(file := io.BytesIO(), "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(state))
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def exported(path: Path) -> None:
    """Open it as the weights of an exported model."""
    folder = path.with_name("model")
    folder.mkdir()
    described = {"format": "mise model 1", "weights": ["w.safetensors"], **dict.fromkeys(NEEDED - {"weights"})}
    (folder / "model.json").write_text(json.dumps(described))
    path.rename(folder / "w.safetensors")
    load_export(folder)


def snapshot(path: Path) -> None:
    """Open it as an average of weights."""
    path.rename(path.with_name("step_00000001_width_0.1.safetensors"))
    list_snapshots(path.parent, images_seen=1)


def features(path: Path) -> None:
    """Open it as kept features: what cannot be read is computed again."""
    assert _read(path, (1, 1)) is None
    raise UserError("not read")


FORMS = [as_pickle, as_old_pickle, as_torch, as_legacy_torch, as_numpy, as_zip]
OPENED_AS = [load_checkpoint, read_weights, load_noisy_classifier, exported, snapshot, features]


@pytest.mark.parametrize("opened_as", OPENED_AS, ids=lambda function: function.__name__)
@pytest.mark.parametrize("form", FORMS, ids=lambda function: function.__name__)
def test_code_in_a_file_is_refused_in_one_line_and_does_not_run(form, opened_as, tmp_path):
    trace = tmp_path / "trace"
    for name, deed in deeds(trace).items():
        path = tmp_path / f"{name.replace(' ', '_')}.pt"
        (tmp_path / name).mkdir()
        path = tmp_path / name / "file.pt"
        path.write_bytes(form({"format": FORMAT, "state": {"w": torch.zeros(2)}, "deed": deed}))
        with pytest.raises(UserError) as refused:
            opened_as(path)
        assert "\n" not in str(refused.value)
        assert not trace.exists(), name


def test_the_deeds_would_have_been_done(tmp_path):
    for number, name in enumerate(deeds(tmp_path)):
        trace = tmp_path / str(number)
        pickle.loads(pickle.dumps(deeds(trace)[name]))
        assert trace.exists(), name


FORMATS = {load_noisy_classifier: "mise classifier 1", read_autoencoder: "mise autoencoder 1"}
NO_NETWORKS = [
    *("", "nothing", "[]", "{}", '{"model": "resnet"}', '{"model": "os.system", "arguments": {}}'),
    *('{"model": "resnet", "arguments": ["ls"]}', '{"model": "resnet", "arguments": {"image_size": "x"}}'),
]


@pytest.mark.parametrize("said", NO_NETWORKS)
@pytest.mark.parametrize("opened_as", FORMATS, ids=lambda function: function.__name__)
def test_an_export_that_says_something_else_of_itself_is_one_line(opened_as, said, tmp_path):
    path = tmp_path / "network.safetensors"
    save_file({"w": torch.zeros(2)}, path, {"format": FORMATS[opened_as], "description": said})
    with pytest.raises(DataError) as refused:
        opened_as(path)
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_an_exported_model_that_lacks_something_is_one_line(tmp_path):
    (tmp_path / "model.json").write_text(json.dumps({"format": "mise model 1", "facts": {}}))
    with pytest.raises(DataError, match="lacks config, model_type, weights: fetch"):
        load_export(tmp_path)


def test_a_class_name_of_a_stranger_s_checkpoint_leads_nowhere(tmp_path, capsys):
    """Pictures are written into folders named like their classes."""
    train.main(words(write_config(tmp_path, "gan"), tmp_path / "runs", "train.steps=1"))
    state = load_checkpoint(tmp_path / "runs" / "gan" / "checkpoints" / "step_00000001.pt")
    config = write_config(tmp_path, "gan", {"dataset_args": None})
    path = tmp_path / "stranger.pt"
    asked = ["data.dataset=base_dataset", "train.val_metrics=[]", f"train.checkpoint_path={path}"]
    asked += [f"inference.out_dir={tmp_path / 'runs' / 'out'}", "inference.num_images=10"]
    for name in ("../../evil", "/evil", "..", "a/b"):
        state["facts"]["class_names"] = (name, *state["facts"]["class_names"][1:])
        save_checkpoint(state, path)
        before = outside(tmp_path)
        capsys.readouterr()
        line = one_error_line(capsys, inference.main, words(config, tmp_path / "runs", *asked))
        assert f"the class name '{name}' cannot be a folder's name" in line
        assert outside(tmp_path) == before


def outside(folder: Path) -> set[Path]:
    """List what lies beside the runs."""
    return {path for path in folder.rglob("*") if "runs" not in path.parts}


SOURCES = [path for path in ROOT.rglob("*.py") if not {"tests", ".venv"} & set(path.relative_to(ROOT).parts)]


def calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]


def test_no_source_file_opens_a_file_in_a_way_that_runs_code():
    """torch.load says weights_only=True; pickle, numpy's allow_pickle and YAML's other loaders are not there at all."""
    loads = 0
    for path in SOURCES:
        for call in calls(path):
            name, keywords = ast.unparse(call.func), {word.arg: word.value for word in call.keywords}
            assert name not in ("pickle.load", "pickle.loads", "yaml.load", "yaml.unsafe_load", "eval", "exec"), path
            assert "allow_pickle" not in keywords, path
            if name == "torch.load":
                loads += 1
                assert ast.unparse(keywords["weights_only"]) == "True", path
    assert loads >= 2
