"""Errors that a user can cause. Each is one line that names the fix; see ``utils/command.py``."""

from difflib import get_close_matches


class UserError(Exception):
    """Something the user can mend. The message is one line with the fix; commands exit with ``exit_status``."""

    exit_status = 2


class ConfigError(UserError, ValueError):
    """A config, an override or an argument that cannot be used."""


class DataError(UserError):
    """A data folder, an archive or a checkpoint that cannot be used."""


class MetricError(UserError):
    """A metric that cannot be computed here: no weights, no data. Images that were made stay."""

    exit_status = 3


def did_you_mean(word: str, known: list[str]) -> str:
    """Return `` Did you mean 'x'?`` when a known word is close, else the list of what is known."""
    close = get_close_matches(word, known, n=1)
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" Known: {', '.join(sorted(known))}." if known else ""
