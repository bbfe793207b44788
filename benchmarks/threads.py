"""What idle OpenMP threads do while they wait for work: spin (the default) or sleep (OMP_WAIT_POLICY=PASSIVE).

Training steps on all cores, by the clock on the wall; once alone, and once beside as many busy processes as there are
cores. CPU only.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml

from benchmarks.measuring import Place, Row, compared
from benchmarks.stepping import ROOT, tree_of

STEPS = """
import sys, time
from benchmarks.stepping import run_steps
from training.launch import load_trainer
trainer = load_trainer(sys.argv[1:])
trainer.say = lambda line: None
trainer.setup()
trainer.open_run()
run_steps(trainer, 2)
begin = time.perf_counter()
run_steps(trainer, 8)
print(8 * trainer.images_per_step / (time.perf_counter() - begin))
"""


@contextmanager
def busy_neighbours(count: int) -> Iterator[None]:
    """Keep ``count`` processes busy."""
    with ExitStack() as stack:
        for _ in range(count):
            neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(neighbour.wait)
            stack.callback(neighbour.kill)
        yield


def measure(place: Place) -> list[Row]:
    if place.gpu:
        return []
    with place.folder() as folder:
        file = Path(folder, "experiment.yaml")
        file.write_text(yaml.safe_dump(tree_of(place, folder)))
        numbers = iter(range(10**6))

        def speed(policy: str | None) -> float:
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            for name in ("OMP_WAIT_POLICY", "OMP_NUM_THREADS"):
                environment.pop(name, None)
            if policy:
                environment["OMP_WAIT_POLICY"] = policy
            line = [sys.executable, "-c", STEPS, f"exp.config_path={file}", f"exp.run_name=run{next(numbers)}"]
            told = subprocess.run(line, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
            return float(told.stdout.splitlines()[-1])

        rows = []
        for name, neighbours in (("alone", 0), ("beside busy processes", os.cpu_count() or 1)):
            with busy_neighbours(neighbours):
                contestants = {"OMP_WAIT_POLICY=PASSIVE": lambda: speed("PASSIVE"), "default": lambda: speed(None)}
                rows += compared(f"CPU threads, {name}", contestants, min(place.rounds, 5), "images/s")
        return rows
