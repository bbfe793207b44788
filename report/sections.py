"""What a report must contain, by the task: ``report.build`` writes these sections, ``report.check`` looks for them.

A report is Markdown. Every name of ``REPORT`` is a heading of the second level. Under ``EXPERIMENTS`` each experiment
has a heading of the third level, and in it every name of ``EXPERIMENT`` begins a line: as a heading, in bold, or as a
table's first cell.
"""

import re
from dataclasses import dataclass

EXPERIMENTS = "Experiments"
REPORT = (
    EXPERIMENTS,
    "Best model",  # its parameters, settings and cost; its numbers with floor and spread
    "Failed experiments",  # with the reason
    "Ideas not tried",
    "Borrowings",  # papers, libraries, ideas from public code, and the language model
)
EXPERIMENT = (
    "Observation",  # what was seen before
    "Hypothesis",
    "Change",  # what was modified, against which baseline
    "Losses",
    "Metrics",  # over training
    "Samples",  # 5 to 10 of them, and the grid with fixed noise
    "Comparison",  # with the baseline
    "Conclusion",
    "Next",
)
UNFINISHED = ("TODO", "not measured yet")


@dataclass(frozen=True)
class Section:
    """A heading of Markdown and what stands under it, up to the next heading of its level or above."""

    title: str
    text: str


def sections(markdown: str, level: int) -> list[Section]:
    """Cut Markdown at its headings of ``level``; a heading inside a code block is none."""
    found: list[tuple[str, list[str]]] = []
    fenced, inside = False, False
    for line in markdown.splitlines():
        fenced ^= line.startswith("```")
        heading = None if fenced else re.match(r"(#{1,6}) +(.*)", line)
        if heading and len(heading[1]) <= level:
            inside = len(heading[1]) == level
            found += [(heading[2].strip(), [])] if inside else []
        elif inside:
            found[-1][1].append(line)
    return [Section(title, "\n".join(lines).strip()) for title, lines in found]


def missing_parts(markdown: str) -> list[str]:
    """Name every section that is not there or empty, and every experiment's part that is not there."""
    present = {section.title: section.text for section in sections(markdown, 2)}
    missing = [f"## {name}" for name in REPORT if not present.get(name)]
    experiments = sections(f"## {EXPERIMENTS}\n{present.get(EXPERIMENTS, '')}", 3)
    if EXPERIMENTS in present and not experiments:
        missing.append(f"## {EXPERIMENTS}: a ### heading for each")
    for experiment in experiments:
        lacking = [name for name in EXPERIMENT if not begins_a_line(experiment.text, name)]
        missing += [f"### {experiment.title}: {name}" for name in lacking]
    return missing


def begins_a_line(text: str, name: str) -> bool:
    """Tell whether a line begins with the word, after marks of headings, bold, lists and tables."""
    return re.search(rf"^[#*\-|\s]*{re.escape(name)}\b", text, re.MULTILINE) is not None
