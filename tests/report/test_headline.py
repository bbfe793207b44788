"""The table that README.md opens with says what the records say."""

import json
from pathlib import Path

import pytest
import yaml

from report.headline import FULL, LINES, PLACE, ROOT, Model, headline, main, written
from tests.fid_weights import random_weights, torch_home  # noqa: F401 - fixtures
from tests.helpers import one_error_line
from tests.runs import words, write_config
from utils.config import read_yaml
from utils.schema import bind

MODELS = {name: bind(Model, tree) for name, tree in read_yaml(ROOT / "report" / "headline.yaml").items()}
PAGE = "before\n\n<!-- python3 -m report.headline writes this table -->\n\nold\n\n<!-- end -->\n\nafter\n"


def test_readme_has_the_table_of_the_records_there_are():
    assert PLACE.search((ROOT / "README.md").read_text())[0] == headline(ROOT, MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_names_configs_that_are_there(name):
    assert (ROOT / MODELS[name].train).exists() and (ROOT / MODELS[name].inference).exists()


def record(folder: Path, results: dict, **more: dict) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    origin = {"real_content": "a", "training_images_seen": 64_000, "evaluations_per_image": 32, "parameters": 2_000_000}
    (folder / "metrics.json").write_text(json.dumps({"results": results, "origin": origin} | more))
    return str(folder / "metrics.json")


def test_a_column_has_value_spread_floor_and_excess_and_the_full_fid_once_it_is_there(tmp_path):
    floor = {"floor": {"results": {"fid768": {"mean": 0.07, "std": 0.001}}}, "class_fidelity": {"fidelity": 0.25}}
    file = record(tmp_path / "m", {"fid768": 0.5, "kid768": 0.004}, std={"fid768": 0.011}, analyses=floor)
    models = {
        "m": Model(records=[file], train="", inference=""),
        "not_there": Model(records=["nowhere.json"], train="", inference=""),
    }
    lines = [line.strip("| ").split(" | ") for line in headline(tmp_path, models).splitlines()[2:]]
    row = dict(lines)
    assert list(row) == LINES
    assert row["fid768"] == "0.500 ± 0.011"
    assert row["fid768 of real photos: the floor"] == "0.0700 ± 0.0010"
    assert row["fid768: excess over the floor"] == "0.430"
    assert row["1,000 x kid768"] == "4.00" and row["class fidelity"] == "0.250" and row["parameters"] == "2.0 M"
    assert row["FID (2,048 dims)"] == "–" and "not_there" not in headline(tmp_path, models)
    (tmp_path / "m" / FULL).write_text(json.dumps({"results": {"fid": 25.84}}))
    assert headline(tmp_path, models).endswith("| 25.84 |")


def test_records_of_different_photos_make_no_column(tmp_path):
    files = [record(tmp_path / "a", {}), record(tmp_path / "b", {})]
    other = json.loads(Path(files[1]).read_text())
    other["origin"]["real_content"] = "other"
    Path(files[1]).write_text(json.dumps(other))
    with pytest.raises(Exception, match="different photos"):
        headline(tmp_path, {"m": Model(records=files, train="", inference="")})


def test_only_the_table_of_a_page_changes_and_a_page_without_place_is_one_line(tmp_path, capsys):
    assert written(PAGE, "new") == PAGE.replace("old", "new")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "headline.yaml").write_text("{}")
    (tmp_path / "README.md").write_text("nothing")
    assert "put them back" in one_error_line(capsys, main, [f"root={tmp_path}"])
    assert "Did you mean 'food101_edm_cpu'" in one_error_line(capsys, main, ["judge=food101_edm_cup"])
    assert "checkpoint=FILE" in one_error_line(capsys, main, ["judge=food101_edm_cpu"])


@pytest.mark.slow
def test_a_model_is_judged_at_2048_dims_by_the_command_of_the_readme(tmp_path, random_weights, monkeypatch):  # noqa: F811
    import train

    monkeypatch.setenv("FID_WEIGHTS", str(random_weights))
    config = write_config(tmp_path, "gan", {"metrics_args.fid.weights_path": str(random_weights)})
    train.main(words(config, tmp_path / "runs", "exp.run_name=mine"))
    (tmp_path / "report").mkdir()
    tree = {"records": [record(tmp_path / "kept", {})], "train": str(config), "inference": str(config)}
    (tmp_path / "report" / "headline.yaml").write_text(yaml.safe_dump({"mine": tree}))
    (tmp_path / "README.md").write_text(PAGE)
    (checkpoint,) = sorted((tmp_path / "runs").rglob("step_*.pt"))[-1:]
    more = f"set=[exp.exp_dir={tmp_path / 'runs'},exp.run_name=mine,exp.device=cpu]"
    main([f"root={tmp_path}", "judge=mine", f"checkpoint={checkpoint}", more])
    fid = json.loads((tmp_path / "kept" / FULL).read_text())["results"]["fid"]
    assert f"| {fid:.2f} |" in (tmp_path / "README.md").read_text()
