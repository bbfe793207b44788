"""What a report says of all experiments at once: a table, a figure, and the chain of questions."""

from evaluation.tables import check_one_table
from report.figures import draw_results
from report.records import Experiment, spread_of
from report.sections import Material, dev_name
from report.wording import image, joined, number, table, value


def overview(material: Material) -> str:
    """Return the table of all experiments, and the figure of the metric that decides.

    Raises ``MetricError`` when their numbers cannot stand in one table.
    """
    if not material.judged:
        return "No run here was judged on the test split: `inference.py` does that."
    check_one_table({it.name: it.evaluations[0] for it in material.judged})
    first, floor = material.metrics[0], material.floor
    rows = [row(material, it) for it in material.judged]
    if floor:
        cells = {name: value(floor[name]) for name in material.metrics if name in floor}
        rows.append(dict.fromkeys(rows[0], "") | {"experiment": "*floor: real photos*", "excess": "0"} | cells)
    path = material.folder / "figures" / "all.svg"
    results = {it.name: it.result(first) for it in material.judged}
    draw_results(results, first, floor.get(first), path, material.best.name)
    figure = image(f"{first} of all experiments", path, material.folder)
    return joined([table(list(rows[0]), [list(cells.values()) for cells in rows]), figure])


def row(material: Material, experiment: Experiment) -> dict[str, str]:
    """Return the cells of an experiment by column; the excess over the floor is that of the metric that decides."""
    origin, (first, *others), floor = experiment.evaluations[0]["origin"], material.metrics, material.floor
    dev = dev_name(experiment, first)
    result = experiment.result(first)
    return {
        "experiment": f"[{experiment.name}](#{experiment.name})",
        "seeds": str(len(experiment.evaluations)),
        "parameters": number(origin.get("parameters", "–")),
        "images seen": number(origin.get("training_images_seen", "–")),
        "evaluations an image": number(origin.get("evaluations_per_image", "–")),
        "wall minutes": f"{spread_of([run.seconds / 60 for run in experiment.runs]).mean:.1f}",
        first: value(result),
        "excess": number(result.mean - floor[first].mean) if first in floor else "–",
        **{name: value(experiment.result(name)) for name in others},
        "on dev, while training": f"{value(experiment.last(dev))} ({dev.removeprefix('val_')})" if dev else "–",
    }


def chain(material: Material) -> str:
    """Return a line for each experiment and study: the question, what was expected, what came out, what was next."""
    rows = []
    for it in [*material.experiments.values(), *material.studies.values()]:
        if it.header:
            told = [it.header.get(name, "–") for name in ("Question", "Expected", "Conclusion", "Next")]
            rows.append([f"[{it.name}](#{it.name})", *told])
    for name, header in material.planned.items():
        rows.append(
            [name, header.get("Question", "–"), header.get("Expected", "–"), "*written down, not run yet*", "–"]
        )
    return table(["experiment", "question", "expected", "came out", "next"], rows) if rows else ""
