"""The report at W&B, up to the call that needs the network: its blocks, its panels, and runs made from logs."""

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from report import wandb as report
from report.wandb import Run, Settings, find_runs, pictures_of, replay
from tests.runs import write_config
from training.panels import panel, panels
from utils.errors import ConfigError, DataError

MARKDOWN = """# Two trials

## Experiments

What was tried.

### edm
Alone. ![its curve](loss.svg)

### Both
`edm` beside `dcgan`, and `train.steps` of no run.

## Best model

Nothing yet.
"""
LOSSES = {"edm/seed0": ["edm", "grad_norm"], "dcgan": ["softplus_gen", "real_logits"]}


@pytest.fixture
def runs(tmp_path) -> list[Run]:
    """The logs of an experiment's run and of a run alone, as a repository keeps them."""
    for name, logged in LOSSES.items():
        folder = tmp_path / "kept" / name
        (folder / "images").mkdir(parents=True)
        write_config(folder, "diffusion").rename(folder / "config.yaml")
        values = [{"step": step} | dict.fromkeys(logged, 1.0 / step) for step in (2, 4)]
        values.append({"step": 4, "val_quick40_fid64": 3.0})
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in values))
        (folder / "timing.jsonl").write_text('{"step": 2, "images_per_second": 8.0}\n')
        Image.new("RGB", (8, 8), "red").save(folder / "images" / "samples_00000004.png")
        Image.new("RGB", (8, 8), "blue").save(folder / "grid.png")
    return find_runs(tmp_path / "kept")


@pytest.fixture
def blocks(runs) -> list[dict]:
    """The report's blocks as they would be sent."""
    pytest.importorskip("wandb_workspaces")
    built = report.build(Settings(runs="", entity="somebody"), MARKDOWN, runs)
    assert built.title == "Two trials" and built.project == "mise"
    return json.loads(built._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))["blocks"]


def grids(blocks: list[dict]) -> list[dict]:
    return [block["metadata"] for block in blocks if block["type"] == "panel-grid"]


def test_every_section_is_there_in_its_order(blocks):
    said = [block["children"][0].get("text") for block in blocks if block["type"] == "heading"]
    assert said == ["All runs", "Experiments", "edm", "Both", "Best model"]


def test_text_goes_along_without_pictures_that_w_and_b_cannot_see(blocks):
    text = json.dumps(blocks)
    assert "What was tried." in text and "Nothing yet." in text and "loss.svg" not in text


def test_a_section_that_names_runs_shows_them_and_no_others(blocks):
    shown = [grid["runSets"][0]["filters"]["filters"][0] for grid in grids(blocks)]
    assert [it["key"]["name"] for it in shown] == ["displayName"] * 3
    assert [it["value"] for it in shown] == [["dcgan", "edm-seed0"], ["edm-seed0"], ["dcgan", "edm-seed0"]]


def test_losses_metrics_and_pictures_of_all_runs_stand_in_one_grid(blocks):
    sent = grids(blocks)[0]["panelBankSectionConfig"]["panels"]
    *plots, pictures = sent
    assert [key for plot in plots for key in plot["config"]["metrics"]] == [
        "loss/edm",
        "loss/softplus_gen",
        "val/quick40_fid64",
        "watched/grad_norm",
        "watched/real_logits",
    ]
    assert pictures["config"]["mediaKeys"] == ["samples/samples", "samples/grid"]
    boxes = [(p["layout"]["x"], p["layout"]["y"]) for p in sent]
    assert boxes == [(0, 0), (8, 0), (16, 0), (0, 6), (8, 6), (0, 12)]  # nothing lies on anything else


def test_without_the_library_one_line_says_what_to_install(runs, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(ConfigError, match="pip install wandb-workspaces"):
        report.build(Settings(runs="", entity="somebody"), MARKDOWN, runs)


def test_names_are_grouped_by_what_they_are():
    names = ["edm", "r1", "grad_norm", "gen_grad_norm", "fake_logits", "val_diversity"]
    assert [panel(name).partition("/")[0] for name in names] == ["loss", "loss", "watched", "watched", "watched", "val"]
    assert panels({"mse": 1.0}, {"seconds": 2.0}) == {"loss/mse": 1.0, "time/seconds": 2.0}


def test_a_run_is_made_from_its_logs(runs, tmp_path, capsys):
    """The offline run holds every step's values in their order, under their panels' names."""
    library = pytest.importorskip("wandb")
    replay(runs[1], tmp_path / "offline", "mise")
    library.teardown()  # as at the end of a program: until then the last lines may not be on the disk
    (file,) = (tmp_path / "offline" / "edm-seed0" / "wandb").glob("offline-run-*/*.wandb")
    history = history_of(file)
    assert [int(line["_step"]) for line in history] == [2, 4]
    assert json.loads(history[0]["loss/edm"]) == 0.5 and json.loads(history[0]["time/images_per_second"]) == 8.0
    assert json.loads(history[1]["val/quick40_fid64"]) == 3.0
    assert json.loads(history[1]["samples/samples/_type"]) == "image-file"
    replay(runs[1], tmp_path / "offline", "mise")
    assert "is there already" in capsys.readouterr().out and len(list(file.parents[1].glob("offline-run-*"))) == 1


def records_of(file: Path) -> Iterator[bytes]:
    """Read the records of an offline run: W&B's header of 7 bytes, then LevelDB's log format.

    That is blocks of 32 KiB; each part of a record has its checksum, its length and its type: whole, first, middle,
    last.
    """
    data, place, record = file.read_bytes(), 7, b""
    while place + 7 <= len(data):
        length, kind = struct.unpack_from("<HB", data, place + 4)
        record += data[place + 7 : place + 7 + length]
        place += 7 + length
        if 32768 - place % 32768 < 7:  # no room for another header in this block
            place += 32768 - place % 32768
        if kind in (1, 4):
            yield record
            record = b""


def history_of(file: Path) -> list[dict[str, str]]:
    """Return what an offline run logged, a step each: values are JSON."""
    from wandb.proto.wandb_internal_pb2 import Record

    parsed = [Record.FromString(data) for data in records_of(file)]
    steps = [it.history for it in parsed if it.WhichOneof("record_type") == "history"]
    return [{item.key or "/".join(item.nested_key): item.value_json for item in step.item} for step in steps]


def test_pictures_are_found_by_step_and_name(runs):
    folder = runs[0].folder
    shown = {2: {"grid": folder / "grid.png"}, 4: {"samples": folder / "images" / "samples_00000004.png"}}
    assert pictures_of(folder, last=2) == shown


def test_a_folder_without_runs_is_one_line(tmp_path):
    with pytest.raises(DataError, match="holds no run"):
        find_runs(tmp_path)
