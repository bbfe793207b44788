"""Every benchmark that this machine allows, in one table: `make bench`, on a GPU `make bench-gpu`.

    python3 -m benchmarks run=all [key=value ...]

run=[...] chooses among preset, data, packing, trainer, diffusers, ddpm_pytorch, features, distance, evaluation, start,
variants, threads; device=auto; images=DIR class folders (default: the training folder of FOOD101_DIR, or drawn
dishes); rounds=7; after minutes=N nothing new begins; out=FILE.json keeps every row. Peers that are not installed are
left out, and named: requirements-bench.txt has them. On a CPU what runs in this process is measured in processor time,
on one thread, so that what others do there does not count.
"""

import json
import os
import platform
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch

from benchmarks import judging, loading, packing, peers, preset, start, stepping, threads, whole_evaluation
from benchmarks.measuring import HEADER, Place, Row, draw_images
from evaluation.tables import aligned
from utils.command import command_of
from utils.distributed import choose_device
from utils.files import whole_file
from utils.schema import PositiveFloat, PositiveInt, section

Names = Literal[
    "preset", "data", "packing", "trainer", "diffusers", "ddpm_pytorch", "features", "distance", "evaluation",
    "start", "variants", "threads",
]  # fmt: skip
BENCHMARKS: dict[str, Callable[[Place], list[Row]]] = {
    "preset": preset.measure,
    "data": loading.measure,
    "packing": packing.measure,
    "trainer": stepping.overhead,
    "diffusers": peers.measure_diffusers,
    "ddpm_pytorch": peers.measure_ddpm_pytorch,
    "features": judging.measure_features,
    "distance": judging.measure_distance,
    "evaluation": whole_evaluation.measure,
    "start": start.measure,
    "variants": stepping.variants,
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


@command_of(Settings)
def main(settings: Settings) -> None:
    names = list(BENCHMARKS) if settings.run == "all" else settings.run
    with tempfile.TemporaryDirectory() as scratch:
        place = place_of(settings, Path(scratch))
        if not place.gpu:
            torch.set_num_threads(1)  # a thread that waits for another would count as work
            os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that benchmarks start
        rows: list[Row] = []
        end = time.monotonic() + 60 * (settings.minutes or 1e9)
        for name in names:
            if time.monotonic() > end:
                print(f"{name} is left out: {settings.minutes:g} minutes are over", flush=True)
                continue
            print(f"{name} ...", flush=True)
            found = run_one(name, place)
            rows += found
            print(table(found), flush=True)
            if settings.out:  # after each: what is measured stays, whatever comes
                keep(Path(settings.out).expanduser(), place, rows)
    print(f"\n{table(rows)}")


def run_one(name: str, place: Place) -> list[Row]:
    """Run one benchmark; what is not installed, or fails, is said and does not end the others."""
    torch.compiler.reset()  # after many networks the compiler would give up on the next
    try:
        return BENCHMARKS[name](place)
    except ImportError as error:
        print(f"{name}: {error.name or error} is not here: pip install -r requirements-bench.txt", flush=True)
    except Exception:
        traceback.print_exc()
    return []


def place_of(settings: Settings, scratch: Path) -> Place:
    device = choose_device(settings.device, key="device")
    given = settings.images or str(Path(os.environ.get("FOOD101_DIR", "data/food101_64"), "train"))
    images = Path(given).expanduser().resolve()
    if not images.is_dir():
        print(f"{images} is not there: {DRAWN} drawn dishes are taken instead", flush=True)
        images = draw_images(scratch / "dishes", DRAWN)
    return Place(device, images, scratch, settings.rounds)


def table(rows: list[Row]) -> str:
    return aligned([HEADER, *(row.cells() for row in rows)]) if rows else "nothing"


def keep(path: Path, place: Place, rows: list[Row]) -> None:
    gpu = torch.cuda.get_device_name() if place.gpu else None
    machine = {"gpu": gpu, "cpus": os.cpu_count(), "platform": platform.platform(), "torch": torch.__version__}
    load = os.getloadavg()
    with whole_file(path) as file:
        json.dump({"machine": machine, "load_average": load, "rows": [row.record() for row in rows]}, file, indent=2)


if __name__ == "__main__":
    main()
