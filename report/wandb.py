"""The report at W&B: its runs, from the logs that are kept, and a W&B Report with the same text and live panels.

    python3 -m report.wandb runs=DIR out=DIR                                  # every run, offline; then wandb sync
    python3 -m report.wandb runs=DIR report=FILE entity=NAME [project=mise]   # wants wandb-workspaces and a login

runs       folders of runs, however deep: config.yaml, metrics.jsonl, timing.jsonl, pictures where kept
out        where the offline runs are written; upload them all by `wandb sync OUT/*/wandb/offline-run-*`
report     Markdown that report.build wrote; a section that is about runs, by its title or in `backquotes`, gets a grid
           of their panels
entity     the user or team at W&B; project: where the runs are
title      of the report; the Markdown's first heading unless told otherwise

A run that was trained with exp.use_wandb=True needs no out=: wandb sync RUN/wandb/offline-run-* if it was offline.
"""

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image

from report.contents import sections
from training.launch import load_trainer
from training.loggers import WeightsAndBiases
from training.panels import PICTURES, panel
from training.run_folder import RunFolder
from utils.command import command_of
from utils.errors import ConfigError, DataError
from utils.schema import section

COLUMNS, WIDTH, HEIGHT = 3, 8, 6  # panels in a row; a panel's size on W&B's grid, which is 24 wide
MISSING = "W&B Reports need one more library: pip install wandb-workspaces (the Markdown report is whole without)"


@section
class Settings:
    """What the command takes."""

    runs: str
    out: str | None = None
    report: str | None = None
    entity: str | None = None
    project: str = "mise"
    title: str | None = None


@command_of(Settings)
def main(settings: Settings) -> None:
    if not (settings.out or settings.report):
        raise ConfigError("nothing to do: out=DIR makes offline runs of the logs, report=FILE a W&B Report")
    runs = find_runs(Path(settings.runs).expanduser())
    if settings.out:
        for run in runs:
            replay(run, Path(settings.out).expanduser(), settings.project)
    if settings.report:
        if settings.entity is None:
            raise ConfigError("entity=NAME is missing: the user or team whose project the runs are in")
        report = build(settings, Path(settings.report).expanduser().read_text(), runs)
        report.save()  # the one call that needs the network and a login


@dataclass(frozen=True)
class Run:
    """A run's folder, and the names that lead to it: an experiment and a seed, or the run alone."""

    folder: Path
    path: tuple[str, ...]

    @property
    def name(self) -> str:
        return "-".join(self.path)


def find_runs(root: Path) -> list[Run]:
    """Return the runs under a folder. Raises :class:`DataError` when there are none."""
    folders = [path.parent for path in sorted(root.rglob("metrics.jsonl"))]
    found = [Run(folder, folder.relative_to(root).parts or (folder.name,)) for folder in folders]
    if not found:
        raise DataError(f"{root} holds no run: no metrics.jsonl in it or below")
    return found


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


# ---- Runs from logs.


def replay(kept: Run, out: Path, project: str) -> None:
    """Tell the logs of a run to W&B's logger, offline, as the run itself would have; once, lest it be doubled."""
    words = [f"exp.exp_dir={out}", f"exp.run_name={kept.name}", f"exp.wandb_project={project}"]
    run = RunFolder(load_trainer([f"exp.config_path={kept.folder / 'config.yaml'}", *words]).config)
    if run.path.exists():
        print(f"{run.path} is there already: delete it to make it again")
        return
    run.path.mkdir(parents=True)
    timing = {line.pop("step"): line for line in lines(kept.folder / "timing.jsonl")}
    values: dict[int, dict[str, float]] = defaultdict(dict)
    for line in lines(kept.folder / "metrics.jsonl"):
        values[line.pop("step")] |= line
    pictures = pictures_of(kept.folder, last=max(values))
    logger = WeightsAndBiases(run, online=False)
    for step in sorted({*values, *timing, *pictures}):  # W&B takes steps in their order only
        logger.scalars(step, values.get(step, {}), timing.get(step, {}))
        for name, path in pictures.get(step, {}).items():
            logger.image(step, name, torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1))
    logger.close()


def pictures_of(folder: Path, last: int) -> dict[int, dict[str, Path]]:
    """Return a run's pictures by step and name: ``images/samples_00001200.png``; ``grid.png`` is of the last step."""
    found: dict[int, dict[str, Path]] = defaultdict(dict)
    for path in sorted((folder / "images").glob("*_????????.png")):
        name, _, step = path.stem.rpartition("_")
        found[int(step)][name] = path
    for path in sorted(folder.glob("*.png")):
        found[last].setdefault(path.stem, path)
    return found


# ---- The report.


def build(settings: Settings, markdown: str, runs: list[Run]) -> Any:
    """Return the W&B Report, not sent yet: the Markdown's sections, and under those that name runs their panels."""
    wr = library()
    blocks = [wr.TableOfContents(), wr.H2("All runs"), grid(wr, runs)]
    for chapter in sections(markdown, 2):
        experiments = sections(chapter.text, 3)
        begin = chapter.text.split(f"### {experiments[0].title}")[0] if experiments else chapter.text
        blocks += [wr.H2(chapter.title), *text_and_panels(wr, chapter.title, begin, runs)]
        for experiment in experiments:
            blocks += [wr.H3(experiment.title), *text_and_panels(wr, experiment.title, experiment.text, runs)]
    first = next(iter(sections(markdown, 1)), None)
    title = settings.title or (first.title if first else settings.project)
    return wr.Report(project=settings.project, entity=settings.entity, title=title, blocks=blocks, width="fluid")


def library() -> ModuleType:
    try:
        import wandb_workspaces.reports.v2 as wr
    except ImportError as error:
        raise ConfigError(MISSING) from error
    return wr


def text_and_panels(wr: ModuleType, title: str, text: str, runs: list[Run]) -> list[Any]:
    """Return a section's text without its pictures, which W&B cannot see, and the panels of the runs that it names."""
    without = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text).strip()
    blocks = [wr.MarkdownBlock(text=without)] if without else []
    words = {title, *re.findall(r"`([^`\n]+)`", text)}
    named = [run for run in runs if words & {run.name, *run.path}]
    return [*blocks, grid(wr, named)] if named else blocks


def grid(wr: ModuleType, runs: list[Run]) -> Any:
    """Return a grid of panels in which the losses, the metrics and the pictures of some runs line up."""
    keys = {panel(name) for run in runs for line in lines(run.folder / "metrics.jsonl") for name in line}
    keys.discard(panel("step"))
    plots = [wr.LinePlot(title=key, x="Step", y=[key]) for key in sorted(keys, key=lambda key: (order(key), key))]
    shown = [f"{PICTURES}/{name}" for name in ("samples", "grid")]
    pictures = wr.MediaBrowser(title=PICTURES, media_keys=shown, num_columns=2)
    for number, plot in enumerate(plots):
        row, column = divmod(number, COLUMNS)
        plot.layout = wr.Layout(x=column * WIDTH, y=row * HEIGHT, w=WIDTH, h=HEIGHT)
    below = -(-len(plots) // COLUMNS) * HEIGHT
    pictures.layout = wr.Layout(x=0, y=below, w=COLUMNS * WIDTH, h=2 * HEIGHT)
    chosen = wr.Runset(name="runs", filters=f"Name in {[run.name for run in runs]}")
    return wr.PanelGrid(runsets=[chosen], panels=[*plots, pictures])


def order(key: str) -> int:
    """Losses first, then metrics, then what is only watched."""
    return ("loss", "val", "watched").index(key.partition("/")[0])


if __name__ == "__main__":
    main()
