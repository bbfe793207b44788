"""Figures of the reports, as SVG: readable in colour and in grey, axes with units, the spread over seeds drawn."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from evaluation.floor import Spread
from report.records import Experiment
from report.wording import lower_is_better

STYLES = [("#1b4f9c", "-", "o"), ("#d1782a", "--", "s"), ("#3c8d5a", ":", "^"), ("#8a3fa0", "-.", "D")]
IMAGES = "training images seen (thousands)"
STILL = {"svg.hashsalt": "mise", "svg.fonttype": "none", "font.size": 8, "axes.grid": True, "grid.alpha": 0.3}
UNITS = {
    "val_diversity": "diversity within a class\n(grey levels of 255)",
    "val_ema_distance": "distance of the average\n(share of the weights)",
    "grad_norm": "norm of the gradient",
    "gen_grad_norm": "norm of the gradient, generator",
    "disc_grad_norm": "norm of the gradient, discriminator",
    "real_logits": "mean logit of real images",
    "fake_logits": "mean logit of generated images",
}
WIDTH = 3.1  # inches of a panel


def draw_curves(experiments: Sequence[Experiment], names: Sequence[str], path: Path) -> None:
    """Draw a panel for each curve, with a line for each experiment: mean over the seeds, and a band of +- one std."""
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    with plt.rc_context(STILL):
        figure, axes = plt.subplots(rows, columns, figsize=(WIDTH * columns, 2.2 * rows), squeeze=False)
        for axis, name in zip(axes.flat, names):
            for experiment, style in zip(experiments, STYLES):
                draw_line(axis, experiment, name, style)
            axis.set(xlabel=IMAGES, ylabel=unit(name), title=name)
        for axis in axes.flat[len(names) :]:
            axis.remove()
        shown = {label: handle for axis in figure.axes for handle, label in zip(*axis.get_legend_handles_labels())}
        figure.legend(shown.values(), shown.keys(), loc="outside upper center", ncols=len(shown), frameon=False)
        save(figure, path)


def draw_line(axis: Axes, experiment: Experiment, name: str, style: tuple[str, str, str]) -> None:
    """Draw one experiment's curve as far as all of its runs have it."""
    curves = [run.curves[name] for run in experiment.runs if name in run.curves]
    if not curves:
        return
    length = min(map(len, curves))
    images = np.array([at for at, _ in curves[0][:length]]) / 1000
    values = np.array([[value for _, value in curve[:length]] for curve in curves])  # [seeds, points]
    colour, line, marker = style
    mean, every = values.mean(axis=0), max(length // 8, 1)
    axis.plot(images, mean, color=colour, linestyle=line, marker=marker, markevery=every, ms=4, lw=1.2,
              label=f"{experiment.name} ({len(curves)} {'seed' if len(curves) == 1 else 'seeds'})")  # fmt: skip
    if len(curves) > 1:
        std = values.std(axis=0, ddof=1)
        axis.fill_between(images, mean - std, mean + std, color=colour, alpha=0.2, linewidth=0)


def draw_results(results: Mapping[str, Spread], name: str, floor: Spread | None, path: Path, best: str | None) -> None:
    """Draw every value as a point, and mean +- one std beside it; a dashed line is what real photos get."""
    with plt.rc_context(STILL):
        figure, axis = plt.subplots(figsize=(2 * WIDTH, 0.34 * len(results) + 1.1))
        for row, (title, spread) in enumerate(results.items()):
            colour, _, marker = STYLES[1] if title == best else STYLES[0]
            axis.plot(spread.values, [row] * len(spread.values), "x", color="0.45", ms=4)
            axis.errorbar(spread.mean, row + 0.22, xerr=spread.std or 0, color=colour, marker=marker, capsize=3, ms=5)
        if floor is not None:
            axis.axvline(floor.mean, color="black", linestyle="--", lw=1)
            axis.annotate(
                "floor: real photos", (floor.mean, -0.55), xytext=(4, 0), textcoords="offset points", fontsize=7
            )
        axis.set_yticks(range(len(results)), list(results))
        axis.set_ylim(len(results) - 0.3, -0.9)
        key = "crosses: training seeds; marker and bar: mean ± standard deviation"
        axis.set_xlabel(f"{name} ({direction(name)})\n{key}")
        save(figure, path)


def direction(name: str) -> str:
    better = "lower" if lower_is_better(name) else "higher"
    kind = "a share, 0 to 1" if name.startswith(("precision", "recall", "coverage")) else "no unit"
    return f"{kind}; {better} is better"


def unit(name: str) -> str:
    """Say what stands on an axis, with its unit."""
    if name in UNITS:
        return UNITS[name]
    if name.startswith("val_quick"):
        count, _, metric = name.removeprefix("val_quick").partition("_")
        return f"{metric} of {count} images\n({direction(metric)})"
    return f"loss {name}\n(mean, no unit)"


def save(figure: plt.Figure, path: Path) -> None:
    """Write an SVG that is the same for the same data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.set_layout_engine("constrained")
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
