"""A repository in which two tiny models are handed in, with everything that belongs to it."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import inference
import train
from metrics.registry import features_registry
from report.model_card import write_card
from tests.evaluation.conftest import Colours
from tests.runs import GENERATIVE, words, write_config

JUDGED = {"train.val_metrics": ["fid"], "metrics_args.fid.dims": 64, "inference.seeds": 2}
CHOICES = {"config": "configs/tiny.yaml", "width": "", "guidance": "", "seconds": {"trained": 120, "results": 60}}


HEADINGS = {
    "experiments": "Experiments",
    "the best model": "The best model",
    "failed experiments, with the reason": "What did not work",
    "ideas not tried": "Ideas not tried",
    "borrowings: papers, libraries, code, the language model": "What is borrowed",
}
PARTS = {
    "what was observed before": "* **Observed.** nothing much",
    "the hypothesis": "**Hypothesis:** it helps",
    "what was modified": "#### Changes\none number",
    "curves of losses and metrics over training": "![losses and metrics over training](curve.svg)",
    "samples": "![samples of it](samples.png)",
    "the grid with fixed noise": "![its grid](grid.png)",
    "results in numbers": "| fid768 | 1.7 |",
    "the conclusion": "* **Conclusion.** it did",
    "what came next": "- Next: another",
}


def whole_report() -> str:
    """Return a report with everything that the task asks for."""
    experiments = "\n\n".join(f"### Trial {letter}\n\n" + "\n\n".join(PARTS.values()) for letter in "ab")
    texts = {"experiments": f"What was tried.\n\n{experiments}"}
    return "# Report\n\n" + "\n\n".join(f"## {title}\n\n{texts.get(what, 'text')}" for what, title in HEADINGS.items())


def hand_in(root: Path, family: str, runs: Path) -> dict[str, str]:
    """Train a tiny model of the family, publish it with its card, write its report; return what is handed in."""
    for folder in ("configs/inference", "checkpoints", f"report/{family}"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    config = write_config(root / "configs", family, {"train.steps": 2, "train.val_step": 2})
    numbers = write_config(root / "configs" / "inference", family, JUDGED)
    published, evaluated = root / "checkpoints" / family, runs / "evaluated" / family
    train.main(words(config, runs))
    export = ["train.checkpoint_path=latest", "inference.study=export", f"inference.out_dir={published}"]
    inference.main(words(config, runs, *export))
    inference.main(words(numbers, runs, f"train.checkpoint_path={published}", f"inference.out_dir={evaluated}"))
    write_card(published, evaluated, CHOICES)
    (root / f"report/{family}/README.md").write_text(whole_report())
    for name in ("curve.svg", "samples.png", "grid.png"):
        (root / f"report/{family}/{name}").write_bytes(b"a picture")
    inside = {"train": config, "inference": numbers, "checkpoint": published}
    parts = {name: str(path.relative_to(root)) for name, path in inside.items()}
    return parts | {"report": f"report/{family}/README.md"}


@pytest.fixture(scope="session")
def handed_in(tmp_path_factory) -> Path:
    """A repository that is ready to be handed in; nobody may change it."""
    root, runs = tmp_path_factory.mktemp("handed_in"), tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(features_registry.classes, "inception", Colours)
        submission = {family: hand_in(root, family, runs) for family in GENERATIVE}
    (root / "report" / "submission.yaml").write_text(yaml.safe_dump(submission))
    (root / "README.md").write_text("Python 3.12\n")
    (root / "requirements.txt").write_text("numpy\n")
    commit(root)
    return root


@pytest.fixture
def fork(handed_in, tmp_path) -> Path:
    """A copy of the repository, to break something in."""
    shutil.copytree(handed_in, tmp_path / "fork")
    return tmp_path / "fork"


def commit(root: Path) -> None:
    """Commit everything in the folder."""
    somebody = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org", "-c", "commit.gpgsign=false"]
    for line in (["init", "--quiet"], ["add", "--all"], [*somebody, "commit", "--quiet", "--message", "all"]):
        subprocess.run(["git", *line], cwd=root, check=True)
