"""Alarms speak when something goes wrong, once, and not before."""

import json

import pytest
import torch
from torch import nn

import train
from tests.runs import words, write_config
from training import alarms
from training.alarms import Alarms, DiversityFalls, EmaLags, FigureTurns, LogitsApart, ScaleCollapses
from training.ema import relative_distance
from training.registry import ema_registry
from training.validation import diversity


def spoken(alarm: alarms.Alarm, values: list[dict[str, float]]) -> list[int]:
    """Return at which of the values the alarm speaks."""
    return [number for number, some in enumerate(values) if alarm.look(some)]


def logits(gaps: list[float]) -> list[dict[str, float]]:
    return [{"real_logits": gap / 2, "fake_logits": -gap / 2} for gap in gaps]


def test_logits_that_stay_apart_are_told_once():
    assert spoken(LogitsApart(gap=10, times=3), logits([2, 11, 12, 9, 11, 11, 11, 30])) == [6]
    assert spoken(LogitsApart(gap=10, times=3), [{"edm": 0.3}] * 9) == []  # no discriminator


def fids(values: list[float]) -> list[dict[str, float]]:
    return [{"val_quick202_fid768": value, "val_quick202_kid768": 0.1} for value in values]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([9, 5, 4, 4.2, 4.4, 4.6], [5]),  # three rises, and more than a tenth above the lowest
        ([9, 5, 4, 4.1, 4.2, 4.3], []),  # three rises, but little
        ([9, 5, 8, 4, 8, 3, 9], []),  # noise
    ],
)
def test_a_figure_that_turns_up_is_told(values, expected):
    assert spoken(FigureTurns(times=3, factor=1.1), fids(values)) == expected


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("val_quick202_kid768", [0.4, 0.3, 0.35, 0.4, 0.5], [4]),
        ("val_psnr", [20, 30, 28, 26, 24], [4]),  # high is good
        ("val_psnr", [20, 22, 25, 28, 31], []),
        ("val_accuracy", [0.2, 0.5, 0.45, 0.42, 0.4], [4]),
        ("val_diversity", [1, 2, 3, 4, 5], []),  # nobody knows which is good
        ("val_quick202_kid768_std", [1, 2, 3, 4, 5], []),
    ],
)
def test_every_figure_of_known_direction_is_watched(name, values, expected):
    assert spoken(FigureTurns(), [{name: value} for value in values]) == expected


def test_the_metric_that_chooses_the_best_checkpoint_is_the_one_that_is_watched():
    values = [{"val_recall": value, "val_fid768": 2 - value} for value in (0.9, 0.8, 0.7, 0.6)]
    assert spoken(FigureTurns("recall", lower=False), values) == [3]
    assert spoken(FigureTurns("recall", lower=True), values) == []


@pytest.mark.parametrize(("name", "knob"), [("halflife", "ema_args.halflife"), ("power", "ema_args.widths")])
def test_an_average_that_lags_behind_names_its_own_knob(name, knob):
    alarm = EmaLags(after=0, fix=ema_registry[name](nn.Linear(1, 1)).shorter)
    assert knob in alarm.look({"val_ema_distance": 0.9})


def test_images_that_become_alike_are_a_collapse():
    assert spoken(DiversityFalls(factor=2), [{"val_diversity": d} for d in (5.0, 40.0, 30.0, 21.0, 19.0, 3.0)]) == [4]


def test_an_average_that_lags_behind_is_told_after_the_start():
    assert spoken(EmaLags(share=0.5, after=2), [{"val_ema_distance": d} for d in (0.9, 0.8, 0.4, 0.6)]) == [3]


def test_the_alarms_of_a_run_are_lines_of_its_own_file_and_of_the_console(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(alarms.LogitsApart.__init__, "__defaults__", (-100.0, 2))  # any gap is too much, twice
    config = write_config(tmp_path, "gan")
    train.main(words(config, tmp_path))
    (line,) = (tmp_path / "gan" / "alarms.jsonl").read_text().splitlines()
    assert json.loads(line)["step"] == 4 and "logits are" in json.loads(line)["alarm"]
    assert "step 4: ALARM: the discriminator's logits" in capsys.readouterr().out


def test_several_alarms_are_told_together():
    both = Alarms([EmaLags(share=0.5, after=0), DiversityFalls()])
    assert both.look({"val_diversity": 10.0, "val_ema_distance": 0.1}) == []
    assert len(both.look({"val_diversity": 1.0, "val_ema_distance": 0.9})) == 2


def test_diversity_is_the_spread_within_a_class():
    """Two classes of two flat images each: 0 and 100 (deviation 70.7), 50 and 50 (none)."""
    images = torch.tensor([0, 100, 50, 50], dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    assert diversity(images, torch.tensor([0, 0, 1, 1])) == pytest.approx(100 / 2**0.5 / 2)
    assert diversity(images[2:], None) == 0


def test_the_distance_of_an_average_is_a_share_of_the_weights_length():
    average, network = torch.nn.Linear(2, 1, bias=False), torch.nn.Linear(2, 1, bias=False)
    average.weight.data, network.weight.data = torch.tensor([[3.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    assert relative_distance(average, network) == pytest.approx(4 / 5)


def test_a_collapsed_loss_scale_of_fp16_is_told_once_with_the_way_out():
    alarm = ScaleCollapses()
    for scale in (65536.0, 1.0):
        assert alarm.look({"loss_scale_generator": scale, "loss_scale_discriminator": 65536.0}) is None
    told = alarm.look({"loss_scale_generator": 0.5, "loss_scale_discriminator": 65536.0})
    assert "has fallen to 0.5" in told and "train.amp=bf16" in told
    assert alarm.look({"loss_scale_generator": 0.25}) is None
    assert ScaleCollapses().look({"mse": 0.1}) is None
