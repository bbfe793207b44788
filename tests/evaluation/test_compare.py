"""``evaluate.py`` as a person uses it, with Inception's first layers and random weights."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from PIL import Image

from evaluate import main as evaluate_main
from evaluation.analysis import Analysis
from evaluation.compare import Settings, compare_folders
from evaluation.registry import analyses_registry
from metrics.fid import feature_distance
from metrics.inception import InceptionFeatures
from tests.evaluation.conftest import pictures
from utils.config import parse_overrides
from utils.errors import ConfigError, MetricError
from utils.schema import bind

ROOT = Path(__file__).parents[2]
DIMS, FID64 = "metrics_args.fid.dims=64", {"fid": {"dims": 64}}


def settings(**values) -> Settings:
    return Settings(**{key: str(value) if isinstance(value, Path) else value for key, value in values.items()})


@pytest.fixture
def folders(write, random_weights) -> dict[str, Path]:
    return {
        "real": write(pictures([4, 4], seed=1, size=16), "real"),
        "fake": write(pictures([4, 4], seed=2, size=16, shift=40), "fake"),
        "train": write(pictures([12, 12], seed=3, size=16), "train"),
    }


def evaluate(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "evaluate.py", *words], capture_output=True, text=True, cwd=ROOT)


def test_the_result_is_the_distance_of_the_features_and_says_where_it_comes_from(folders, random_weights):
    arguments = {"fid": {"dims": 64}, "prdc": {"k": 2}}
    record, _ = compare_folders(settings(**folders, metrics=["fid", "prdc", "floor"], metrics_args=arguments))
    network = InceptionFeatures(dims=64, weights_path=str(random_weights)).eval()
    with torch.no_grad():
        features = [network(pictures([4, 4], seed=s, size=16, shift=shift).images) for s, shift in ((1, 0), (2, 40))]
    assert record["results"]["fid64"] == pytest.approx(feature_distance(*features), rel=1e-4)
    assert record["analyses"]["floor"]["results"]["fid64"]["mean"] < record["results"]["fid64"]
    origin = record["origin"]
    assert origin["counts_by_class"] == {side: {"cake": 4, "soup": 4} for side in ("real", "fake")}
    assert (origin["split"], origin["image_size"], origin["files"]["fake"]) == ("test", 16, {".png": 8})
    assert origin["features"]["fid"]["dims"] == 64 and len(origin["features"]["fid"]["weights_sha256"]) == 64


def test_the_command_prints_a_table_and_writes_the_record(folders, tmp_path):
    told = evaluate(
        f"real={folders['real']}", f"fake={folders['fake']}", "metrics=[fid]", DIMS, f"out={tmp_path}/r.json"
    )
    assert told.returncode == 0, told.stderr
    record = json.loads((tmp_path / "r.json").read_text())
    assert f"fid64  {record['results']['fid64']:.4g}" in told.stdout
    again = evaluate(f"table=[{tmp_path}/r.json,{tmp_path}/r.json]")
    assert again.stdout.count(f"{tmp_path}/r.json") == 1  # one name, one line
    assert evaluate().stdout.startswith("Compares two folders")


def test_kid_alone_takes_the_settings_that_are_fid_s(folders):
    words = settings(**folders, metrics=["kid"], metrics_args={"fid": {"dims": 64}})
    assert "kid64" in compare_folders(words)[0]["results"]


def test_jpeg_is_another_protocol(folders):
    plain, jpeg = (
        compare_folders(settings(**folders, metrics=["fid"], metrics_args={"fid": {"dims": 64}}, protocol=protocol))[0]
        for protocol in ("lossless", "jpeg")
    )
    assert plain["results"] != jpeg["results"]
    assert jpeg["origin"]["file_format"] == "both sides saved again as JPEG 75"


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_generated_jpeg_files_never_pass_as_lossless_whatever_they_are_called(folders, suffix):
    arguments = {"metrics": ["fid"], "metrics_args": {"fid": {"dims": 64}}}
    plain = compare_folders(settings(**folders, **arguments))[0]
    assert plain["origin"]["file_format"] == "lossless"
    for file in folders["fake"].rglob("*.png"):
        Image.open(file).save(file.with_suffix(suffix), "JPEG")
        if suffix != ".png":
            file.unlink()
    with pytest.raises(MetricError, match=r"is a JPEG file.*set protocol=jpeg"):
        compare_folders(settings(**folders, **arguments))
    jpeg = compare_folders(settings(**folders, **arguments, protocol="jpeg"))[0]
    assert jpeg["origin"]["file_format"] == "both sides saved again as JPEG 75"


def test_the_record_says_with_what_it_was_made_and_where_inference_says_the_images_come_from(folders):
    arguments = {"metrics": ["fid"], "metrics_args": {"fid": {"dims": 64}}}
    made = {"checkpoint": {"sha256": "abc"}, "images": 8}
    folders["fake"] = folders["fake"].rename(folders["fake"].with_name("images"))
    assert compare_folders(settings(**folders, **arguments))[0]["origin"]["generated_by"] is None
    (folders["fake"].parent / "metrics.json").write_text(json.dumps({"results": {}, "origin": made}))
    origin = compare_folders(settings(**folders, **arguments))[0]["origin"]
    assert origin["generated_by"] == made
    assert origin["environment"]["packages"]["torch"] == version("torch") and "commit" in origin["environment"]
    (folders["fake"].parent / "metrics.json").write_text(json.dumps({"origin": made | {"images": 9}}))
    assert (
        compare_folders(settings(**folders, **arguments))[0]["origin"]["generated_by"] is None
    )  # others lie there now


def test_what_an_analysis_misses_is_told_before_the_long_work(folders, tmp_path):
    with pytest.raises(MetricError, match="class_fidelity needs a classifier"):
        compare_folders(
            settings(**folders, metrics=["fid", "class_fidelity"], metrics_args={"fid": {"dims": 64}}),
            keep=lambda *_: pytest.fail("the metrics were computed first"),
        )


def test_what_cannot_be_compared_is_told_before_the_training_images_are_opened(folders, write):
    fake = write(pictures([4, 3], seed=2, size=16), "fewer")
    with pytest.raises(MetricError, match="7 generated images, 8 real"):
        compare_folders(settings(real=folders["real"], fake=fake, train="no/such/folder", metrics_args=FID64))


def test_a_home_folder_may_be_written_as_a_tilde(folders, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(folders["real"].parent))
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "real=~/real", "fake=~/fake", "metrics=[fid]", DIMS, "out=~/r"])
    evaluate_main()
    assert json.loads((folders["real"].parent / "r").read_text())["origin"]["settings"]["real"] == str(folders["real"])


class Failing(Analysis):
    """Finds out in the middle that it cannot."""

    def prepare(self, subject):
        pass

    def run(self, subject):
        raise MetricError("no more")


def test_an_analysis_that_fails_takes_nothing_with_it(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(analyses_registry.classes, "failing", Failing)
    sides = [f"{name}={folders[name]}" for name in ("real", "fake", "train")]
    more = [DIMS, "metrics_args.floor.draws=2", "metrics=[fid,floor,failing]", f"out={tmp_path}/r.json"]
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *sides, *more])
    with pytest.raises(SystemExit) as stop:
        evaluate_main()
    told, record = capsys.readouterr(), json.loads((tmp_path / "r.json").read_text())
    assert stop.value.code == 3 and "no more" in told.err
    assert f"{record['results']['fid64']:.4g}" in told.out and set(record["analyses"]) == {"floor"}


def test_the_same_folder_twice_has_no_distance(folders):
    """A training folder inside of the reference is refused, but comparing a folder with itself is a sound check."""
    same = settings(real=folders["real"], fake=folders["real"], metrics=["fid"], metrics_args={"fid": {"dims": 64}})
    assert compare_folders(same)[0]["results"]["fid64"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["metrics=[fdi]"], r"metrics: no 'fdi'. Did you mean 'fid'\?"),
        (["metrics=[classification]"], "metrics: no 'classification'"),
        (["metrics=[]"], "leaves nothing to do"),
        (["out=."], r"out=\. is a folder: name a file in it"),
        (["metrics_args.fid.dmis=64"], "metrics_args.fid.dmis is not a config key"),
        (["reel=x"], r"reel is not a config key. Did you mean 'real'\?"),
        (["protocol=png"], "protocol"),
        ([DIMS], "real=DIR is missing"),
        (["real=x", "fake=y", "device=gpu"], "^device=gpu is not a device: use auto, cpu, cuda or cuda:0$"),
        (["real=x", "fake=y", "device=mps"], "^device=mps is not supported: use device=cpu"),
    ],
)
def test_wrong_words_are_one_line(words, message, random_weights):
    with pytest.raises(ConfigError, match=message):
        compare_folders(bind(Settings, parse_overrides(words)))


def test_without_generated_images_there_must_be_something_else_to_do(folders):
    with pytest.raises(ConfigError, match="fake=DIR is missing"):
        compare_folders(settings(real=folders["real"], metrics_args={"fid": {"dims": 64}}))


def test_a_file_that_is_no_record_is_one_line(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    for path, words in (
        (tmp_path / "a.json", "holds no results"),
        (tmp_path / "no.json", "cannot be read as a record"),
    ):
        told = evaluate(f"table=[{path}]")
        assert told.returncode == MetricError.exit_status
        assert words in told.stderr and told.stderr.count("\n") == 1
