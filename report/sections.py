"""The sections of a report, as Markdown: one for each experiment, one for each sampling study, and the tables."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.floor import Spread
from evaluation.tables import check_one_table, figures
from report.figures import draw_curves, draw_results
from report.headers import CHAIN
from report.records import Experiment, SamplingStudy, differences, spread_of
from report.wording import bullets, comparison, image, joined, number, table, value

NOT_DRAWN = ("val_ema_distance", "grad_norm", "gen_grad_norm", "disc_grad_norm")
MOST_PANELS = 9


@dataclass(frozen=True)
class Material:
    """What the report of one family is made of."""

    family: str
    folder: Path  # where its pages go
    experiments: dict[str, Experiment]
    studies: dict[str, SamplingStudy]
    others: dict[str, Experiment] = field(default_factory=dict)  # of other families

    @property
    def judged(self) -> list[Experiment]:
        return [it for it in self.experiments.values() if it.evaluations]

    @property
    def metrics(self) -> list[str]:
        """The results that every evaluation has; the first is the one that decides."""
        names = figures(self.judged[0].evaluations[0]["results"]) if self.judged else []
        return [name for name in names if all(it.result(name) for it in self.judged)]

    @property
    def best(self) -> Experiment | None:
        """The best experiment by the last validation on dev; without one, by the test result."""
        on_dev = {it.name: it.last(dev) for it in self.judged if (dev := dev_name(it, self.metrics[:1]))}
        ranks = {name: spread.mean for name, spread in on_dev.items() if spread}
        ranks = ranks or {it.name: it.result(self.metrics[0]).mean for it in self.judged if self.metrics}
        return self.experiments[min(ranks, key=ranks.get)] if ranks else None

    def values(self) -> dict[str, str]:
        """Return every result by the name it has in hand-written parts: ``edm.fid768``, ``guidance/cfg_3.fid768``."""
        found = {f"{it.name}.{name}": value(it.result(name)) for it in self.judged for name in self.metrics}
        found |= {f"floor.{name}": number(floor["mean"]) for it in self.judged for name, floor in it.floor.items()}
        for study in self.studies.values():
            for variant, records in study.variants.items():
                for name in figures(records[0]["results"]):
                    found[f"{study.name}/{variant}.{name}"] = value(study.result(variant, name))
        return found | ({"best": self.best.name} if self.best else {})


def dev_name(experiment: Experiment, metrics: Sequence[str]) -> str | None:
    """Name the curve of a metric on dev: ``val_quick64_fid768`` for ``fid768``."""
    names = [name for run in experiment.runs for name in run.curves]
    return next((name for metric in metrics for name in names if name.endswith(f"_{metric}")), None)


def overview(material: Material) -> str:
    """Return the table of all experiments, and the figure of the metric that decides."""
    if not material.judged:
        return "No run here was judged on the test split: `inference.py` does that."
    check_one_table({it.name: it.evaluations[0] for it in material.judged})
    metrics = material.metrics
    first = metrics[0]
    dev = dev_name(material.judged[0], [first])
    floor = next((it.floor for it in material.judged if it.floor), {})
    head = [
        "experiment",
        "seeds",
        "parameters",
        "images seen",
        "evaluations",
        "minutes",
        *metrics,
        f"excess of {first}",
    ]
    rows = [overview_row(it, metrics, floor, dev) for it in material.judged]
    if floor:
        rows.append(
            [
                "*floor: real photos*",
                *[""] * 5,
                *(number(floor.get(name, {}).get("mean", "")) for name in metrics),
                "0",
                "",
            ]
        )
    path = material.folder / "figures" / "all.svg"
    results = {it.name: it.result(first) for it in material.judged}
    draw_results(results, first, floor.get(first, {}).get("mean"), path, material.best.name)
    return joined(
        [
            table([*head, f"dev: {dev}" if dev else ""], rows),
            image(f"{first} of all experiments", path, material.folder),
        ]
    )


def overview_row(experiment: Experiment, metrics: Sequence[str], floor: dict, dev: str | None) -> list[str]:
    origin, first = experiment.evaluations[0]["origin"], metrics[0]
    result = experiment.result(first)
    excess = number(result.mean - floor[first]["mean"]) if first in floor else "–"
    minutes = spread_of([run.seconds / 60 for run in experiment.runs])
    facts = [
        origin.get("parameters", "–"),
        origin.get("training_images_seen", "–"),
        origin.get("evaluations_per_image", "–"),
    ]
    return [
        f"[{experiment.name}](#{experiment.name})", str(len(experiment.evaluations)), *map(number, facts),
        f"{minutes.mean:.1f}", *(value(experiment.result(name)) for name in metrics), excess,
        value(experiment.last(dev)) if dev else "",
    ]  # fmt: skip


def chain(material: Material) -> str:
    """Return a line for each experiment and study: the question, what came out of it, and what was tried next."""
    rows = []
    for it in [*material.experiments.values(), *material.studies.values()]:
        if it.header:
            told = [it.header.get(name, "–") for name in ("Question", "Expected", "Conclusion", "Next")]
            rows.append([f"[{it.name}](#{it.name})", *told])
    return table(["experiment", "question", "expected", "came out", "next"], rows) if rows else ""


def experiment_section(material: Material, experiment: Experiment) -> str:
    """Return all about one experiment: what it tests and changes, losses, metrics, samples, comparison, conclusion."""
    baseline = material.experiments.get(experiment.baseline or "")
    return joined([
        f"### {experiment.name}",
        question(experiment),
        bullets(experiment.header, CHAIN[:4]) or "*The config of this run has no header (see report/headers.py).*",
        changes(experiment, baseline),
        results_table(material, experiment, baseline),
        curves(material, experiment, baseline),
        pictures(material, experiment),
        bullets(experiment.header, CHAIN[5:]) or "*No conclusion is written yet.*",
    ])  # fmt: skip


def question(it: Experiment | SamplingStudy) -> str:
    return f"**{it.header['Question'][:1].upper()}{it.header['Question'][1:]}**" if it.header.get("Question") else ""


def changes(experiment: Experiment, baseline: Experiment | None) -> str:
    if baseline is None:
        return ""
    rows = [[f"`{key}`", *(f"`{cell}`" if cell is not None else "–" for cell in cells)]
            for key, *cells in differences(experiment.config, baseline.config)]  # fmt: skip
    return joined(["Modified, by the resolved configs:", table(["key", baseline.name, experiment.name], rows)])


def results_table(material: Material, experiment: Experiment, baseline: Experiment | None) -> str:
    """Return the results beside the baseline's, mean and standard deviation over training seeds."""
    if not experiment.evaluations:
        return ""
    pair = [it for it in (experiment, baseline) if it and it.evaluations]
    rows = [[name, *(value(it.result(name)) for it in pair)] for name in material.metrics]
    said = ""
    if len(pair) == 2:
        first = material.metrics[0]
        said = f"{first}: {comparison(*(it.result(first) for it in pair))}."
    return joined([table(["on the test split", *(it.name for it in pair)], rows), said])


