"""The best model of a family: how it was chosen, its numbers with floor and spread, its pictures, its parameters."""

import json

from report.material import Material, dev_name
from report.records import Experiment, SamplingStudy, flat
from report.sections import cost_of, pictures, seeds_of
from report.wording import image, joined, number, table, value

WAY = (
    "The way from noise to image: what the model takes the image for, one image a row, from the highest noise level "
    "on the left to none on the right."
)
NOT_OF_THE_MODEL = ("exp.", "inference.", "metrics_args.", "data.input_", "data.workers", "data.on_bad_image",
                    "data.val_", "train.log_", "train.keep_", "train.checkpoint_", "train.val_",
                    "train.best_")  # fmt: skip


def best_model(material: Material) -> str:
    """Say which experiment is best, its numbers with floor and spread, its parameters and its settings."""
    it = material.best
    if it is None:
        return "Nothing was judged on the test split."
    origin, dev = it.evaluations[0]["origin"], dev_name(it, material.metrics[0])
    described = ("sampler", "sampling_levels", "guidance", "evaluations_per_image")
    sampling = {key: origin[key] for key in described if key in origin}
    way = it.runs[0].picture("way")
    return joined([
        f"By {'the last validation on dev' if dev else 'the test split, as none was held out'}: "
        f"**[{it.name}](#{it.name})**, {number(origin.get('parameters', '–'))} parameters, "
        f"{number(origin['training_images_seen'])} training images seen.",
        numbers(material, it),
        on_test(material),
        f"Sampling: `{json.dumps(sampling)}`. Foreign weights: {'yes' if origin['foreign_weights'] else 'none'}.",
        pictures(material, it),
        joined([WAY, image("from noise to image", way, material.folder)]) if way else "",
        settings(it),
    ])  # fmt: skip


def numbers(material: Material, it: Experiment) -> str:
    rows = []
    for name in material.metrics:
        result, below = it.result(name), material.floor.get(name)
        beside = [value(below), number(result.mean - below.mean)] if below else ["–", "–"]
        rows.append([name, value(result), *beside])
    return table(["on the test split", f"{it.name} ({seeds_of(it)})", "floor: real photos", "difference"], rows)


def on_test(material: Material) -> str:
    """Return what other settings of sampling, or other sampling seeds, gave on the test split."""
    studies = [it for it in material.told_studies if it.record["origin"]["split"] == "test"]
    rows = [test_row(material, study, variant) for study in studies for variant in study.variants]
    if not rows:
        return ""
    first = material.metrics[0]
    said = "With other settings of sampling, or several sampling seeds, on the same test split:"
    return joined([said, table(["study: variant", "model", "seeds", "evaluations an image", first, "excess"], rows)])


def test_row(material: Material, study: SamplingStudy, variant: str) -> list[str]:
    first = material.metrics[0]
    result, below = study.result(variant, first), material.floor.get(first)
    excess = number(result.mean - below.mean) if below else "–"
    place = f"[{study.name}](#{study.name}): {variant}"
    return [place, study.of, study.seeds(variant), number(cost_of(study, variant)), value(result), excess]


def settings(it: Experiment) -> str:
    """List what the model is made of and trained by, from its resolved config: a row for each section."""
    rows = []
    for name, found in sorted(it.config.items()):
        shown = {key: value for key, value in flat(found).items() if tells(f"{name}.{key}", value)}
        cells = [
            f"`{key}: {len(value)} of them`" if key == "classes" else f"`{key}: {value}`"
            for key, value in shown.items()
        ]
        rows += [[f"`{name}`", ", ".join(cells)]] if cells else []
    return joined(["Its parameters, from the resolved config:", table(["section", "keys"], rows)])


def tells(name: str, found: object) -> bool:
    """Tell whether a setting says something of the model: not where it ran, nor what is off or empty."""
    return not name.startswith(NOT_OF_THE_MODEL) and found not in ("", [], False)
