"""What several processes cost beside one: training steps that average gradients against steps that do not.

Both are taken in turns by the same processes, under torchrun, on the same images: what differs is the communication
alone. Two processes of one thread and gloo on a CPU, whatever their cores do besides; all GPUs and NCCL where there are
several. By the clock on the wall.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
import yaml

from benchmarks.measuring import Place, Row, compared
from benchmarks.stepping import ROOT, tree_of

# Each process runs this; the first one prints the speeds of the rounds.
ROUNDS = """
import json, sys, time
from contextlib import nullcontext
from benchmarks.measuring import contest, synchronize
from benchmarks.stepping import run_steps
from training.launch import load_trainer
from utils.distributed import barrier, choose_device, processes, say
rounds, steps, *words = sys.argv[1:]
trainer = load_trainer(words)
with processes(choose_device(trainer.config.exp.device)):
    trainer.setup()
    trainer.open_run()
    wrapped = trainer.updaters["denoiser"].wrapped

    def speed(averaging):
        barrier()
        synchronize(trainer.device)
        begin = time.perf_counter()
        with nullcontext() if averaging else wrapped.no_sync():
            run_steps(trainer, int(steps))
        barrier()
        return int(steps) * trainer.images_per_step / (time.perf_counter() - begin)

    say(json.dumps(contest({"on": lambda: speed(True), "off": lambda: speed(False)}, int(rounds))))
"""


def measure(place: Place) -> list[Row]:
    count = torch.cuda.device_count() if place.gpu else 2
    if count < 2:
        print("processes: one GPU has nobody to share with", flush=True)
        return []
    with place.folder() as folder:
        speeds = iter_speeds(place, Path(folder), count)
    contestants = {"averaging gradients": lambda: next(speeds["on"]), "not": lambda: next(speeds["off"])}
    return compared(f"{count} processes", contestants, place.rounds, "images/s")


def iter_speeds(place: Place, folder: Path, count: int) -> dict:
    """Run the rounds. Returns iterators over the speeds of each side, a first one for the warming."""
    file, steps = folder / "experiment.yaml", 20 if place.gpu else 4
    tree = tree_of(place, str(folder))
    tree["exp"]["device"] = place.device.type  # each process its own
    file.write_text(yaml.safe_dump(tree))
    start = ["-m", "torch.distributed.run", f"--nproc_per_node={count}", "--standalone", "--no_python"]
    script = [sys.executable, "-c", ROUNDS, str(place.rounds), str(steps), f"exp.config_path={file}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    told = subprocess.run(
        [sys.executable, *start, *script], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    found = json.loads(told.stdout.splitlines()[-1])
    return {name: iter([0.0, *speeds]) for name, speeds in found.items()}