def curves(material: Material, experiment: Experiment, baseline: Experiment | None) -> str:
    """Draw losses and validations over training, the baseline's beside them."""
    logged = list(experiment.runs[0].curves)
    quick = [name for name in logged if name.startswith("val_") and name.endswith(tuple(material.metrics[:1] or ["x"]))]
    names = [name for name in logged if not name.startswith("val_") and name not in NOT_DRAWN][: MOST_PANELS - 2]
    names += [*quick[:1], *(["val_diversity"] if "val_diversity" in logged else [])]
    path = material.folder / "figures" / f"{experiment.name}.svg"
    draw_curves([experiment, *([baseline] if baseline else [])], names, path)
    return image(f"losses and metrics of {experiment.name} over training", path, material.folder)


def pictures(material: Material, experiment: Experiment) -> str:
    """Show samples and grid of the first seed's model: always from the same noise."""
    run, shown = experiment.runs[0], []
    for name, text in (("samples", "Samples"), ("grid", "Grid")):
        path = run.picture(name)
        if path:
            shown += [f"{text} ({run.folder.name}, fixed noise, not picked):"]
            shown += [image(f"{name} of {experiment.name}", path, material.folder)]
    return joined(shown) if shown else "*No pictures were kept.*"


def study_section(material: Material, study: SamplingStudy) -> str:
    """Return all about one sampling study: nothing is trained in it."""
    names = figures(next(iter(study.variants.values()))[0]["results"])
    first, split = names[0], next(iter(study.variants.values()))[0]["origin"]["split"]
    spreads: dict[str, Spread] = {variant: study.result(variant, first) for variant in study.variants}
    best = min(spreads, key=lambda variant: spreads[variant].mean)
    rows = []
    for variant, records in study.variants.items():
        cost = number(records[0]["origin"].get("evaluations_per_image", "–"))
        bold = "**" if variant == best else ""
        rows.append(
            [f"{bold}{variant}{bold}", str(len(records)), cost, *(value(study.result(variant, name)) for name in names)]
        )
    path = material.folder / "figures" / f"{study.name}.svg"
    draw_results(spreads, first, None, path, best)
    count = next(iter(study.variants.values()))[0]["origin"]["images"]
    return joined([
        f"### {study.name}",
        question(study),
        bullets(study.header, CHAIN[:4]),
        f"Models of [{study.of}](#{study.of}); {count} images, judged on the {split} split; best by {first} in bold.",
        table(["variant", "seeds", "evaluations an image", *names], rows),
        image(f"{first} of the variants of {study.name}", path, material.folder),
        bullets(study.header, CHAIN[5:]) or "*No conclusion is written yet.*",
    ])  # fmt: skip
