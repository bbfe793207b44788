"""The zoo's command: what it keeps, what it skips, and the whole way from a row to its picture."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from report import zoo
from report.zoo import COLUMNS, LARGEST, keep_small, results
from tests.runs import write_config
from utils.images import NAME_WIDTH


@pytest.fixture
def cages(tmp_path, monkeypatch):
    """A folder of its own for what the zoo keeps."""
    monkeypatch.setattr(zoo, "ZOO", tmp_path / "zoo")
    (tmp_path / "zoo").mkdir()
    return tmp_path / "zoo"


@pytest.mark.parametrize(("noise", "columns"), [(4, COLUMNS), (256, 2)])
def test_a_grid_is_kept_with_as_many_whole_columns_as_fit(tmp_path, noise, columns):
    """Six rows and columns of 32 by 32: of pure noise, 34 * 206 * 3 bytes a column, 60 KB hold two."""
    pixels = np.random.default_rng(0).integers(0, noise, (6 * 34 + 2, NAME_WIDTH + COLUMNS * 34 + 2, 3), dtype=np.uint8)
    pixels[:, :NAME_WIDTH] = 255
    Image.fromarray(pixels).save(tmp_path / "grid.png")
    keep_small(tmp_path / "grid.png", tmp_path / "kept.png")
    kept = Image.open(io.BytesIO((tmp_path / "kept.png").read_bytes()))
    assert (tmp_path / "kept.png").stat().st_size <= LARGEST
    assert kept.width - NAME_WIDTH == columns * 34 and kept.height == 6 * 34 + 2
    assert np.array_equal(np.array(kept), pixels[:, : kept.width])


def command(monkeypatch, capsys, *words: str) -> str:
    """Run the command as a shell would; return what it prints."""
    monkeypatch.setattr(sys, "argv", ["zoo", *words])
    zoo.main()
    return capsys.readouterr().out


def test_an_unknown_row_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["zoo", "minutes=1", "rows=[dcgna]"])
    with pytest.raises(SystemExit):
        zoo.main()
    assert "rows: 'dcgna' is not in report/zoo/rows.yaml. Did you mean 'dcgan'?" in capsys.readouterr().err


@pytest.mark.slow
def test_a_row_is_trained_sampled_and_kept_and_then_skipped(cages, tmp_path, monkeypatch, capfd):
    """With the project's own commands, on drawn dishes."""
    monkeypatch.setattr(zoo, "CLASSES", ["pizza", "sushi"])
    config = write_config(tmp_path, "gan")
    rows = {"tiny": {"config": str(config), "set": ["train.disc_steps=2"]}}
    (cages / "rows.yaml").write_text(json.dumps({"shared": ["exp.device=cpu"], "rows": rows}))
    written = []
    monkeypatch.setattr(zoo, "write_page", lambda: written.append(1))
    command(monkeypatch, capfd, "minutes=0.02", f"out={tmp_path / 'runs'}")
    line = results()["tiny"]
    assert line["steps"] >= 1 and line["images"] == 16 * line["steps"]
    assert set(line["losses"]) >= {"softplus_gen", "softplus_disc"}
    assert (
        line["command"].startswith("python3 train.py exp.config_path=")
        and str(tmp_path / "runs") not in line["command"]
    )
    assert (cages / "tiny.png").stat().st_size <= LARGEST and written
    assert "tiny: done already" in command(monkeypatch, capfd, "minutes=0.02", f"out={tmp_path / 'runs'}")


@pytest.mark.slow
def test_a_row_that_fails_leaves_nothing_and_is_named(cages, tmp_path, monkeypatch, capfd):
    rows = {"bad": {"config": str(tmp_path / "none.yaml"), "set": []}}
    (cages / "rows.yaml").write_text(json.dumps({"shared": [], "rows": rows}))
    monkeypatch.setattr(zoo, "write_page", lambda: None)
    with pytest.raises(SystemExit):
        command(monkeypatch, capfd, "minutes=0.02", f"out={tmp_path / 'runs'}")
    assert "these rows failed: bad" in capfd.readouterr().err and results() == {}
