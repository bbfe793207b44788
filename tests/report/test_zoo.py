"""The zoo's command: what it keeps, what it skips, and the whole way from a row to its picture."""

import io
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from models.autoencoders.export import export_autoencoder
from models.autoencoders.kl import KLAutoencoder
from report import looks, zoo
from report.looks import COLUMNS, LARGEST, LOOKS, confusions, dishes_read_back, packed
from report.zoo import results, rows_of_the_zoo
from tests.runs import write_config
from training.launch import load_trainer
from utils.images import NAME_WIDTH


@pytest.fixture
def cages(tmp_path, monkeypatch):
    """A folder of its own for what the zoo keeps."""
    monkeypatch.setattr(zoo, "ZOO", tmp_path / "zoo")
    (tmp_path / "zoo").mkdir()
    return tmp_path / "zoo"


@pytest.mark.parametrize(("noise", "columns"), [(4, COLUMNS), (256, 5)])
def test_a_grid_is_kept_with_as_many_whole_columns_as_fit(noise, columns):
    """Six rows and columns of 32 by 32: of pure noise, 34 * 206 * 3 bytes a column, 110 KB hold five."""
    pixels = np.random.default_rng(0).integers(0, noise, (6 * 34 + 2, NAME_WIDTH + COLUMNS * 34 + 2, 3), dtype=np.uint8)
    pixels[:, :NAME_WIDTH] = 255
    data = packed(Image.fromarray(pixels))
    kept = Image.open(io.BytesIO(data))
    assert len(data) <= LARGEST
    assert kept.width - NAME_WIDTH == columns * 34 and kept.height == 6 * 34 + 2
    assert np.array_equal(np.array(kept), pixels[:, : kept.width])


def test_there_is_a_look_for_every_row():
    studies = {load_trainer(row.words).config.inference.study for row in rows_of_the_zoo().values()}
    assert studies == set(LOOKS)


def test_an_autoencoder_is_shown_by_drawn_dishes_and_what_it_makes_of_them(tmp_path):
    """One whose decoder's last layer is zero makes everything mid-grey: 127.5 rounds to the even 128."""
    arguments = {"image_size": 16, "image_channels": 3, "base_channels": 8, "channel_mult": [1], "blocks_per_level": 1}
    network = KLAutoencoder(**arguments)
    for parameter in network.decoder[-2].parameters():
        parameter.data.zero_()
    export_autoencoder(tmp_path / "autoencoder.safetensors", network, "kl_autoencoder", arguments, {})
    sheet = np.array(Image.open(io.BytesIO(dishes_read_back(tmp_path))))
    assert sheet.shape == (2 * len(looks.DRAWN) * 20, NAME_WIDTH + COLUMNS * 18, 3)
    drawn, read_back = sheet[2:18, NAME_WIDTH + 2 : NAME_WIDTH + 18], sheet[22:38, NAME_WIDTH + 2 : NAME_WIDTH + 18]
    assert drawn.std() > 10 and (read_back == 128).all()


def test_confusions_are_black_where_everything_is_taken_for_one_class(tmp_path):
    """Two classes: all four of the first are named right; of the second one in four, and the root of 1/4 is 1/2."""
    (tmp_path / "confusion.csv").write_text("shown \\ named,bun,roll\nbun,4,0\nroll,3,1\n")
    cells = np.array(Image.open(io.BytesIO(confusions(tmp_path))))[1 :: looks.CELL, 1 :: looks.CELL]
    assert cells.tolist() == [[0, 255], [round(255 * (1 - 0.75**0.5)), 128]]


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
    classes = ["inference.classes=[pizza,sushi]", "inference.num_images=12", "train.val_metrics=[]"]
    monkeypatch.setitem(LOOKS, "sample", replace(LOOKS["sample"], study=tuple(classes)))
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
def test_families_that_draw_nothing_have_pictures_and_figures_too_and_a_row_may_need_another_s_export(
    cages, tmp_path, monkeypatch, capfd
):
    """Latent diffusion on the autoencoder's row, and a classifier; the autoencoder's export is not there at first."""
    classes = ["inference.classes=[pizza,sushi]", "inference.num_images=12", "train.val_metrics=[]"]
    monkeypatch.setitem(LOOKS, "sample", replace(LOOKS["sample"], study=tuple(classes)))
    monkeypatch.setattr(zoo, "write_page", lambda: None)
    files = {family: str(write_config(tmp_path, family)) for family in ("autoencoder", "diffusion", "supervised")}
    latent = {"config": files["diffusion"], "needs": {"codec_args.path": "kl"}, "set": ["train.codec=autoencoder"]}
    rows = {"kl": {"config": files["autoencoder"], "set": []}, "latent": latent}
    rows["classifier"] = {"config": files["supervised"], "set": []}
    (cages / "rows.yaml").write_text(json.dumps({"shared": ["exp.device=cpu"], "rows": rows}))
    words = ["minutes=0.02", f"out={tmp_path / 'runs'}"]
    with pytest.raises(SystemExit):
        command(monkeypatch, capfd, *words, "rows=[latent]")
    assert f"latent needs what kl leaves in {tmp_path / 'runs'}: rows=[kl,...] first" in capfd.readouterr().out
    command(monkeypatch, capfd, *words)
    assert set(results()) == set(rows)
    assert set(results()["kl"]["results"]) == {"psnr", "ssim"} and results()["latent"]["results"] == {}
    assert "accuracy" in results()["classifier"]["results"]
    assert all((cages / f"{name}.png").stat().st_size <= LARGEST for name in rows)


@pytest.mark.slow
def test_a_row_that_fails_leaves_nothing_and_is_named(cages, tmp_path, monkeypatch, capfd):
    rows = {"bad": {"config": str(tmp_path / "none.yaml"), "set": []}}
    (cages / "rows.yaml").write_text(json.dumps({"shared": [], "rows": rows}))
    monkeypatch.setattr(zoo, "write_page", lambda: None)
    with pytest.raises(SystemExit):
        command(monkeypatch, capfd, "minutes=0.02", f"out={tmp_path / 'runs'}")
    assert "these rows failed: bad" in capfd.readouterr().err and results() == {}
