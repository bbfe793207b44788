"""From the command to the first optimizer step, in a process of its own: cold, and with what the first one left.

On a GPU the first start compiles; the second finds the compiled code in the cache folder.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import yaml

from benchmarks.measuring import Place, Row
from benchmarks.stepping import ROOT, tree_of

# What train.py does, up to the end of the first step.
FIRST_STEP = """
import sys
from training.launch import load_trainer
trainer = load_trainer(sys.argv[1:])
trainer.setup()
trainer.open_run()
trainer.images_seen += trainer.images_per_step
trainer.window.add(trainer.train_step(), 1)
trainer.window.read()
"""
IMPORT_TORCH = "import torch, torchvision.models, torch._dynamo"


def seconds_of(code: str, words: list[str], cache: str) -> float:
    environment = {**os.environ, "MISE_CACHE": cache, "PYTHONPATH": str(ROOT)}
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, env=environment, check=True, capture_output=True)
    return time.perf_counter() - begin


def measure(place: Place) -> list[Row]:
    with place.folder() as folder:
        file = Path(folder, "experiment.yaml")
        packs = {"dataset_args": {"cache_dir": f"{folder}/packs"}}  # cold is cold
        file.write_text(yaml.safe_dump(tree_of(place, folder) | packs))
        seconds = {"of which importing PyTorch": seconds_of(IMPORT_TORCH, [], f"{folder}/cache")}
        for name in ("cold, with packing", "warm"):
            words = [f"exp.config_path={file}", f"exp.run_name={name[:4]}"]
            seconds[name] = seconds_of(FIRST_STEP, words, f"{folder}/cache")
    goals = {"cold, with packing": "60 s", "warm": "15 s"}
    return [
        Row("start to first step", name, speeds={name: took}, unit="s", goal=goals.get(name, ""), rounds=1)
        for name, took in seconds.items()
    ]
