"""Tables: value, floor, excess, and numbers that never stand side by side."""

import copy

import pytest

from evaluation.tables import comparison_table, result_table
from utils.errors import MetricError

RECORD = {
    "results": {"fid768": 0.5, "kid768": 0.002, "kid768_std": 0.1, "kid768_se": 0.0003},
    "std": {"fid768": 0.01},
    "analyses": {"floor": {"results": {"fid768": {"mean": 0.2, "std": 0.005}}}},
    "origin": {
        "split": "test",
        "file_format": "from memory",
        "real_content": "abc",
        "real_images": 20,
        "features": {"fid": {"network": "inception", "dims": 768}},
    },
}


def test_the_excess_is_the_value_less_the_floor():
    table = result_table(RECORD)
    assert table.splitlines()[0].split() == ["value", "+-", "floor", "+-", "excess"]
    assert table.splitlines()[1].split() == ["fid768", "0.5", "0.01", "0.2", "0.005", "0.3"]


def test_a_single_seed_shows_the_metric_s_own_standard_error():
    assert result_table(RECORD).splitlines()[2].split() == ["kid768", "0.002", "0.0003"]
    assert len(result_table(RECORD).splitlines()) == 3  # errors have no lines of their own


def test_without_a_floor_there_are_no_empty_columns():
    table = result_table({**RECORD, "analyses": {}})
    assert table.splitlines()[0].split() == ["value", "+-"]
    assert table.splitlines()[1].split() == ["fid768", "0.5", "0.01"]


def test_a_floor_alone_is_a_table_too():
    assert result_table({**RECORD, "results": {}}).splitlines()[1].split() == ["fid768", "0.2", "0.005"]


def test_columns_are_aligned():
    assert len({len(line) for line in comparison_table({"a": RECORD, "longer": RECORD}).splitlines()}) == 1


@pytest.mark.parametrize("words", ["lossless", "as the files are", "from memory, 8 bits a channel"])
def test_memory_and_lossless_files_are_one_protocol_in_earlier_records_too(words):
    ours = changed(["origin", "file_format"], "lossless")
    theirs = changed(["origin", "file_format"], words)
    theirs["origin"]["files"] = {"real": {".jpg": 20}, "fake": {".png": 20}}
    assert "theirs" in comparison_table({"ours": ours, "theirs": theirs})
    theirs["origin"]["files"]["fake"] = {".jpg": 20}
    if words == "as the files are":
        with pytest.raises(MetricError, match="different file formats"):
            comparison_table({"ours": ours, "theirs": theirs})


def changed(path: list[str], value) -> dict:
    record = copy.deepcopy(RECORD)
    place = record
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return record


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["origin", "split"], "dev", "different splits"),
        (["origin", "real_content"], None, "does not say its real_content"),
        (["origin", "file_format"], "jpeg", "different file formats"),
        (["origin", "real_content"], "abd", "different reference images"),
        (["origin", "real_images"], 21, "different numbers of images"),
        (["origin", "features", "fid", "dims"], 2048, "fid saw different features"),
        (["results"], {"kid768": 1.0}, "no fid768: evaluate it with the same metrics"),
    ],
)
def test_numbers_that_cannot_be_compared_share_no_table(path, value, message):
    with pytest.raises(MetricError, match=message):
        comparison_table({"ours": RECORD, "theirs": changed(path, value)})
