"""The title page of an experiment: the comment that its YAML file opens with.

    # Observed:   what earlier runs have shown
    # Hypothesis: why, and what would follow from it
    # Change:     what this experiment changes against its baseline
    # Expected:   what should come out if the hypothesis holds
    # Baseline:   name of the experiment that it is compared with; none
    # Conclusion: what came out; added after the run, all else is committed before it
    # Next:       what is tried because of it

A line that names no field goes on with the field above it. ``Question``, ``Command`` and ``Cost`` may stand there too.
"""

import re
from pathlib import Path

from utils.errors import ConfigError, did_you_mean

CHAIN = ("Observed", "Hypothesis", "Change", "Expected", "Baseline", "Conclusion", "Next")
FIELDS = ("Question", *CHAIN, "Command", "Cost", "Before")
FIELD = re.compile(r"^# ([A-Z][a-z]+):\s*(.*)$")


def read_header(file: Path) -> dict[str, str]:
    """Return the fields of a config's header in the order in which they stand; {} for a file without one.

    Raises :class:`ConfigError` for a field of another name, or one that stands there twice.
    """
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read ({error}): name a config") from error
    fields: dict[str, str] = {}
    last = None
    for line in lines:
        if not line.startswith("#"):
            break
        found = FIELD.match(line)
        if found:
            last = found[1]
            check_field(last, fields, file)
            fields[last] = found[2].strip()
        elif last:
            fields[last] = f"{fields[last]} {line[1:].strip()}".strip()
    return fields


def check_field(name: str, fields: dict[str, str], file: Path) -> None:
    if name not in FIELDS:
        raise ConfigError(f"{file}: '# {name}:' is no field of a header.{did_you_mean(name, list(FIELDS))}")
    if name in fields:
        raise ConfigError(f"{file}: '# {name}:' stands there twice: keep one")
