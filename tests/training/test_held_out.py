"""What a run in training is judged on, and that the names of its figures say so."""

import shutil

import pytest

from metrics.registry import features_registry
from tests.evaluation.conftest import Colours
from tests.helpers import trainer_of, write_image_folder
from tests.runs import FAMILIES
from training.data import open_training_data

METRICS = {"supervised": ["classification"], "autoencoder": ["psnr", "fid"]}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("per_class", [0, 1])
def test_figures_of_the_test_split_are_named_after_it_and_set_up_says_so(
    family, per_class, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(features_registry.classes, "inception", Colours)
    changes = {"train.val_metrics": METRICS.get(family, ["fid"]), "data.dev_per_class": per_class}
    if family != "supervised":
        changes["metrics_args.fid.dims"] = 64
    trainer = trainer_of(tmp_path, family, changes=changes)
    trainer.setup()
    trainer.validation.pictures()
    judged = trainer.validation.figures().keys() - {"val_diversity"}
    assert judged and all(name.startswith("val_test_") == (per_class == 0) for name in judged)
    assert ("validation looks at the test split" in capsys.readouterr().out) == (per_class == 0)


def test_copies_of_a_dev_photo_are_left_out_counted_and_listed(tmp_path):
    photos = write_image_folder(tmp_path / "photos", {"a": 6, "b": 6})
    folder = {"data.dataset": "base_dataset", "dataset_args": {}, "data.input_train_dir": str(photos)}
    trainer = trainer_of(tmp_path, "gan", changes={**folder, "data.dev_per_class": 1})
    shown, said = open_training_data(trainer.roles, lambda line: None).dev.files[0], []
    shutil.copy(photos / shown, photos / "a" / "copy.png")
    data = open_training_data(trainer.roles, said.append)
    assert {data.leaks[0].train_file, data.leaks[0].test_file} == {shown, "a/copy.png"} and len(data.leaks) == 1
    assert said == ["10 training images, 2 held out to choose settings on, 1 that show one of these left out"]
