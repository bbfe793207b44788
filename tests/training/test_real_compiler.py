"""The real compiler: slow, so ``make test`` compiles without generating code, and ``make check`` does this."""

import json
import shutil

import pytest
from torch._dynamo.utils import counters

import train
from tests.runs import FAMILIES, words, write_config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler on this machine"),
    # What the compiler says of itself while it works is no business of ours.
    pytest.mark.filterwarnings("ignore"),
]


def without_dropout(family: str) -> dict[str, float]:
    """Compiled dropout draws other numbers."""
    return {"model_args.dropout": 0.0} if "dropout" in FAMILIES[family].get("model_args", {}) else {}


@pytest.mark.parametrize("family", FAMILIES)
def test_compiled_training_has_the_losses_of_eager_training(family, tmp_path):
    """Three steps from the same weights with the same numbers; fused operations round differently."""
    losses = {}
    counters.clear()
    for switch in ("off", "on"):
        short = {"train.steps": 3, "train.log_step": 1, "train.val_step": 3}
        config = write_config(tmp_path, family, short | without_dropout(family))
        train.main(words(config, tmp_path / switch, f"train.compile={switch}"))
        lines = map(json.loads, (tmp_path / switch / family / "metrics.jsonl").read_text().splitlines())
        losses[switch] = [{k: v for k, v in line.items() if "val_" not in k} for line in lines]
    assert counters["stats"]["unique_graphs"] > 0  # it did compile
    assert len(losses["on"]) == len(losses["off"]) >= 3
    for eager, compiled in zip(losses["off"], losses["on"]):
        assert compiled == pytest.approx(eager, rel=1e-5, abs=1e-6)
