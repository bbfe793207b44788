"""The real compiler: slow, so ``make test`` compiles without generating code, and ``make check`` does this."""

import json
import shutil
import subprocess
import sys

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


@pytest.mark.parametrize(
    ("family", "words_of"),
    [*((family, ["train.compile=on"]) for family in FAMILIES), ("diffusion", ["train.compile=graphs"]),
     ("gan", ["train.compile=on", "train.channels_last=true"])],
)  # fmt: skip
def test_compiled_training_has_the_losses_of_eager_training(family, words_of, tmp_path):
    """Three steps from the same weights with the same numbers; fused operations round differently.

    Without a GPU ``graphs`` compiles and records nothing.
    """
    losses = {}
    counters.clear()
    for switch, more in (("off", ["train.compile=off"]), ("on", words_of)):
        short = {"train.steps": 3, "train.log_step": 1, "train.val_step": 3}
        config = write_config(tmp_path, family, short | without_dropout(family))
        train.main(words(config, tmp_path / switch, *more))
        lines = map(json.loads, (tmp_path / switch / family / "metrics.jsonl").read_text().splitlines())
        losses[switch] = [{k: v for k, v in line.items() if "val_" not in k} for line in lines]
    assert counters["stats"]["unique_graphs"] > 0  # it did compile
    assert len(losses["on"]) == len(losses["off"]) >= 3
    for eager, compiled in zip(losses["off"], losses["on"]):
        assert compiled == pytest.approx(eager, rel=1e-5, abs=1e-6)


BUCKETS = """
import sys
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(512, 512) for _ in range(6)])  # 1 MiB each

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).relu()
        return x

class Predict(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, x):
        return self.backbone(x)

def backend(graph, inputs):
    print("a graph")
    return graph.forward

distributed.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=0, world_size=1)
backbone = Layers()
backbone.compile(backend=backend)
DistributedDataParallel(Predict(backbone), bucket_cap_mb=2)(torch.ones(2, 512)).sum().backward()
distributed.destroy_process_group()
"""


def test_a_compiled_network_is_cut_so_that_buckets_can_go_early(tmp_path):
    """As our networks are: compiled in place, inside what is wrapped. Whole, it would be one graph, sent at its end."""
    words = [sys.executable, "-c", BUCKETS, str(tmp_path / "store")]
    told = subprocess.run(words, capture_output=True, text=True, check=True)
    assert told.stdout.count("a graph") > 2
