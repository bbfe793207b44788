"""Figures of the reports, as SVG: readable in colour and in grey, axes with units, the spread over seeds drawn."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from evaluation.floor import Spread
from report.records import Experiment
from report.svg import slim
from report.wording import lower_is_better
from utils.files import whole_path

STYLES = [("#1b4f9c", "-", "o"), ("#d1782a", "--", "s"), ("#3c8d5a", ":", "^"), ("#8a3fa0", "-.", "D")]
IMAGES = "training images seen (thousands)"
STILL = {"svg.hashsalt": "mise", "svg.fonttype": "none", "font.sans-serif": ["DejaVu Sans"], "font.size": 9,
         "axes.titlesize": 9, "axes.grid": True, "grid.color": "0.9",
         "xtick.bottom": False, "ytick.left": False}  # fmt: skip
TITLES = {  # of a curve: what it is, and its unit
    "val_diversity": ("diversity within a class", "grey levels of 255"),
    "real_logits": ("mean logit of real images", "no unit"),
    "fake_logits": ("mean logit of generated images", "no unit"),
}
GUESSING = {"softplus_disc": 2 * math.log(2), "hinge_disc": 2.0, "relativistic_disc": math.log(2)}  # all logits 0
WIDTH, HEIGHT = 3.1, 1.9  # inches of a panel
MOST_POINTS = 150  # of a line: more than a panel has room for
FEW_POINTS = 12  # each of them is marked


def draw_curves(experiments: Sequence[Experiment], names: Sequence[str], path: Path) -> None:
    """Draw a panel for each curve, with a line for each experiment: mean over the seeds, and a band of +- one std."""
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    with plt.rc_context(STILL):
        figure, axes = plt.subplots(rows, columns, figsize=(WIDTH * columns, HEIGHT * rows + 0.3), squeeze=False)
        for axis, name in zip(axes.flat, names):
            for experiment, style in zip(experiments, STYLES):
                draw_line(axis, experiment, name, style)
            if name in GUESSING:
                axis.axhline(GUESSING[name], color="0.3", linestyle=(0, (1, 1)), lw=1, label="guessing: all logits 0")
            axis.set(title=title(name)[0], ylabel=title(name)[1])
            axis.set_xlim(left=0)
            axis.locator_params(nbins=5)
        for axis in axes.flat[len(names) :]:
            axis.remove()
        figure.supxlabel(f"{IMAGES}{binned(experiments, names)}", fontsize=9)
        shown = {label: handle for axis in figure.axes for handle, label in zip(*axis.get_legend_handles_labels())}
        figure.legend(shown.values(), shown.keys(), loc="outside upper center", ncols=len(shown), frameon=False)
        save(figure, path)


def draw_line(axis: Axes, experiment: Experiment, name: str, style: tuple[str, str, str]) -> None:
    """Draw one experiment's curve as far as all of its runs have it."""
    curves = [run.curves[name] for run in experiment.runs if name in run.curves]
    if not curves:
        return
    length = min(map(len, curves))
    images = thinned(np.array([at for at, _ in curves[0][:length]]) / 1000)
    values = thinned(np.array([[value for _, value in curve[:length]] for curve in curves]))  # [seeds, points]
    colour, line, marker = style
    mean, every = values.mean(axis=0), 1 if length <= FEW_POINTS else len(images) // 8
    axis.plot(images, mean, color=colour, linestyle=line, marker=marker, markevery=every, ms=4, lw=1.2,
              label=f"{experiment.name} ({len(curves)} {'seed' if len(curves) == 1 else 'seeds'})")  # fmt: skip
    if len(curves) > 1:
        std = values.std(axis=0, ddof=1)
        axis.fill_between(images, mean - std, mean + std, color=colour, alpha=0.2, linewidth=0)


