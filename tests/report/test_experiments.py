"""The small experiments: what is kept of them, in which order they run, and that their configs fit the code."""

import json
from pathlib import Path

import pytest
from PIL import Image

from report.experiments import ROOT, Runner, Settings, find_experiments
from report.headers import CHAIN, read_header
from report.keeping import sanitised
from tests.helpers import one_error_line
from training.launch import load_trainer
from utils.config import load_tree
from utils.errors import ConfigError

OURS = find_experiments(ROOT / "configs" / "experiments")
TRAINED = [it for it in OURS.values() if it.study is None]
STUDIES = [it for it in OURS.values() if it.study]
COMPARED = [it for it in TRAINED if read_header(it.file)["Baseline"] != "none"]
VARIANTS = [(it, name) for it in STUDIES for name in it.study.variants]


@pytest.mark.parametrize("it", OURS.values(), ids=lambda it: it.name)
def test_every_experiment_opens_with_what_was_thought_before_it(it):
    header = read_header(it.file)
    assert {"Question", "Observed", "Hypothesis", "Change", "Expected", "Baseline"} <= header.keys()
    assert header["Baseline"].split()[0] in {"none", *OURS}


@pytest.mark.parametrize("it", COMPARED, ids=lambda it: it.name)
def test_an_experiment_differs_from_its_baseline_and_is_short(it):
    baseline = OURS[read_header(it.file)["Baseline"].split()[0]]
    trees = [load_tree([f"exp.config_path={file}"]) for file in (it.file, baseline.file)]
    assert trees[0] != trees[1]
    assert sum(not line.startswith("#") for line in it.file.read_text().splitlines()) <= 15


@pytest.mark.parametrize("study, variant", VARIANTS, ids=lambda it: getattr(it, "name", it))
def test_every_variant_of_a_sampling_study_is_a_valid_config(study, variant, monkeypatch):
    monkeypatch.setenv("FOOD101_DIR", "nowhere")
    words = [word.format(run="run") for word in study.study.variants[variant]]
    load_trainer([f"exp.config_path={OURS[study.study.of].file}", *words]).check_config()


def test_a_kept_run_has_its_logs_numbers_and_small_pictures(kept):
    folder = kept / "plain" / "seed1"
    names = {path.name for path in folder.iterdir()}
    assert {"config.yaml", "metrics.jsonl", "timing.jsonl", "environment.jsonl", "metrics.json"} <= names
    assert {"grid.png", "samples.png", "way.png"} <= names
    assert all(path.stat().st_size <= 60_000 for path in kept.rglob("*.png"))
    record = json.loads((folder / "metrics.json").read_text())
    assert record["origin"]["split"] == "test" and record["origin"]["parameters"] > 0
    assert "floor" in json.loads((kept / "plain" / "seed0" / "metrics.json").read_text())["analyses"]


def test_training_seeds_differ_and_the_sampling_noise_does_not(kept):
    records = [json.loads((kept / "plain" / f"seed{seed}" / "metrics.json").read_text()) for seed in range(2)]
    assert [it["origin"]["config"]["exp"]["run_name"] for it in records] == ["seed0", "seed1"]
    assert {it["origin"]["seed"] for it in records} == {42}
    assert records[0]["results"] != records[1]["results"]
    logs = [(kept / "plain" / f"seed{seed}" / "metrics.jsonl").read_text() for seed in range(2)]
    assert logs[0] != logs[1]


def test_nothing_kept_names_a_folder_of_this_machine(kept):
    for path in kept.rglob("*.json*"):
        assert str(kept.parent) not in path.read_text(), path


def test_the_variables_that_say_where_things_are_stand_for_their_values(monkeypatch, tmp_path):
    monkeypatch.setenv("FOOD101_DIR", "/somewhere/food")
    text = f"/somewhere/food/train {tmp_path}/edm/seed0 {ROOT}/configs/a.yaml"
    assert sanitised(text, tmp_path) == "$FOOD101_DIR/train $OUT/edm/seed0 configs/a.yaml"


def test_a_sampling_study_is_judged_on_dev_with_the_run_it_names(kept):
    record = json.loads((kept / "steps" / "seed1" / "few.json").read_text())
    run = json.loads((kept / "plain" / "seed1" / "metrics.json").read_text())
    assert record["origin"]["split"] == "dev" and record["origin"]["steps"] == 2
    assert record["origin"]["checkpoint"] == run["origin"]["checkpoint"]


def test_what_is_kept_is_not_made_again(kept, experiments_folder):
    before = {path: path.stat().st_mtime_ns for path in kept.rglob("*") if path.is_file()}
    settings = Settings(out=str(kept.parent / "runs"), keep=str(kept), configs=str(experiments_folder))
    runner = Runner(settings, find_experiments(experiments_folder))
    for it in runner.experiments.values():
        runner.run(it, 1)
    assert before == {path: path.stat().st_mtime_ns for path in kept.rglob("*") if path.is_file()}


def test_the_way_ends_in_the_samples_of_the_same_noise(kept):
    with Image.open(kept / "plain" / "seed0" / "way.png") as way:
        assert way.size == (8 * 98 + 2, 4 * 98 + 2)  # eight stops of four images of 16 pixels, each of them six wide


@pytest.mark.parametrize(
    "text, message",
    [
        ("# Obsreved: x\na: 1", "Did you mean 'Observed'"),
        ("# Observed: x\n# Observed: y\na: 1", "twice"),
    ],
)
def test_a_broken_header_is_one_line(tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_header(tmp_path / "a.yaml")


def test_a_header_ends_with_the_comment_and_lines_go_on(tmp_path):
    (tmp_path / "a.yaml").write_text("# Observed: one\n#    two\n# Next: three\na: 1  # Change: no\n# Conclusion: no\n")
    assert read_header(tmp_path / "a.yaml") == {"Observed": "one two", "Next": "three"}
    assert set(CHAIN) >= {"Observed", "Next"}


def test_an_unknown_experiment_is_one_line(capsys, monkeypatch, experiments_folder, tmp_path):
    import sys

    from report.experiments import main

    words = ["prog", f"out={tmp_path}", f"configs={experiments_folder}", "only=[plian]"]
    monkeypatch.setattr(sys, "argv", words)
    assert "Did you mean 'plain'" in one_error_line(capsys, lambda _: main(), [])
    assert not Path(tmp_path / "plain").exists()
