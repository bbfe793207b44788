"""The table that README.md opens with: every number from a model's record, under report/headline.yaml.

    python3 -m report.headline                                # writes the table of what was measured
    python3 -m report.headline judge=NAME checkpoint=FILE     # first judges a model at 2,048 dims: the line "FID"

judge        a model of report/headline.yaml; wants pytorch-fid's weights, or the network to fetch them, and the data
checkpoint   of that model: a file, or a folder that report.best has exported
set=[...]    further words for inference.py, such as exp.device=cpu

What is judged is kept beside the model's first record, as metrics_2048.json.
"""

import json
import re
import sys
from dataclasses import field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import inference
from evaluation.tables import Record, spread
from report.keeping import keep_evaluation
from report.models import costs
from report.records import Run, read_record
from report.wording import plus_minus, table
from utils.command import command
from utils.config import parse_overrides, read_yaml
from utils.errors import ConfigError, DataError, did_you_mean
from utils.files import whole_file
from utils.schema import bind, section

ROOT = Path(__file__).parents[1]
PLACE = re.compile(r"(?<=<!-- python3 -m report.headline writes this table -->\n\n).*?(?=\n\n<!-- end -->)", re.DOTALL)
LINES = ["parameters", "training minutes", "training images seen", "network evaluations an image", "fid768",
         "fid768 of real photos: the floor", "fid768: excess over the floor", "1,000 x kid768", "recall768",
         "class fidelity", "FID (2,048 dims)"]  # fmt: skip
FULL = "metrics_2048.json"


@section
class Settings:
    """What the command takes."""

    judge: str | None = None
    checkpoint: str | None = None
    set: list[str] = field(default_factory=list)
    root: str = str(ROOT)


@section
class Model:
    """A model of report/headline.yaml."""

    records: list[str]
    train: str
    inference: str


@command
def main(words: list[str] | None = None) -> None:
    settings = bind(Settings, parse_overrides(sys.argv[1:] if words is None else words))
    root = Path(settings.root).expanduser().resolve()
    models = {name: bind(Model, tree) for name, tree in read_yaml(root / "report" / "headline.yaml").items()}
    if settings.judge:
        judge(root, models, settings)
    page = root / "README.md"
    text = written(page.read_text(), headline(root, models))
    with whole_file(page) as file:
        file.write(text)
    print(f"the table of {page} is written")


def judge(root: Path, models: dict[str, Model], settings: Settings) -> None:
    """Judge a model by FID as everybody states it, and keep the record. Raises :class:`ConfigError` for bad words."""
    model = models.get(settings.judge)
    if model is None:
        raise ConfigError(f"judge: '{settings.judge}' is no model of it.{did_you_mean(settings.judge, list(models))}")
    if settings.checkpoint is None:
        raise ConfigError("judge= wants checkpoint=FILE, the model's weights")
    with TemporaryDirectory() as folder:
        words = [f"exp.config_path={root / model.inference}", f"train.checkpoint_path={settings.checkpoint}"]
        words += ["train.val_metrics=[fid]", "metrics_args.fid.dims=2048", "inference.analyses=[]"]
        inference.main([*words, f"inference.out_dir={folder}/judged", *settings.set])
        made = Path(folder) / "judged"
        if not read_record(made / "metrics.json")["results"]:
            raise DataError("nothing was judged: FID_WEIGHTS=FILE names the weights of pytorch-fid's network")
        keep_evaluation(made, (root / model.records[0]).parent, Path(FULL).stem, made.parent)


def written(page: str, lines: str) -> str:
    """Put the table where it stands in a page. Raises :class:`DataError` for a page without the place."""
    if not PLACE.search(page):
        raise DataError("README.md has lost the two comments between which the table stands: put them back")
    return PLACE.sub(lambda _: lines, page, count=1)


def headline(root: Path, models: dict[str, Model]) -> str:
    """Return the table of all models that have a record: a line for each figure, a column for each model."""
    there = {name: model for name, model in models.items() if (root / model.records[0]).exists()}
    columns = [column(root, name, model) for name, model in there.items()]
    return table(["", *(f"`{name}`" for name in there)], list(zip(LINES, *columns)))


def column(root: Path, name: str, model: Model) -> list[str]:
    """Return the cells of a model."""
    records = [read_record(root / path) for path in model.records]
    own, folder = records[0], (root / model.records[0]).parent
    if len({it["origin"].get("real_content", own["origin"]["real_content"]) for it in records}) > 1:
        raise DataError(f"{name}: its records were judged by different photos, they cannot make one column")
    analyses: Record = {}
    for record in reversed(records):
        analyses |= record.get("analyses", {})
    floor = analyses.get("floor", {}).get("results", {}).get("fid768", {})
    results, origin = {key: found for it in reversed(records) for key, found in it["results"].items()}, own["origin"]
    full = read_record(folder / FULL)["results"].get("fid") if (folder / FULL).exists() else results.get("fid")
    fid = results.get("fid768")
    return [
        f"{parameters(root, model, origin) / 1e6:.1f} M",
        cell(minutes(folder), "{:.0f}"),
        cell(origin["training_images_seen"], "{:,}"),
        cell(origin.get("evaluations_per_image"), "{}"),
        cell(fid and plus_minus(fid, spread(own, "fid768")), "{}"),
        cell(plus_minus(floor["mean"], floor["std"]) if floor else None, "{}"),
        cell(fid - floor["mean"] if fid and floor else None, "{:.3f}"),
        cell(1000 * results["kid768"] if "kid768" in results else None, "{:.2f}"),
        cell(results.get("recall768"), "{:.3f}"),
        cell(analyses.get("class_fidelity", {}).get("fidelity"), "{:.3f}"),
        cell(full, "{:.2f}"),
    ]


def cell(found: Any, form: str) -> str:
    return "–" if found is None else form.format(found)


def parameters(root: Path, model: Model, origin: Record) -> int:
    """Count what makes an image; older records do not say it, the config does."""
    counted = origin.get("parameters")
    return counted or costs(f"exp.config_path={root / model.train}")[0].parameters


def minutes(folder: Path) -> float | None:
    """Return the minutes of training: by report.best's choices, or by the run's own log."""
    if (folder / "choices.json").exists():
        return json.loads((folder / "choices.json").read_text()).get("seconds", {}).get("trained", 0) / 60 or None
    return Run(folder, {}).seconds / 60 if (folder / "timing.jsonl").exists() else None


if __name__ == "__main__":
    main()
