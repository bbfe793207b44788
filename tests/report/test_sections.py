"""What a report must contain, and what is noticed when it does not."""

import pytest

from report.sections import EXPERIMENT, EXPERIMENTS, REPORT, missing_parts, sections
from tests.report.conftest import whole_report


def test_a_whole_report_lacks_nothing():
    assert missing_parts(whole_report()) == []


@pytest.mark.parametrize("name", REPORT)
def test_a_section_that_is_not_there_is_missed(name):
    assert f"## {name}" in missing_parts(whole_report().replace(f"## {name}\n", "## Something else\n"))


@pytest.mark.parametrize("name", REPORT[1:])
def test_an_empty_section_is_missed(name):
    assert missing_parts(whole_report().replace(f"## {name}\n\ntext", f"## {name}\n")) == [f"## {name}"]


@pytest.mark.parametrize("name", EXPERIMENT)
def test_a_part_that_one_experiment_lacks_is_missed_there(name):
    first, second = whole_report().split("### Trial b")
    report = first + "### Trial b" + second.replace(name, name.lower(), 1)
    assert missing_parts(report) == [f"### Trial b: {name}"]


def test_experiments_without_a_heading_of_their_own_are_missed():
    report = whole_report().replace("### Trial", "Trial")
    assert missing_parts(report) == [f"## {EXPERIMENTS}: a ### heading for each"]


def test_a_heading_in_a_code_block_is_none():
    assert [it.title for it in sections("## One\n```\n## no\n```\nmore\n## Two\n", 2)] == ["One", "Two"]
    assert sections("## One\n```\n## no\n```\nmore\n", 2)[0].text == "```\n## no\n```\nmore"
