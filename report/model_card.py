"""A published model's card: what it is, what it was made from, how good it is, and what it must not be taken for.

    python3 -m report.model_card export=DIR evaluated=DIR [best=FILE]

export      the folder of the model, which inference.study=export or report.best writes; the card goes beside it
evaluated   the folder of its full evaluation, which inference.py writes
best        best.json of report.best, for the choices and the minutes

Beside the weights then lie README.md (the card), metrics.json (every number with its origin), grid.png, and
choices.json: what report.best chose from, with every candidate's figure on dev.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors import safe_open

from evaluation.tables import Record, figures, spread
from training.export import model_files, portable, read_description
from utils.command import command_of
from utils.errors import DataError
from utils.files import whole_file
from utils.schema import section

PARTS = {  # of best.json: what each second was spent on
    "steps": "measuring the speed",
    "trained": "training",
    "width": "choosing the average of the weights",
    "guidance": "choosing the guidance",
    "exported": "export",
    "results": "evaluation",
}


@section
class Settings:
    """What the command takes."""

    export: str
    evaluated: str
    best: str | None = None


@command_of(Settings)
def main(settings: Settings) -> None:
    choices = json.loads(Path(settings.best).expanduser().read_text()) if settings.best else {}
    write_card(Path(settings.export).expanduser(), Path(settings.evaluated).expanduser(), choices)
    print(f"{settings.export}/README.md")


def write_card(folder: Path, evaluated: Path, choices: dict[str, Any]) -> None:
    """Write the card, the numbers and the grid beside the model. Raises :class:`DataError` without a judgement."""
    described = read_description(folder)
    try:
        record = portable(json.loads((evaluated / "metrics.json").read_text()))
    except (OSError, ValueError) as error:
        raise DataError(f"{evaluated} holds no evaluation: run inference.py on {folder} first") from error
    if not record["results"]:
        raise DataError(f"{evaluated}/metrics.json holds no results: evaluate {folder} with FID's weights at hand")
    shutil.copy(evaluated / "grid.png", folder / "grid.png")
    chosen = portable({name: value for name, value in choices.items() if name != "results"})
    for name, content in (("metrics.json", record), ("choices.json", chosen)):
        with whole_file(folder / name) as file:
            file.write(json.dumps(content, indent=2) + "\n")
    with whole_file(folder / "README.md") as file:
        file.write(card(folder, described, record, choices))


def card(folder: Path, described: dict[str, Any], record: Record, choices: dict[str, Any]) -> str:
    """Return the card as Markdown."""
    parts = [
        f"# {folder.name}",
        what_it_is(folder, described),
        "![Samples](grid.png)",
        f"*Seed {record['origin']['seed']}, the first images of each class shown; not picked.*",
        "## How to use it",
        commands(folder, record, choices.get("guidance", "")),
        "## Data",
        data(described),
        "## Recipe",
        recipe(described, record, choices),
        "## Cost",
        cost(record, choices),
        "## Numbers",
        numbers(record),
        "## Limits",
        limits(record),
        "## Licence",
        LICENCE,
    ]
    return "\n\n".join(parts) + "\n"


def count_weights(folder: Path) -> int:
    """Count the numbers in the model's files."""
    total = 0
    for path in model_files(folder):
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                total += sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118 - no mapping
    return total


def networks(config: dict[str, Any]) -> str:
    """Name the networks of a config, whatever the family."""
    roles = ("generator", "discriminator", "model", "denoiser")
    return ", ".join(f"{role} `{config['train'][role]}`" for role in roles if role in config["train"])


def what_it_is(folder: Path, described: dict[str, Any]) -> str:
    facts, size = described["facts"], described["facts"]["image_size"]
    asked = f" of {len(facts['class_names'])} classes" if facts["conditional"] else ""
    return (
        f"Draws images{asked} at {size}x{size}; family `{described['model_type']}`, {networks(described['config'])}. "
        f"{count_weights(folder) / 1e6:.1f} M weights in bfloat16."
    )


def commands(folder: Path, record: Record, sampling: str) -> str:
    """Return the command that judged the model, with the ``sampling`` that was chosen; before it, one without data."""
    config = f"configs/inference/{Path(record['origin']['config']['exp']['config_path']).name}"
    command = f"python3 inference.py exp.config_path={config} train.checkpoint_path=checkpoints/{folder.name}"
    command = " ".join([command, *sampling.split()])
    return (
        f"```bash\n{command} train.val_metrics=[] inference.analyses=[] inference.seeds=1 inference.num_images=8\n"
        f"{command}   # the numbers below: needs the dataset and FID's weights\n```"
    )


