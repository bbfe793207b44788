"""Every benchmark that this machine allows, in one table: `make bench`, on a GPU `make bench-gpu`.

    python3 -m benchmarks run=all [key=value ...]

run=[...] chooses among preset, diffusers, ddpm_pytorch, evaluation, start, trainer, data, variants, features, packing,
distance, processes, threads, which is their order; device=auto; images=DIR class folders (default: the training folder
of FOOD101_DIR, or drawn dishes); rounds=7; after minutes=N nothing new begins; out=FILE.json keeps every row, beside
those of other benchmarks that this machine has written there; go_on=true runs only what that file does not hold yet.
Peers that are not installed are left out, and named: requirements-bench.txt has them. On a CPU what runs in this
process is measured in processor time, on one thread, so that what others do there does not count.
"""

import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from benchmarks import judging, loading, packing, peers, preset, processes, start, stepping, threads, whole_evaluation
from benchmarks.measuring import HEADER, Place, Row, attempt, draw_images
from evaluation.tables import aligned
from utils.command import command_of
from utils.distributed import choose_device
from utils.files import whole_file
from utils.schema import PositiveFloat, PositiveInt, section

Names = Literal[  # in the order in which they run: what has a goal on a GPU first
    "preset", "diffusers", "ddpm_pytorch", "evaluation", "start", "trainer", "data", "variants", "features", "packing",
    "distance", "processes", "threads",
]  # fmt: skip
BENCHMARKS: dict[str, Callable[[Place], list[Row]]] = {
    "preset": preset.measure,
    "diffusers": peers.measure_diffusers,
    "ddpm_pytorch": peers.measure_ddpm_pytorch,
    "evaluation": whole_evaluation.measure,
    "start": start.measure,
    "trainer": stepping.overhead,
    "data": loading.measure,
    "variants": stepping.variants,
    "features": judging.measure_features,
    "packing": packing.measure,
    "distance": judging.measure_distance,
    "processes": processes.measure,
    "threads": threads.measure,
}
DRAWN = 2000  # dishes, where there is no folder of images


@section
class Settings:
    """What the command takes."""

    run: Literal["all"] | list[Names]
    device: str = "auto"
    images: str = ""
    rounds: PositiveInt = 7
    minutes: PositiveFloat | None = None
    out: str | None = None
    go_on: bool = False


@command_of(Settings)
def main(settings: Settings) -> None:
    names = list(get_args(Names)) if settings.run == "all" else settings.run
    with tempfile.TemporaryDirectory() as scratch:
        place = place_of(settings, Path(scratch))
        if not place.gpu:
            torch.set_num_threads(1)  # a thread that waits for another would count as work
            os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that benchmarks start
        results = Results(place, settings.out)
        for name in names:
            if settings.go_on and name in results.kept:
                print(f"{name}: {settings.out} has it", flush=True)
            elif place.time_is_over():
                print(f"{name} is left out: {settings.minutes:g} minutes are over", flush=True)
            else:
                run_one(name, place, results)
    print(f"\n{results.table(names)}")


class Results:
    """The rows of every benchmark; in a file too, where one is named: what is measured stays, whatever comes."""

    def __init__(self, place: Place, out: str | None):
        self.path = Path(out).expanduser() if out else None
        self.machine = machine(place)
        self.kept: dict[str, dict[str, Any]] = {}
        if self.path and self.path.exists():
            found = json.loads(self.path.read_text())
            if found["machine"] == self.machine:
                self.kept = found["benchmarks"]
            else:
                print(f"{self.path} is of another machine, and begins anew", flush=True)

    def keep(self, name: str, rows: list[Row], seconds: float) -> None:
        """Take the rows of a benchmark, in the place of those that it had before."""
        records = [row.record() for row in rows]
        self.kept[name] = {"seconds": round(seconds, 1), "load_average": os.getloadavg(), "rows": records}
        if self.path:
            with whole_file(self.path) as file:
                json.dump({"machine": self.machine, "benchmarks": self.kept}, file, indent=1)

    def table(self, names: list[str]) -> str:
        return table([Row(**record) for name in names if name in self.kept for record in self.kept[name]["rows"]])


def run_one(name: str, place: Place, results: Results) -> None:
    """Run one benchmark and keep its rows; what is not installed, or fails, is said and does not end the others."""
    torch.compiler.reset()  # after many networks the compiler would give up on the next
    print(f"{name} ...", flush=True)
    begin = time.monotonic()
    rows = attempt(name, lambda: BENCHMARKS[name](place))
    seconds = time.monotonic() - begin
    print(f"{table(rows)}\n{name} took {seconds:.0f} s", flush=True)
    if rows:
        results.keep(name, rows, seconds)


def place_of(settings: Settings, scratch: Path) -> Place:
    device = choose_device(settings.device, key="device")
    given = settings.images or str(Path(os.environ.get("FOOD101_DIR", "data/food101_64"), "train"))
    images = Path(given).expanduser().resolve()
    if not images.is_dir():
        print(f"{images} is not there: {DRAWN} drawn dishes are taken instead", flush=True)
        images = draw_images(scratch / "dishes", DRAWN)
    end = time.monotonic() + 60 * settings.minutes if settings.minutes else float("inf")
    return Place(device, images, scratch, settings.rounds, end)


def machine(place: Place) -> dict[str, Any]:
    gpu = torch.cuda.get_device_name() if place.gpu else None
    return {"gpu": gpu, "cpus": os.cpu_count(), "platform": platform.platform(), "torch": torch.__version__}


def table(rows: list[Row]) -> str:
    return aligned([HEADER, *(row.cells() for row in rows)]) if rows else "nothing"


if __name__ == "__main__":
    main()
