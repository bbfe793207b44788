"""A published model is the one that was trained, to bfloat16, and opens like a checkpoint."""

import json

import pytest
import torch
from safetensors.torch import load_file

import inference
import train
from tests.runs import words, write_config
from training import export
from training.export import cut, export_model, load_export
from utils.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A tiny trained model, its config, and its export."""
    folder = tmp_path_factory.mktemp("exported")
    config = write_config(folder, "diffusion")
    train.main(words(config, folder))
    out = folder / "published"
    arguments = ["train.checkpoint_path=latest", "inference.study=export", f"inference.out_dir={out}"]
    inference.main(words(config, folder, *arguments))
    return folder, config, out


def test_the_weights_are_the_averaged_ones_to_bfloat16(exported):
    folder, _, out = exported
    trained = torch.load(folder / "diffusion" / "checkpoints" / "step_00000007.pt", weights_only=True)["ema"]
    published = load_export(out)["ema"]
    assert published.keys() == trained.keys()
    for name, tensor in trained.items():
        torch.testing.assert_close(published[name], tensor, rtol=2**-8, atol=0)
        assert published[name].dtype == tensor.dtype
    assert {t.dtype for t in load_file(out / "model-00001-of-00001.safetensors").values()} == {torch.bfloat16}


def test_it_opens_like_a_checkpoint_and_draws_the_same_pictures_always(exported, tmp_path):
    _, config, out = exported
    grids = []
    for name in ("a", "b"):
        more = [f"train.checkpoint_path={out}", "inference.num_images=4", f"inference.out_dir={tmp_path / name}"]
        inference.main(words(config, tmp_path, *more))
        grids.append((tmp_path / name / "grid.png").read_bytes())
    assert grids[0] == grids[1]
    origin = json.loads((tmp_path / "a" / "metrics.json").read_text())["origin"]
    assert origin["step"] == 7 and origin["checkpoint"]["file"] == "published"
    assert origin["weights"] == {"ema": "halflife", "halflife": 100, "width": None}


def test_large_models_are_cut_into_files_that_a_code_host_takes(monkeypatch, tmp_path):
    monkeypatch.setattr(export, "SHARD", 100)
    weights = {f"w{i}": torch.randn(20) for i in range(5)} | {"count": torch.tensor(3)}  # 40 bytes each in bfloat16
    parts = list(cut(weights))
    assert [list(part) for part in parts] == [["w0", "w1"], ["w2", "w3"], ["w4", "count"]]
    state = {"step": 1, "model_type": "gan", "images_seen": 8, "initial_weights": {}, "config": {}, "average": {}}
    export_model({**state, "facts": {"class_names": ("a",)}}, weights, tmp_path / "out")
    assert len(list((tmp_path / "out").glob("model-*-of-00003.safetensors"))) == 3
    assert load_export(tmp_path / "out")["ema"]["count"].item() == 3
    with pytest.raises(ConfigError, match="exists already"):
        export_model({**state, "facts": {"class_names": ()}}, weights, tmp_path / "out")


def broken(folder, what: str):
    """Break one thing of an export."""
    if what == "no model.json":
        (folder / "model.json").unlink()
    elif what == "another format":
        (folder / "model.json").write_text('{"format": "theirs"}')
    elif what == "a missing part":
        next(folder.glob("*.safetensors")).unlink()
    else:
        path = next(folder.glob("*.safetensors"))
        path.write_bytes(path.read_bytes()[:50])


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no model.json", "holds no exported model"),
        ("another format", "not of a format that this version reads"),
        ("a missing part", "missing or damaged"),
        ("a damaged part", "missing or damaged"),
    ],
)
def test_a_broken_export_is_one_line(exported, tmp_path, what, message):
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in exported[2].iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    broken(copy, what)
    with pytest.raises(DataError, match=message):
        load_export(copy)
