"""From minutes to a published model: how long, which settings, and going on after a failure."""

import json
from pathlib import Path

import pytest

from report.best import CHOICES, Best, Settings
from training.posthoc_ema import coefficients, gamma_of, product
from utils.config import load_tree
from utils.errors import ConfigError, DataError
from utils.schema import bind

ROOT = Path(__file__).parents[2]
CONFIG = "configs/quickstart.yaml"  # batches of 32
BEST = [ROOT / "configs" / family / "food101_best.yaml" for family in CHOICES]
PUBLIC = "configs/diffusion/baseline_public.yaml"  # batches of 64


class Pretended(Best):
    """Leaves what the commands would leave, at 640 images a second, with known figures on dev."""

    fails_at: str | None = None
    fid = "fid"
    figures = {"inference.ema_width=0.05": 3.0, "inference.ema_width=0.1": 2.0, "train.guidance=cfg": 1.5}

    def call(self, script: str, config: str, words: list[str]) -> None:
        self.calls = [*getattr(self, "calls", []), (script, words)]
        if self.fails_at and any(self.fails_at in word for word in words):
            raise DataError("this failed")
        said = dict(word.split("=", 1) for word in words)
        if script == "train.py":
            folder = self.out / said["exp.run_name"]
            folder.mkdir(parents=True, exist_ok=True)
            lines = [{"step": step, "images_per_second": speed} for step, speed in ((1, 20), (2, 640), (3, 660))]
            (folder / "timing.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
            return
        folder = Path(said["inference.out_dir"])
        folder.mkdir(parents=True, exist_ok=True)
        value = min((figure for word, figure in self.figures.items() if word in words), default=9.0)
        (folder / "metrics.json").write_text(json.dumps({"results": {"fid_se": 0.1, self.fid: value}, "origin": {}}))

    def card(self) -> None:
        self.calls.append(("card", [str(self.published)]))


def settings(tmp_path: Path, **changed) -> Settings:
    asked = {"config": CONFIG, "minutes": 0.5, "widths": [0.05, 0.1], "guidance": ["train.guidance=cfg"]}
    return Settings(out=str(tmp_path), **asked | changed)


def test_as_many_steps_as_the_minutes_hold(tmp_path):
    """Half a minute at the median of 640 images a second is 600 batches of 32."""
    best = Pretended(settings(tmp_path))
    best.run()
    assert best.record["steps"] == 600
    trained = next(words for script, words in best.calls if "exp.run_name=quickstart" in words)
    assert {"train.steps=600", "train.checkpoint_step=30"} <= set(trained)


def test_settings_are_chosen_on_dev_and_only_the_result_sees_the_test_split(tmp_path, capsys):
    best = Pretended(settings(tmp_path))
    best.run()
    assert (best.record["width"], best.record["guidance"]) == ("inference.ema_width=0.1", "train.guidance=cfg")
    assert best.record["width_on_dev"] == {"inference.ema_width=0.05": 3.0, "inference.ema_width=0.1": 2.0}
    inferred = [words for script, words in best.calls if script == "inference.py"]
    judged = [words for words in inferred if "inference.study=export" not in words]
    assert ["inference.split=dev" in words for words in judged] == [True] * 4 + [False]
    shipped = tmp_path / "checkpoints" / "quickstart"
    assert f"train.checkpoint_path={shipped}" in judged[-1]  # the shipped weights are those evaluated
    assert "train.guidance=cfg" in judged[-1]
    assert best.calls[-1] == ("card", [str(shipped)])


def test_the_same_command_goes_on_where_it_failed(tmp_path):
    first = Pretended(settings(tmp_path))
    first.fails_at = "inference.study=export"
    with pytest.raises(DataError):
        first.run()
    second = Pretended(settings(tmp_path))
    second.run()
    assert [script for script, _ in second.calls] == ["inference.py"] * 2 + ["card"]  # the export and the result
    assert second.record["results"]["results"]["fid"] == 1.5
    assert second.record["seconds"].keys() == {"steps", "trained", "width", "guidance", "exported", "results"}


def test_another_experiment_does_not_go_on_in_the_folder(tmp_path):
    Pretended(settings(tmp_path)).run()
    with pytest.raises(ConfigError, match=r"holds a run of configs/quickstart\.yaml: name another folder"):
        Pretended(settings(tmp_path, config=PUBLIC))


def test_a_gan_chooses_the_width_of_its_average_and_asks_for_no_guidance(tmp_path):
    best = Pretended(settings(tmp_path, config=str(BEST[1]), guidance=None))
    best.run()
    assert best.name == "food101_best_gan"  # not the diffusion model's, whose config has the same file name
    assert best.record["width"] == "inference.ema_width=0.1" and best.record["guidance"] == ""
    inferred = [words for script, words in best.calls if script == "inference.py"]
    assert len(inferred) == 4 and not any("guidance" in word for words in inferred for word in words)


def test_without_choices_a_recipe_is_trained_exported_and_judged_as_it_is(tmp_path):
    """Half a minute at 640 images a second is 300 batches of 64; no snapshots are wanted, so checkpoints are few."""
    best = Pretended(settings(tmp_path, config=PUBLIC, widths=[], guidance=[]))
    best.run()
    inferred = [words for script, words in best.calls if script == "inference.py"]
    assert ["inference.split=dev" in words for words in inferred] == [False, False]
    assert (best.record["width"], best.record["guidance"]) == ("", "")
    trained = next(words for script, words in best.calls if "exp.run_name=baseline_public" in words)
    assert {"train.steps=300", "train.checkpoint_step=75"} <= set(trained)


def test_the_metric_has_the_name_of_its_dims(tmp_path):
    best = Pretended(settings(tmp_path))
    best.fid = "fid768"
    best.run()
    assert best.record["width"] == "inference.ema_width=0.1"
    with pytest.raises(ConfigError, match="metric=kid is not among the results: fid_se, fid"):
        Pretended(settings(tmp_path / "kid", metric="kid")).run()


def test_a_metric_of_which_much_is_good_is_refused_as_the_lowest_is_chosen():
    with pytest.raises(ConfigError, match="metric=.*recall.*'fid' or 'kid'"):
        bind(Settings, {"config": "x", "out": "y", "metric": "recall"})


def test_a_family_that_makes_no_images_has_no_best_model(tmp_path):
    classifier = "configs/supervised/food101_classifier.yaml"
    with pytest.raises(ConfigError, match="family supervised: report.best trains diffusion and gan"):
        Best(settings(tmp_path, config=classifier))


@pytest.mark.parametrize("config", [*BEST, PUBLIC], ids=str)
def test_the_inference_config_of_the_numbers_is_found_by_the_run_s_name(config, tmp_path):
    best = Best(settings(tmp_path, config=str(config)))
    numbers = load_tree([f"exp.config_path={best.inference}"])
    assert numbers["exp"]["run_name"] == best.name
    assert {"fid", "kid", "prdc"} <= set(numbers["train"]["val_metrics"])


def relative_error(widths: list[float], wanted: float, snapshots: int = 20) -> float:
    """Return |p - q| / |p| for the profile p of a width and q, its nearest sum of the snapshots' profiles."""
    gamma = gamma_of(wanted)
    parts = [(i / snapshots, gamma_of(width)) for i in range(1, snapshots + 1) for width in widths]
    factors = coefficients(*zip(*parts), 1.0, gamma)
    inner = sum(factor * product(*part, 1.0, gamma) for factor, part in zip(factors, parts))
    square = sum(f * g * product(*p, *q) for f, p in zip(factors, parts) for g, q in zip(factors, parts))
    whole = product(1.0, gamma, 1.0, gamma)
    return max(1 - 2 * inner / whole + square / whole, 0.0) ** 0.5


@pytest.mark.parametrize("config", BEST, ids=str)
def test_every_width_that_is_tried_can_be_put_together_from_the_run_s_snapshots(config):
    """A single average of 0.05 would miss the width 0.02 by a third of its length."""
    tree = load_tree([f"exp.config_path={config}"])
    for width in CHOICES[tree["exp"]["model_type"]]["widths"]:
        assert relative_error(tree["ema_args"]["widths"], width) < 0.05
    assert relative_error([0.05], 0.02) > 0.3
