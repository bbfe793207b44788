"""What a report must contain, and what is noticed when it does not."""

import pytest

from report.contents import EXPERIMENT, EXPERIMENTS, REPORT, missing_parts, sections
from tests.handed_in import HEADINGS, PARTS, whole_report


def test_a_whole_report_lacks_nothing():
    assert missing_parts(whole_report()) == []
    assert HEADINGS.keys() == REPORT.keys() and PARTS.keys() == EXPERIMENT.keys()


@pytest.mark.parametrize("what", REPORT)
def test_a_section_that_is_not_there_is_missed(what):
    assert missing_parts(whole_report().replace(f"## {HEADINGS[what]}\n", "## Something else\n")) == [what]


@pytest.mark.parametrize("what", [what for what in REPORT if what != EXPERIMENTS])
def test_an_empty_section_is_missed(what):
    assert missing_parts(whole_report().replace(f"## {HEADINGS[what]}\n\ntext", f"## {HEADINGS[what]}\n")) == [what]


@pytest.mark.parametrize("what", EXPERIMENT)
def test_a_part_that_one_experiment_lacks_is_missed_there(what):
    first, second = whole_report().split("### Trial b")
    report = first + "### Trial b" + second.replace(PARTS[what], "", 1)
    assert missing_parts(report) == [f"Trial b: {what}"]


def test_experiments_without_a_heading_of_their_own_are_missed():
    report = whole_report().replace("### Trial", "Trial")
    assert missing_parts(report) == [f"{EXPERIMENTS}: a ### heading for each"]


def test_a_heading_in_a_code_block_is_none():
    assert [it.title for it in sections("## One\n```\n## no\n```\nmore\n## Two\n", 2)] == ["One", "Two"]
    assert sections("## One\n```\n## no\n```\nmore\n", 2)[0].text == "```\n## no\n```\nmore"
