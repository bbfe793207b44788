"""The sections of a report, as Markdown: one for each experiment, one for each sampling study, and the tables."""

from dataclasses import dataclass, field
from pathlib import Path

from evaluation.floor import Spread
from evaluation.tables import figures
from report.figures import draw_curves, draw_results
from report.headers import CHAIN
from report.records import Experiment, SamplingStudy, differences
from report.wording import best_of, bullets, comparison, image, joined, number, table, value

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
    planned: dict[str, dict[str, str]] = field(default_factory=dict)  # headers of what was written down and not run

    @property
    def judged(self) -> list[Experiment]:
        return [it for it in self.experiments.values() if it.evaluations]

    @property
    def metrics(self) -> list[str]:
        """The results that every evaluation has; the first is the one that decides."""
        names = figures(self.judged[0].evaluations[0]["results"]) if self.judged else []
        return [name for name in names if all(it.result(name) for it in self.judged)]

    @property
    def floor(self) -> dict[str, Spread]:
        """What real photos get, by result, over the draws of one of the evaluations; {} where none measured it."""
        measured = next((it.floor for it in self.judged if it.floor), {})
        return {name: Spread(tuple(found["values"])) for name, found in measured.items()}

    @property
    def best(self) -> Experiment | None:
        """The best experiment by the last validation on dev; where there was none, by the test result."""
        first = next(iter(self.metrics), "")
        on_dev = {it.name: it.last(dev) for it in self.judged if (dev := dev_name(it, first))}
        name = best_of(on_dev, first) or best_of({it.name: it.result(first) for it in self.judged}, first)
        return self.experiments[name] if name else None

    def values(self) -> dict[str, str]:
        """Return every result by the name it has in hand-written parts: ``edm.fid768``, ``guidance/cfg_3.fid768``."""
        found = {f"{it.name}.{name}": value(it.result(name)) for it in self.judged for name in self.metrics}
        found |= {f"floor.{name}": value(floor) for name, floor in self.floor.items()}
        for study in self.studies.values():
            for variant, records in study.variants.items():
                for name in figures(records[0]["results"]):
                    found[f"{study.name}/{variant}.{name}"] = value(study.result(variant, name))
        return found | ({"best": self.best.name} if self.best else {})


def dev_name(experiment: Experiment, metric: str) -> str | None:
    """Name the curve of a metric on dev: ``val_quick64_fid768`` for ``fid768``."""
    names = [name for run in experiment.runs for name in run.curves]
    return next((name for name in names if metric and name.endswith(f"_{metric}")), None)


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
        f"`{experiment.header['Command']}`" if experiment.header.get("Command") else "",
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
    names = [name for name in logged if not name.startswith("val_") and name not in NOT_DRAWN][: MOST_PANELS - 2]
    dev = dev_name(experiment, next(iter(material.metrics), ""))
    names += [name for name in (dev, "val_diversity") if name in logged]
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
    record = next(iter(study.variants.values()))[0]
    names = figures(record["results"])
    first, origin = names[0], record["origin"]
    spreads = {variant: study.result(variant, first) for variant in study.variants}
    best = best_of(spreads, first)
    rows = []
    for variant, records in study.variants.items():
        cost = number(records[0]["origin"].get("evaluations_per_image", "–"))
        title = f"**{variant}**" if variant == best else variant
        rows.append([title, str(len(records)), cost, *(value(study.result(variant, name)) for name in names)])
    path = material.folder / "figures" / f"{study.name}.svg"
    draw_results(spreads, first, None, path, best)
    return joined([
        f"### {study.name}",
        question(study),
        bullets(study.header, CHAIN[:4]),
        f"Models of [{study.of}](#{study.of}); {origin['images']} images against the {origin['split']} split; "
        f"the best by {first} in bold.",
        table(["variant", "seeds", "evaluations an image", *names], rows),
        image(f"{first} of the variants of {study.name}", path, material.folder),
        bullets(study.header, CHAIN[5:]) or "*No conclusion is written yet.*",
    ])  # fmt: skip
