"""What a report must contain, by the task: ``report.build`` writes it, ``report.check`` looks for it.

A report is Markdown. Each of ``REPORT`` is a heading of the second level with something under it; under the experiments
each has a heading of the third level, and under that each of ``EXPERIMENT``. Patterns are of words that any report of
the task would use, so that a report written by hand passes too.
"""

import re
from dataclasses import dataclass

EXPERIMENTS = "experiments"
REPORT = {  # what: a pattern of its heading
    EXPERIMENTS: r"^experiments",
    "the best model": r"best model",
    "failed experiments, with the reason": r"fail|did not work",
    "ideas not tried": r"ideas|not tried",
    "borrowings: papers, libraries, code, the language model": r"borrow",
}
EXPERIMENT = {  # what: a pattern of its text; ^ is the begin of a line, after marks of lists, tables and bold
    "what was observed before": r"^observ",
    "the hypothesis": r"^hypothes",
    "what was modified": r"^(chang|modif)",
    "curves of losses and metrics over training": r"!\[[^]]*(loss|curve)",
    "samples": r"!\[[^]]*sample",
    "the grid with fixed noise": r"!\[[^]]*grid",
    "results in numbers": r"^[^|\n]*(fid|kid)[^|\n]*\|",
    "the conclusion": r"^conclu",
    "what came next": r"^next",
}
UNFINISHED = ("TODO", "not measured yet", "No conclusion is written yet", "No pictures were kept")
MARKS = r"^[#*\-|\s]*"


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
    """Name every section that is not there or empty, and every part that an experiment lacks."""
    chapters = sections(markdown, 2)
    texts = {what: text_under(chapters, pattern) for what, pattern in REPORT.items()}
    missing = [what for what, text in texts.items() if not text]
    experiments = sections(texts[EXPERIMENTS], 3)
    if texts[EXPERIMENTS] and not experiments:
        missing.append(f"{EXPERIMENTS}: a ### heading for each")
    for experiment in experiments:
        lacking = [what for what, pattern in EXPERIMENT.items() if not has(experiment.text, pattern)]
        missing += [f"{experiment.title}: {what}" for what in lacking]
    return missing


def text_under(chapters: list[Section], pattern: str) -> str:
    """Return what stands under the headings that fit; nothing where none does."""
    return "\n\n".join(it.text for it in chapters if re.search(pattern, it.title, re.IGNORECASE)).strip()


def has(text: str, pattern: str) -> bool:
    """Tell whether a pattern of ``EXPERIMENT`` is in the text."""
    anchored = MARKS + pattern.removeprefix("^") if pattern.startswith("^") else pattern
    return re.search(anchored, text, re.IGNORECASE | re.MULTILINE) is not None
