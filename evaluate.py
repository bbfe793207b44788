"""Compares two folders of images: generated ones with real ones.

    python3 evaluate.py real=DIR fake=DIR [metrics=[fid,kid,prdc]] [train=DIR] [key=value ...]
    python3 evaluate.py table=[FILE,FILE,...]

metrics     fid, kid, prdc (precision, recall, density, coverage), and with train=DIR also
            floor        what training photos get in place of generated ones: the best there is
            memorisation how near the generated images are to training images
            per_class    which classes look best and worst
            class_fidelity   how many images show their class, by a classifier of this project
                             (metrics_args.class_fidelity.classifier=FILE, which the study `classify` writes)
metrics_args.fid.dims=768 metrics_args.fid.weights_path=FILE    another layer, a file of weights (see the README)
protocol    lossless: the files as they are; jpeg: both sides saved again as JPEG, as some public results were
split=test  what the real folder is called in the record: choose settings on dev, report on test
out=FILE    writes the record as JSON, with the whole origin; without it the record is printed after the table
device      auto, cpu, cuda or cuda:0
pictures=DIR    where analyses put pictures; they show photos of the dataset, keep them out of repositories
table       prints the records of several evaluations side by side, if their numbers can be compared
"""

import json
from pathlib import Path

import utils.interrupts  # before what takes long to import
import utils.threads  # noqa: F401 - before PyTorch, which reads what it sets
from evaluation.compare import Settings, compare_folders, read_record
from evaluation.tables import Record, comparison_table, result_table
from utils.command import command_of
from utils.files import whole_file


@command_of(Settings)
def main(settings: Settings) -> None:
    if settings.table:
        print(comparison_table({path: read_record(path) for path in settings.table}))
        return
    kept: dict[str, Record] = {}
    said: list[str] = []

    def keep(record: Record, lines: list[str]) -> None:
        if record["results"] or record["analyses"]:
            kept["record"], said[:] = record, lines
            write(record, settings.out)

    try:
        compare_folders(settings, keep)
    finally:  # also of an evaluation that failed half-way: what it found stands
        if kept:
            tell(kept["record"], said, printed=not settings.out)


def write(record: Record, out: str) -> None:
    """Write the record to the file ``out``, if there is one."""
    if out:
        with whole_file(Path(out)) as file:
            file.write(json.dumps(record, indent=2) + "\n")


def tell(record: Record, lines: list[str], printed: bool) -> None:
    """Print the table and the lines, and where the record is ``printed``, it too."""
    print("\n".join([result_table(record), *lines] if record["results"] or not lines else lines))
    if printed:
        print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
