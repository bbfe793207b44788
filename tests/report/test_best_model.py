"""From minutes to a published model: how long, which settings, and going on after a failure."""

import json
from pathlib import Path

import pytest

from report.best import Best, Settings
from utils.errors import DataError

CONFIG = "configs/quickstart.yaml"  # batches of 32


class Pretended(Best):
    """Leaves what the commands would leave, at 640 images a second, with known figures on dev."""

    fails_at: str | None = None
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
        (folder / "metrics.json").write_text(json.dumps({"results": {"fid": value}}))


def settings(tmp_path: Path) -> Settings:
    return Settings(config=CONFIG, out=str(tmp_path), minutes=0.5, widths=[0.05, 0.1], guidance=["train.guidance=cfg"])


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
    assert f"train.checkpoint_path={tmp_path / 'export'}" in judged[-1]  # the shipped weights are those evaluated
    assert "train.guidance=cfg" in judged[-1]


def test_the_same_command_goes_on_where_it_failed(tmp_path):
    first = Pretended(settings(tmp_path))
    first.fails_at = "inference.study=export"
    with pytest.raises(DataError):
        first.run()
    second = Pretended(settings(tmp_path))
    second.run()
    assert [script for script, _ in second.calls] == ["inference.py"] * 2  # the export and the result
    assert second.record["results"]["results"] == {"fid": 1.5}
