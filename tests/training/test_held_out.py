"""What a run in training is judged on, and that the names of its figures say so."""

import pytest

from metrics.registry import features_registry
from tests.evaluation.conftest import Colours
from tests.helpers import trainer_of
from tests.runs import FAMILIES

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
