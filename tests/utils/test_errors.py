"""What a command does with an error: one line and a status for the user's, a traceback for ours."""

import pytest

from training.window import TrainingError
from utils.errors import ConfigError, DataError, MetricError, UserError, did_you_mean, one_line_errors


@pytest.mark.parametrize(
    ("error", "status"), [(UserError, 2), (ConfigError, 2), (DataError, 2), (MetricError, 3), (TrainingError, 4)]
)
def test_a_user_error_is_one_line_and_its_status(capsys, error, status):
    @one_line_errors
    def command():
        raise error("this is wrong:\n  do that")

    with pytest.raises(SystemExit) as stopped:
        command()
    assert stopped.value.code == status
    assert capsys.readouterr() == ("", "error: this is wrong: do that\n")


def test_a_bug_keeps_its_traceback():
    @one_line_errors
    def command():
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        command()


def test_a_command_keeps_its_name_and_arguments(capsys):
    @one_line_errors
    def command(first, second=2):
        """Do it."""
        print(first, second)

    command(1, second=3)
    assert capsys.readouterr().out == "1 3\n"
    assert (command.__name__, command.__doc__) == ("command", "Do it.")


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
