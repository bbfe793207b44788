"""Every benchmark that this machine allows, in one table: `make bench`, on a GPU `make bench-gpu`.

    python3 -m benchmarks run=all [key=value ...]

run=[data,judging,trainer,variants,peers,evaluation,start,packing] chooses rows; device=auto; images=DIR class folders
of PNGs (default: the training folder of FOOD101_DIR, or drawn dishes), rounds=7, out=FILE.json keeps every row.
Peers that are not installed are left out, and named: requirements-bench.txt has them.
"""

import json
import os
import platform
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch

from benchmarks import judging, loading, packing, peers, start, stepping, whole_evaluation
from benchmarks.measuring import HEADER, Place, Row, draw_images
from evaluation.tables import aligned
from utils.command import command_of
from utils.distributed import choose_device
from utils.files import whole_file
from utils.schema import PositiveInt, section

Names = Literal["data", "judging", "trainer", "variants", "peers", "evaluation", "start", "packing"]
BENCHMARKS: dict[str, Callable[[Place], list[Row]]] = {
    "data": loading.measure,
    "packing": packing.measure,
    "trainer": stepping.overhead,
    "peers": peers.measure,
    "judging": judging.measure,
    "evaluation": whole_evaluation.measure,
    "start": start.measure,
    "variants": stepping.variants,
}
DRAWN = 2000  # dishes, where there is no folder of images


@section
class Settings:
    """What the command takes."""

    run: Literal["all"] | list[Names]
    device: str = "auto"
    images: str = ""
    rounds: PositiveInt = 7
    out: str | None = None


@command_of(Settings)
def main(settings: Settings) -> None:
    names = list(BENCHMARKS) if settings.run == "all" else settings.run
    with tempfile.TemporaryDirectory() as scratch:
        place = place_of(settings, Path(scratch))
        rows: list[Row] = []
        for name in names:
            print(f"{name} ...", flush=True)
            found = run_one(name, place)
            rows += found
            print(table(found), flush=True)
            if settings.out:  # after each: what is measured stays, whatever comes
                keep(Path(settings.out).expanduser(), place, rows)
    print(f"\n{table(rows)}")


def run_one(name: str, place: Place) -> list[Row]:
    """Run one benchmark; what is not installed, or fails, is said and does not end the others."""
    try:
        return BENCHMARKS[name](place)
    except ImportError as error:
        print(f"{name}: {error.name or error} is not here: pip install -r requirements-bench.txt", flush=True)
    except Exception:
        traceback.print_exc()
    return []


def place_of(settings: Settings, scratch: Path) -> Place:
    device = choose_device(settings.device)
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
