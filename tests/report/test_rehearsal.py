"""The whole way of report.best, every command for real: tiny networks, drawn dishes, a random Inception network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fid_weights import random_weights, torch_home  # noqa: F401 - fixtures

ROOT = Path(__file__).parents[2]
DRAWN = ["exp.device=cpu", "data.dataset=synthetic", "data.input_train_dir=null", "data.input_val_dir=null",
         "dataset_args.num_images=100", "data.dev_per_class=2", "data.image_size=32", "data.train_batch_size=8",
         "inference.analyses=[]", "inference.seeds=2", "train.val_num_images=10"]  # fmt: skip
TINY = {
    "gan": ["generator_args.widths=[16,16,16,16]", "discriminator_args.widths=[16,16,16,16]"],
    "diffusion": ["model_args.base_channels=16", "model_args.head_channels=16", "model_args.blocks_per_level=1",
                  "sampling_levels_args.steps=4"],
}  # fmt: skip
ASKED = {"gan": [], "diffusion": ["guidance=['train.guidance=cfg guidance_args.scale=1.5']"]}


@pytest.mark.slow
@pytest.mark.parametrize("family", TINY)
def test_both_best_models_go_all_the_way(family, tmp_path, random_weights):  # noqa: F811
    out = tmp_path / "out"
    words = [f"config=configs/{family}/food101_best.yaml", f"out={out}", "minutes=0.01", "speed_steps=4"]
    words += ["widths=[0.05,0.1]", *ASKED[family], f"set={json.dumps([*DRAWN, *TINY[family]])}"]
    surroundings = os.environ | {"FID_DIMS": "64", "FID_WEIGHTS": str(random_weights)}
    subprocess.run([sys.executable, "-m", "report.best", *words], cwd=ROOT, env=surroundings, check=True)
    record = json.loads((out / "best.json").read_text())
    assert record["steps"] == 20 and len(record["width_on_dev"]) == 2
    assert record["width"] == min(record["width_on_dev"], key=record["width_on_dev"].get)
    (model,) = (out / "checkpoints").iterdir()
    numbers = json.loads((model / "metrics.json").read_text())
    assert numbers["origin"]["checkpoint"]["file"] == model.name and numbers["origin"]["sampling_seeds"] == [42, 43]
    assert numbers["origin"]["weights"]["width"] == float(record["width"].partition("=")[2])
    assert f"| fid64 | {numbers['results']['fid64']:.4g} |" in (model / "README.md").read_text()
    assert json.loads((model / "choices.json").read_text())["width_on_dev"] == record["width_on_dev"]