def data(described: dict[str, Any]) -> str:
    config, facts = described["config"]["data"], described["facts"]
    return (
        f"{len(facts['class_names'])} classes of photos scaled to {facts['image_size']}x{facts['image_size']}: the "
        f"task's Food-101 split unless the config says otherwise. Training images that show a test photo are left out, "
        f"{config['dev_per_class']} a class are held out to choose settings on. Augmentation: "
        f"{', '.join(config['augmentations']) or 'none'}."
    )


def recipe(described: dict[str, Any], record: Record, choices: dict[str, Any]) -> str:
    """Say how it was trained, what was chosen on dev, and whether the task allows where it came from."""
    config, start = described["config"], described["initial_weights"] or {}
    own = start.get("kind") == "random" and not record["origin"]["foreign_weights"]
    words = " ".join(choices.get(name, "") for name in ("width", "guidance")).split()
    chosen = " ".join(f"`{word}`" for word in words) or "nothing"
    lines = [
        f"{described['step']} steps of {config['data']['train_batch_size']} images, {described['images_seen']:,} in "
        f"all, from {start.get('kind')} weights; config `{choices.get('config') or config['exp']['config_path']}`, "
        f"commit `{record['origin']['environment']['commit']}`; the whole config is in `model.json`.",
        f"Average of the weights: {in_words(described['average'])}.",
        f"Chosen on dev: {chosen} (from what, and by which figures: `choices.json`).",
        f"Allowed by the task: {'yes: no weights but its own' if own else 'look: it did not start from scratch'}.",
    ]
    return "\n\n".join(lines)


def in_words(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)


def cost(record: Record, choices: dict[str, Any]) -> str:
    """Return the time by parts, where report.best has measured it."""
    machine = record["origin"]["environment"]["gpu"] or f"{record['origin']['environment']['cpus']} CPU cores"
    seconds = choices.get("seconds", {})
    if not seconds:
        return f"Not measured. Evaluated on: {machine}."
    rows = [f"| {PARTS[name]} | {seconds[name] / 60:.1f} |" for name in PARTS if seconds.get(name, 0) >= 1]
    rows.append(f"| **all** | **{sum(seconds.values()) / 60:.1f}** |")
    return "\n".join([f"| on {machine} | minutes |", "| --- | --- |", *rows])


def numbers(record: Record) -> str:
    """Return the results with their spread and floor, and where they come from."""
    floor = record.get("analyses", {}).get("floor", {}).get("results", {})
    rows = ["| | value | +- | floor | excess |", "| --- | --- | --- | --- | --- |"]
    for name in figures(record["results"]):
        value, below = record["results"][name], floor.get(name, {}).get("mean")
        excess = None if below is None else value - below
        rows.append(f"| {name} | {' | '.join(map(digits, (value, spread(record, name), below, excess)))} |")
    return "\n".join([*rows, *fidelity(record), "", origin(record)])


def fidelity(record: Record) -> list[str]:
    found = record.get("analyses", {}).get("class_fidelity")
    if not found:
        return []
    shares = f"| class fidelity | {found['fidelity']:.3f} | | {found['on_real_images']:.3f} (test photos) | |"
    known = f"| classes recognised | {found['recognised']} | | {found['recognised_of_real']} of {found['classes']} | |"
    return [shares, known]


def digits(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def origin(record: Record) -> str:
    """Say what the numbers rest on."""
    came = record["origin"]
    sampled = {name: came[name] for name in ("sampler", "sampling_levels", "guidance") if name in came}
    return (
        f"{came['images']} images against the {came['split']} split, uint8 {came['file_format'].split(',')[0]}; "
        f"sampling seeds {', '.join(map(str, came['sampling_seeds']))}: +- is their standard deviation (of one seed, "
        f"the metric's own error); {came['evaluations_per_image']:g} network evaluations an image"
        + "".join(f"; {name} {in_words(settings)}" for name, settings in sampled.items() if settings.get("name"))
        + f". Judged were these files, sha256 `{came['checkpoint']['sha256']}`; all of it is in `metrics.json`."
    )


def limits(record: Record) -> str:
    dims = [name for name in record["results"] if name.startswith("fid") and name != "fid"]
    scale = f" `{dims[0]}` is on another scale than FID (2048 dims): never compare the two." if dims else ""
    return (
        "Small pictures of dishes, not recipes and not evidence: details are invented, a class may be drawn wrongly. "
        f"It knows the dishes and the photographers of its dataset, and their habits.{scale} A difference smaller than "
        f"the spread is none."
    )


LICENCE = (
    "Code and weights: MIT, as this repository. The photos that the model learned from belong to their photographers; "
    "Food-101 was published for research (Bossard et al. 2014), so take its samples for that too. Written with a "
    "language model."
)


if __name__ == "__main__":
    main()
