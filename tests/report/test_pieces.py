"""The pieces that pages are made of: long curves, small files, the order of the telling, pictures cut up again."""

from pathlib import Path

import numpy as np
import pytest
import torch

from report.figures import MOST_POINTS, bin_size, thinned, wide_enough
from report.gallery import GAP, SHOWN, side_by_side
from report.keeping import COLUMNS, PADDING, enlargement, large_grid, read, save
from report.material import Material
from report.overview import shared
from report.photos import cut_row
from report.records import Experiment, Run, SamplingStudy
from report.svg import slim
from utils.images import NAME_WIDTH, labelled_grid


@pytest.mark.parametrize("length, size", [(3, 1), (150, 1), (151, 2), (1000, 7)])
def test_a_long_curve_is_drawn_by_the_means_of_bins(length, size):
    values = np.arange(length, dtype=float)
    means = [values[start : start + size].mean() for start in range(0, length, size)]
    assert bin_size(length) == size and len(means) <= MOST_POINTS
    np.testing.assert_allclose(thinned(values[None])[0], means)


def test_close_results_do_not_fill_the_axis_and_distant_ones_do():
    low, high = wide_enough(2.28, 2.31)
    assert high - low == pytest.approx(0.1 * 2.295) and (low + high) / 2 == pytest.approx(2.295)
    assert wide_enough(0.2, 2.5) == (0.2, 2.5)


def test_a_figure_loses_no_number_that_a_reader_sees():
    svg = '<style type="text/css"></style><text style="a" x="1.2345">0.125</text><path d="M 1.999 2"/>'
    found = slim(svg)
    assert ">0.125<" in found and 'x="1.2"' in found and "M 1.9 2" in found


def test_experiments_are_told_in_the_order_in_which_one_led_to_the_next():
    run = Run(Path(), {})
    nexts = {"a": ("none", "c, then b"), "b": ("a", "-"), "c": ("a", "d?"), "d": ("a", ""), "alone": ("a", "")}
    them = {name: Experiment(name, (run,), {"Baseline": base, "Next": to}) for name, (base, to) in nexts.items()}
    assert [it.name for it in Material("gan", Path(), them, {}).told] == ["a", "c", "b", "d", "alone"]


def test_what_all_rows_share_is_said_once():
    rows = [{"name": "a", "steps": "4", "fid": "1"}, {"name": "b", "steps": "4", "fid": "2"}]
    assert shared(rows, {"steps": "5"}) == "The same for all: steps 4 (real photos 5)."
    assert rows[0] == {"name": "a", "fid": "1"} and shared([{"name": "a"}], {}) == ""


def test_a_row_of_enlarged_images_is_cut_into_what_was_enlarged():
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(cut_row(large_grid(images, 3), 32), images)


def test_a_study_of_one_model_has_the_spread_of_its_sampling_seeds():
    record = {"results": {"fid": 2.0}, "values": {"fid": [1.0, 3.0]}, "origin": {"sampling_seeds": [42, 43]}}
    study = SamplingStudy("noise", "plain", {}, {"twice": [record], "two_models": [record, record]})
    assert study.result("twice", "fid").values == (1.0, 3.0) and study.seeds("twice") == "1, sampled 2 times"
    assert study.result("two_models", "fid").values == (2.0, 2.0)


def test_the_gallery_shows_two_kept_grids_class_by_class_and_no_others(tmp_path):
    kept = {}
    for number, name in enumerate(("diffusion: a", "gan: b")):
        images = torch.full((COLUMNS, 3, 32, 32), 100 * number + 50, dtype=torch.uint8)
        kept[name] = tmp_path / f"{number}.png"
        save(labelled_grid([("apple pie", images), ("soup", images)], enlargement(images)), kept[name])
    shown = side_by_side(Material("gan", tmp_path, {}, {}), kept)
    assert "Left: **diffusion: a**. Right: **gan: b**." in shown
    picture = read(tmp_path / "figures" / "gallery.png")[0]
    assert [picture[50, NAME_WIDTH + 50], picture[50, -50]] == [50, 150]
    assert picture.shape[1] == NAME_WIDTH + 2 * (PADDING + SHOWN * 98) + GAP
    save(torch.zeros(3, 50, 70, dtype=torch.uint8), kept["gan: b"])
    assert side_by_side(Material("gan", tmp_path, {}, {}), kept) == ""
