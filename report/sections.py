"""The sections of a report, as Markdown: one for each experiment, one for each sampling study."""

from evaluation.tables import figures
from report.figures import draw_costs, draw_curves, draw_results
from report.headers import CHAIN
from report.material import Material, dev_name
from report.records import Experiment, SamplingStudy, differences
from report.wording import best_of, bullets, comparison, image, joined, number, table, value

NOT_DRAWN = ("val_ema_distance", "grad_norm", "gen_grad_norm", "disc_grad_norm")
MOST_PANELS = 9


def experiment_section(material: Material, experiment: Experiment) -> str:
    """Return all about one experiment: what it tests and changes, losses, metrics, samples, comparison, conclusion."""
    beside = compared(material, experiment)
    return joined([
        f"### {experiment.name}",
        question(experiment),
        bullets(experiment.header, CHAIN[:4]) or "*The config of this run has no header (see report/headers.py).*",
        changes(material, experiment),
        results_table(material, experiment, beside),
        curves(material, experiment, beside),
        pictures(material, experiment),
        f"Again: `{experiment.header['Command']}`" if experiment.header.get("Command") else "",
        bullets(experiment.header, CHAIN[5:]) or "*No conclusion is written yet.*",
    ])  # fmt: skip


def compared(material: Material, experiment: Experiment) -> list[Experiment]:
    """Return what an experiment stands beside: its baseline, and what its config is built on where that is another."""
    names = dict.fromkeys([experiment.baseline, experiment.built_on])
    return [material.experiments[name] for name in names if name in material.experiments]


def question(it: Experiment | SamplingStudy) -> str:
    asked = it.header.get("Question", "")
    return f"**{asked[:1].upper()}{asked[1:]}**" if asked else ""


def changes(material: Material, experiment: Experiment) -> str:
    """Say what differs from the config that this one builds on; of a config without such a one from the baseline's."""
    parent = material.experiments.get(experiment.built_on or "", material.experiments.get(experiment.baseline or ""))
    if parent is None:
        return ""
    rows = [[f"`{key}`", *(f"`{cell}`" if cell is not None else "–" for cell in cells)]
            for key, *cells in differences(experiment.config, parent.config)]  # fmt: skip
    return joined(["Modified, by the resolved configs:", table(["key", parent.name, experiment.name], rows)])


def results_table(material: Material, experiment: Experiment, beside: list[Experiment]) -> str:
    """Return the results beside the baseline's and the floor, mean and standard deviation over training seeds."""
    if not experiment.evaluations:
        return ""
    shown, floor = [it for it in (experiment, *beside) if it.evaluations], material.floor
    rows = [[name, *(value(it.result(name)) for it in shown), value(floor.get(name))] for name in material.metrics]
    first = material.metrics[0]
    said = [f"{first} beside {it.name}: {comparison(experiment.result(first), it.result(first))}." for it in shown[1:]]
    heads = [f"{it.name} ({seeds_of(it)})" for it in shown]
    return joined([table(["on the test split", *heads, "floor: real photos"], rows), "\n".join(said)])


def seeds_of(experiment: Experiment) -> str:
    count = len(experiment.evaluations)
    return "1 seed" if count == 1 else f"{count} seeds"


def curves(material: Material, experiment: Experiment, beside: list[Experiment]) -> str:
    """Draw losses and validations over training, what it is compared with beside them."""
    logged = list(experiment.runs[0].curves)
    names = [name for name in logged if not name.startswith("val_") and name not in NOT_DRAWN][: MOST_PANELS - 2]
    dev = dev_name(experiment, next(iter(material.metrics), ""))
    names += [name for name in (dev, "val_diversity") if name in logged]
    path = material.folder / "figures" / f"{experiment.name}.svg"
    draw_curves([experiment, *beside], names, path)
    return image(f"losses and metrics of {experiment.name} over training", path, material.folder)


def pictures(material: Material, experiment: Experiment) -> str:
    """Show samples and grid of the first seed's model: always from the same noise."""
    run, shown = experiment.runs[0], []
    for name, text in (("samples", "Samples, the first of each class shown"), ("grid", "Grid")):
        path = run.picture(name)
        if path:
            shown += [f"{text} ({run.folder.name}{noise_of(experiment)}, not picked):"]
            shown += [image(f"{name} of {experiment.name}", path, material.folder)]
    return joined(shown) if shown else "*No pictures were kept.*"


def noise_of(experiment: Experiment) -> str:
    """Name the noise of the pictures: the sampling seed, the same for all models."""
    seed = experiment.evaluations[0]["origin"].get("seed") if experiment.evaluations else None
    return ", fixed noise" if seed is None else f", fixed noise of sampling seed {seed}"


def study_section(material: Material, study: SamplingStudy) -> str:
    """Return all about one sampling study: nothing is trained in it."""
    names, origin = figures(study.record["results"]), study.record["origin"]
    best = best_of({variant: study.result(variant, names[0]) for variant in study.variants}, names[0])
    said = f"; the best by {names[0]} in bold" if len(study.variants) > 1 else ""
    return joined([
        f"### {study.name}",
        question(study),
        bullets(study.header, CHAIN[:4]),
        f"Models of [{study.of}](#{study.of}); {origin['images']} images against the {origin['split']} split{said}.",
        table(["variant", "models", "evaluations an image", *names], study_rows(material, study, names, best)),
        study_figure(material, study, names[0], best),
        bullets(study.header, CHAIN[5:]) or "*No conclusion is written yet.*",
    ])  # fmt: skip


def study_rows(material: Material, study: SamplingStudy, names: list[str], best: str | None) -> list[list[str]]:
    """Return a row for each variant; on the test split the experiment's own below, as it was trained."""
    rows = []
    for variant in study.variants:
        shown = f"**{variant}**" if variant == best and len(study.variants) > 1 else variant
        cells = [value(study.result(variant, name)) for name in names]
        rows.append([shown, study.seeds(variant), number(cost_of(study, variant)), *cells])
    parent = material.experiments.get(study.of)
    if study.record["origin"]["split"] == "test" and parent and parent.evaluations:
        cost = number(parent.evaluations[0]["origin"].get("evaluations_per_image", "–"))
        cells = [value(parent.result(name)) for name in names]
        rows.append([f"*{parent.name}, all seeds*", str(len(parent.evaluations)), cost, *cells])
    return rows


def cost_of(study: SamplingStudy, variant: str) -> int:
    return study.variants[variant][0]["origin"].get("evaluations_per_image", 0)


def study_figure(material: Material, study: SamplingStudy, metric: str, best: str | None) -> str:
    """Draw the variants by what they cost, or, where all cost the same, one below the other; a single one not."""
    if len(study.variants) == 1:
        return ""
    results = {variant: study.result(variant, metric) for variant in study.variants}
    path = material.folder / "figures" / f"{study.name}.svg"
    if len({cost_of(study, variant) for variant in study.variants}) > 1:
        draw_costs({it: (cost_of(study, it), spread) for it, spread in results.items()}, metric, path)
    else:
        draw_results(results, metric, None, path, best)
    return image(f"{metric} of the variants of {study.name}", path, material.folder)
