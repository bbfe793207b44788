"""The best checkpoint by a figure stays, and is found by its name."""

import json
from pathlib import Path

import pytest

import inference
import train
from metrics.registry import features_registry
from tests.evaluation.conftest import Colours
from tests.helpers import error_of, trainer_of
from tests.runs import words, write_config
from training.best import Best, check_best
from training.checkpoints import checkpoint_name
from utils.errors import ConfigError


def remember(folder: Path, step: int, figures: dict[str, float], **settings) -> bool:
    """Do what a trainer does after a validation at ``step``."""
    best = Best(folder, **{"metric": "fid", "best_is": "lowest"} | settings)
    better = best.is_better(figures)
    if better:
        (folder / checkpoint_name(step)).touch()
        best.remember(figures, step)
    return better


@pytest.mark.parametrize(
    ("best_is", "expected"), [("lowest", [True, False, True, False]), ("highest", [True, True, False, True])]
)
def test_a_checkpoint_is_the_best_when_its_figure_beats_all_before(tmp_path, best_is, expected):
    values = [3.0, 4.0, 2.0, 5.0]
    assert [
        remember(tmp_path, step, {"val_quick9_fid": value}, best_is=best_is) for step, value in enumerate(values)
    ] == expected


def test_an_equal_figure_is_no_better(tmp_path):
    assert remember(tmp_path, 1, {"val_fid": 1.0})
    assert not remember(tmp_path, 2, {"val_fid": 1.0})


def test_a_figure_that_is_no_number_is_never_the_best(tmp_path):
    assert not remember(tmp_path, 1, {"val_fid": float("nan")})
    assert remember(tmp_path, 2, {"val_fid": 3.0})
    assert not remember(tmp_path, 3, {"val_fid": float("nan")})


def test_a_best_checkpoint_that_is_gone_counts_no_more(tmp_path):
    remember(tmp_path, 1, {"val_fid": 1.0})
    (tmp_path / checkpoint_name(1)).unlink()
    assert Best(tmp_path, "fid", "lowest").path() is None
    assert remember(tmp_path, 2, {"val_fid": 7.0})


@pytest.mark.parametrize("change", [{"metric": "kid"}, {"best_is": "highest"}])
def test_a_figure_of_another_metric_or_direction_is_no_mark_to_beat(tmp_path, change):
    remember(tmp_path, 1, {"val_fid": 5.0, "val_kid": 0.1})
    assert Best(tmp_path, **{"metric": "fid", "best_is": "lowest", **change}).path() is None
    assert remember(tmp_path, 2, {"val_fid": 5.0, "val_kid": 7.0}, **change)
    assert Best(tmp_path, None, "lowest").path() == tmp_path / checkpoint_name(2)  # whatever it was chosen by


def test_a_figure_that_no_validation_has_is_an_error_with_those_there_are(tmp_path):
    with pytest.raises(ConfigError, match=r"train\.best_metric=fod.*there are val_fid, val_kid"):
        remember(tmp_path, 1, {"val_fid": 1.0, "val_kid": 2.0}, metric="fod")


def test_without_a_metric_nothing_is_remembered(tmp_path):
    assert not remember(tmp_path, 1, {"val_fid": 1.0}, metric=None)


METRICS = {
    "data.dev_per_class": 1,
    "train.val_metrics": ["fid"],
    "metrics_args": {"fid": {"dims": 64}},
    "train.val_step": 1,
    "train.keep_checkpoints": 1,
    "train.checkpoint_step": 7,
    "train.val_num_images": 8,
    "train.best_metric": "fid64",
}


def test_the_best_of_a_run_outlives_the_newer_ones_and_inference_finds_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(features_registry.classes, "inception", Colours)
    config = write_config(tmp_path, "gan", METRICS)
    train.main(words(config, tmp_path))
    lines = map(json.loads, (tmp_path / "gan" / "metrics.jsonl").read_text().splitlines())
    figures = {line["step"]: line["val_quick8_fid64"] for line in lines if "val_quick8_fid64" in line}
    assert len(figures) == 7
    best = min(figures, key=figures.get)
    left = {path.name for path in (tmp_path / "gan" / "checkpoints").glob("*.pt")}
    assert left == {checkpoint_name(best), checkpoint_name(7)}
    inference.main(
        words(config, tmp_path, "train.checkpoint_path=best", "train.val_metrics=[]", "inference.num_images=1")
    )
    assert f"inference/{Path(checkpoint_name(best)).stem}" in capsys.readouterr().out


@pytest.mark.parametrize(("family", "right"), [("gan", "fid64"), ("supervised", "f1"), ("autoencoder", "psnr")])
def test_a_best_metric_that_no_validation_gives_is_found_before_the_first_step(family, right, tmp_path, capsys):
    changes = {"data.dev_per_class": 1, **({"train.val_metrics": ["kid", "fid"]} if family == "gan" else {})}
    for metric in (right, "ema_distance"):
        check_best(trainer_of(tmp_path, family, f"train.best_metric={metric}", changes=changes).config)
    line = error_of(capsys, tmp_path, family, "train.best_metric=nonsense", "exp.check=True", changes=changes)
    assert "train.best_metric=nonsense: train.val_metrics give no such figure" in line and right.rstrip("64") in line


def test_no_run_chooses_its_best_checkpoint_on_the_test_split(tmp_path, capsys):
    config = write_config(tmp_path, "gan", {**METRICS, "data.dev_per_class": 0})
    with pytest.raises(SystemExit):
        train.main(words(config, tmp_path))
    assert "train.best_metric would choose on the test split" in capsys.readouterr().err


def test_a_run_without_a_best_checkpoint_says_so(tmp_path, capsys):
    config = write_config(tmp_path, "gan")
    train.main(words(config, tmp_path))
    with pytest.raises(SystemExit):
        inference.main(words(config, tmp_path, "train.checkpoint_path=best"))
    assert "train.checkpoint_path=best: there is no such checkpoint" in capsys.readouterr().err
