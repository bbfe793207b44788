"""A published model carries what it is, how good it is, and nothing of the machine it was made on."""

import json
import subprocess

import pytest
import torch

import inference
from report.model_card import count_weights, write_card
from tests.helpers import one_error_line
from tests.runs import GENERATIVE, words
from training.export import load_export
from training.persistence import describe_file
from utils.errors import DataError


@pytest.fixture(params=GENERATIVE)
def published(request, handed_in):
    return handed_in / "checkpoints" / request.param


def test_the_card_names_every_number_its_spread_and_the_hash_of_the_judged_files(published):
    card, record = (published / "README.md").read_text(), json.loads((published / "metrics.json").read_text())
    value, spread = record["results"]["fid64"], record["std"]["fid64"]
    assert f"| fid64 | {value:.4g} | {spread:.4g} |" in card
    assert describe_file(published)["sha256"] == record["origin"]["checkpoint"]["sha256"] in card
    assert "seeds 42, 43" in card and "on another scale than FID" in card


def test_the_card_has_its_sections_and_the_minutes_by_part(published):
    card = (published / "README.md").read_text()
    for title in ("How to use it", "Data", "Recipe", "Cost", "Numbers", "Limits", "Licence"):
        assert f"\n## {title}\n" in card
    assert "| training | 2.0 |" in card and "| **all** | **3.0** |" in card
    assert "| choosing" not in card  # nothing was chosen, no time was spent on it
    assert "Allowed by the task: yes" in card


def test_the_card_does_not_change_what_the_model_is(published):
    """The hash is of the model's own files; it was taken before card, numbers and grid lay beside them."""
    assert {path.name for path in published.iterdir()} >= {"README.md", "metrics.json", "grid.png", "model.json"}
    record = json.loads((published / "metrics.json").read_text())
    assert describe_file(published)["sha256"] == record["origin"]["checkpoint"]["sha256"]


def test_the_weights_are_counted(published):
    assert count_weights(published) == sum(tensor.numel() for tensor in load_export(published)["ema"].values())


def test_no_file_of_a_published_model_names_a_path_of_the_machine(published):
    for path in published.iterdir():
        assert str(published.parents[1].parent).encode() not in path.read_bytes(), path.name


def test_what_the_task_may_not_allow_is_said(handed_in, tmp_path):
    """A model that began as another file, or was judged with foreign weights in it, does not claim otherwise."""
    copy, evaluated = tmp_path / "model", tmp_path / "evaluated"
    for folder in (copy, evaluated):
        folder.mkdir()
        for path in (handed_in / "checkpoints" / "gan").iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
    described = json.loads((copy / "model.json").read_text())
    described["initial_weights"] = {"kind": "train.init_from", "file": "theirs.pt"}
    (copy / "model.json").write_text(json.dumps(described))
    write_card(copy, evaluated, {})
    card = (copy / "README.md").read_text()
    assert "Allowed by the task: look" in card and "Not measured" in card


def test_a_card_needs_numbers(handed_in, tmp_path):
    with pytest.raises(DataError, match="holds no evaluation: run inference.py"):
        write_card(handed_in / "checkpoints" / "gan", tmp_path, {})
    (tmp_path / "metrics.json").write_text('{"results": {}}')
    with pytest.raises(DataError, match="holds no results"):
        write_card(handed_in / "checkpoints" / "gan", tmp_path, {})


@pytest.mark.parametrize("family", GENERATIVE)
def test_a_fresh_clone_draws_from_the_published_model_without_fid_s_weights(family, handed_in, tmp_path, capsys):
    """By the config of the numbers: the images are made, then one line says that they cannot be judged (status 3)."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(handed_in), str(clone)], check=True)
    config, out = clone / "configs" / "inference" / f"{family}.yaml", tmp_path / "out"
    nowhere = f"metrics_args.fid.weights_path={tmp_path / 'nowhere.pth'}"
    arguments = [f"train.checkpoint_path={clone / 'checkpoints' / family}", f"inference.out_dir={out}", nowhere]
    line = one_error_line(capsys, inference.main, words(config, tmp_path, *arguments), status=3)
    assert "the images are written" in line
    assert len(list((out / "images").rglob("*.png"))) == 40 and (out / "grid.png").exists()
    judged = json.loads((clone / "checkpoints" / family / "metrics.json").read_text())["origin"]["checkpoint"]
    assert json.loads((out / "metrics.json").read_text())["origin"]["checkpoint"] == judged


def test_it_is_stored_in_bfloat16(published):
    assert all(
        torch.equal(t, t.bfloat16().float()) for t in load_export(published)["ema"].values() if t.is_floating_point()
    )