def bin_size(length: int) -> int:
    """Say how many logged values become one point, so that a line has ``MOST_POINTS`` at most."""
    return -(-length // MOST_POINTS)


def thinned(values: np.ndarray) -> np.ndarray:
    """Take means over bins of the last axis; the last bin may be smaller. A short line stays as it is."""
    size = bin_size(values.shape[-1])
    starts = np.arange(0, values.shape[-1], size)
    return np.add.reduceat(values, starts, axis=-1) / np.diff([*starts, values.shape[-1]])


def binned(experiments: Sequence[Experiment], names: Sequence[str]) -> str:
    """Say how much was averaged, if anything was."""
    lengths = [len(run.curves[name]) for it in experiments for run in it.runs for name in names if name in run.curves]
    most = bin_size(max(lengths, default=1))
    return f"; a point is the mean of up to {most} logged values" if most > 1 else ""


def draw_results(results: Mapping[str, Spread], name: str, floor: Spread | None, path: Path, best: str | None) -> None:
    """Draw every value as a point with its spread, if it is known; a dashed line is what real photos get."""
    with plt.rc_context(STILL):
        figure, axis = plt.subplots(figsize=(2.4 * WIDTH, 0.26 * len(results) + 0.9))
        for row, (label, spread) in enumerate(results.items()):
            draw_spread(axis, spread, row, STYLES[1] if label == best else STYLES[0])
        if floor is not None:
            axis.axvline(floor.mean, color="black", linestyle="--", lw=1)
            axis.annotate(
                "floor: real photos", (floor.mean, -0.5), xytext=(4, 0), textcoords="offset points", fontsize=7
            )
        axis.set_yticks(range(len(results)), list(results))
        axis.set_ylim(len(results) - 0.4, -0.9)
        axis.set_xlim(*wide_enough(*axis.get_xlim()))
        axis.set_xlabel(f"{name} ({direction(name)})\n{key(results)}")
        save(figure, path)


def wide_enough(low: float, high: float) -> tuple[float, float]:
    """Widen an axis to a tenth of its values at least, so that noise does not look like a difference."""
    more = max(0.1 * abs(low + high) / 2 - (high - low), 0) / 2
    return low - more, high + more


def draw_spread(axis: Axes, spread: Spread, row: float, style: tuple[str, str, str]) -> None:
    """Draw one row: a hollow marker for a single value, else mean and std, and every value as a cross."""
    colour, _, marker = style
    if spread.std is None:
        axis.plot(spread.mean, row, marker=marker, color=colour, markerfacecolor="white", ms=6)
        return
    axis.errorbar(spread.mean, row, xerr=spread.std, color=colour, marker=marker, capsize=4, ms=6)
    axis.plot(spread.values, [row - 0.28] * len(spread.values), "x", color="0.3", ms=4)


def key(results: Mapping[str, Spread]) -> str:
    single = {spread.std is None for spread in results.values()}
    several = "full, with a bar: mean ± standard deviation over the seeds (crosses)"
    return "; ".join([*(["hollow: one seed"] if True in single else []), *([several] if False in single else [])])


def draw_costs(points: Mapping[str, tuple[float, Spread]], name: str, path: Path) -> None:
    """Draw results over the network evaluations that an image costs, each point with its name."""
    with plt.rc_context(STILL):
        figure, axis = plt.subplots(figsize=(2.4 * WIDTH, 2.3))
        for number, (label, (cost, spread)) in enumerate(points.items()):
            colour, _, marker = STYLES[number % len(STYLES)]
            filled = colour if spread.std else "white"
            axis.errorbar(cost, spread.mean, yerr=spread.std, color=colour, marker=marker, mfc=filled, capsize=3, ms=6)
            axis.annotate(label, (cost, spread.mean), xytext=(6, 3), textcoords="offset points")
        costs = sorted({cost for cost, _ in points.values()})
        axis.set_xscale("log", base=2)
        axis.set_xticks(costs, [f"{cost:g}" for cost in costs])
        axis.set_xlim(right=1.3 * costs[-1])  # room for the names
        axis.margins(y=0.15)
        spreads = {label: spread for label, (_, spread) in points.items()}
        axis.set(xlabel=f"network evaluations an image\n{key(spreads)}", ylabel=f"{name}\n({direction(name)})")
        save(figure, path)


def direction(name: str) -> str:
    better = "lower" if lower_is_better(name) else "higher"
    kind = "a share, 0 to 1" if name.startswith(("precision", "recall", "coverage")) else "no unit"
    return f"{kind}; {better} is better"


def title(name: str) -> tuple[str, str]:
    """Say what a curve is, and its unit."""
    if name in TITLES:
        return TITLES[name]
    if name.startswith("val_"):
        split = "test" if name.startswith("val_test_") else "dev"
        count, _, metric = name.removeprefix("val_").removeprefix("test_").removeprefix("quick").partition("_")
        return f"{metric} of {count} images, {split}", direction(metric)
    return f"loss {name}", "mean, no unit"


def save(figure: plt.Figure, path: Path) -> None:
    """Write an SVG that is the same for the same data."""
    figure.set_layout_engine("constrained", h_pad=0.06, w_pad=0.06)
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    with whole_path(path) as temporary:
        temporary.write_text(slim(drawn.getvalue()))
