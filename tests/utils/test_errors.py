"""Hints at what was meant."""

import pytest

from utils.errors import did_you_mean


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("stpes", ["steps", "seed"], " Did you mean 'steps'?"),
        ("x", ["steps", "seed"], " Known: seed, steps."),
        ("x", [], ""),
    ],
)
def test_a_hint_is_the_close_word_or_all_there_are(word, known, hint):
    assert did_you_mean(word, known) == hint
