"""From a YAML file, its ``base:`` and the command line to one plain tree. The only file that knows OmegaConf.

Precedence: command line, file, its base, the schema's defaults (which are not here: see ``utils/schema.py``).
In an overlay mappings merge, lists and scalars replace, ``null`` removes; a role that changes its class
(``train.model``, ``data.dataset``, ...) drops the arguments it inherited (``model_args``, ``dataset_args``, ...).
So a file that sets ``ema_args`` names ``train.ema`` too, even where it is the schema's default.
"""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from utils.errors import ConfigError, did_you_mean

Tree = dict[str, Any]
ROLE_SECTIONS = ("train", "data")  # the sections whose keys name classes


def load_tree(arguments: list[str]) -> Tree:
    """Read ``exp.config_path=FILE section.key=value ...`` into one tree without interpolations.

    Raises :class:`ConfigError` for a missing or unreadable file, a loop of bases, or a malformed override.
    """
    overrides = parse_overrides(arguments)
    path = overrides.get("exp", {}).get("config_path")
    if not isinstance(path, str):
        raise ConfigError("exp.config_path=FILE is missing: name the YAML file of the experiment")
    return at_home(resolve(overlay(read_file(Path(path).expanduser()), overrides)))


def at_home(value: Any) -> Any:
    """Put the home folder in place of a leading ``~/``, which no shell does behind an equals sign."""
    if isinstance(value, dict):
        return {key: at_home(one) for key, one in value.items()}
    if isinstance(value, list):
        return [at_home(one) for one in value]
    return str(Path(value).expanduser()) if isinstance(value, str) and value.startswith("~/") else value


def parse_overrides(arguments: list[str]) -> Tree:
    """Turn ``section.key=value`` words into a tree; values are YAML: numbers, true/false, null, [lists]."""
    tree: Tree = {}
    for argument in arguments:
        key, equals, _ = argument.partition("=")
        if not equals or not all(part.isidentifier() for part in key.split(".")):
            raise ConfigError(f"'{argument}' is not an override: write section.key=value{meant_by(argument)}")
        try:
            one = OmegaConf.to_container(OmegaConf.from_dotlist([argument]))
        except (OmegaConfBaseException, YAMLError, ValueError) as error:
            quotes = "; a list with spaces needs quotes: 'key=[a, b]'" if "=[" in argument else ""
            raise ConfigError(f"'{argument}' cannot be read: {first_line(error)}{quotes}") from error
        if find(tree, key.split(".")) is not None:
            raise ConfigError(f"{key} is given twice on the command line: keep one")
        tree = overlay(tree, one)
    return tree


def meant_by(word: str) -> str:
    """Say how a word of the command line that is no override was probably meant."""
    if word.startswith("-"):
        return ", without the dashes"
    if word.endswith((".yaml", ".yml")) and "=" not in word:
        return f": for this file exp.config_path={word}"
    return ", without spaces around =" if word == "=" or "=" not in word else ""


def read_file(path: Path, seen: tuple[Path, ...] = ()) -> Tree:
    """Read one YAML file on top of the files its ``base:`` names, each relative to the file that names it."""
    if path.resolve() in seen:
        raise ConfigError(f"{path} is its own base: {' -> '.join(p.name for p in (*seen, path))}")
    tree = read_yaml(path)
    bases = tree.pop("base", None) or []
    bases = bases if isinstance(bases, list) else [bases]
    merged: Tree = {}
    for base in bases:
        if not isinstance(base, str) or "\0" in base:
            raise ConfigError(f"{path}: base must be a file name or a list of them, not {base!r}")
        merged = overlay(merged, read_file(path.parent / base, (*seen, path.resolve())))
    return overlay(merged, tree)


def read_yaml(path: Path) -> Tree:
    """Read one YAML file as a mapping, interpolations untouched."""
    try:
        if path.is_dir():
            raise ConfigError(f"{path} is a folder: name a YAML file in it")
        tree = OmegaConf.to_container(OmegaConf.load(path))
    except FileNotFoundError:
        near = did_you_mean(path.name, sorted(file.name for file in path.parent.glob("*.yaml")))
        raise ConfigError(f"there is no config file {path}.{near}") from None
    except (OSError, UnicodeDecodeError, YAMLError, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {first_line(error)}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold sections (exp:, data:, train:, ...), not {type(tree).__name__}")
    check_keys(tree, str(path))
    return tree


def check_keys(tree: Tree, where: str) -> None:
    """Keys are words; a number or a date as a key is a slip of the pen."""
    for key, value in tree.items():
        if not isinstance(key, str):
            raise ConfigError(f"{where}: the key {key!r} is not a word")
        if isinstance(value, dict):
            check_keys(value, where)


def overlay(below: Tree, above: Tree) -> Tree:
    """Lay one tree over another by the rules in this file's head. Both stay as they are."""
    kept = {key: value for key, value in below.items() if key not in dropped_arguments(below, above)}
    return merge(kept, above)


def dropped_arguments(below: Tree, above: Tree) -> set[str]:
    """Name the ``<role>_args`` of roles whose class ``above`` changes."""
    dropped = set()
    for section in ROLE_SECTIONS:
        old, new = below.get(section), above.get(section)
        if isinstance(old, dict) and isinstance(new, dict):
            dropped |= {f"{role}_args" for role in old.keys() & new.keys() if old[role] != new[role]}
    return dropped


def merge(below: Tree, above: Tree) -> Tree:
    merged = dict(below)
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        elif value is None and merged.get(key) is not None:
            del merged[key]  # a null that removes nothing stays: its key may be a slip of the pen
        else:
            merged[key] = value
    return merged


def resolve(tree: Tree) -> Tree:
    """Fill in interpolations such as ``${oc.env:FID_WEIGHTS,null}``."""
    try:
        return OmegaConf.to_container(OmegaConf.create(tree), resolve=True)
    except (OmegaConfBaseException, RecursionError, ValueError) as error:
        raise ConfigError(f"an interpolation cannot be filled in: {first_line(error)}") from error


def without_nulls(tree: Tree, depth: int = 1000) -> Tree:
    """Drop every key, down to ``depth`` mappings deep, whose value is null: it is not set, so the default holds."""
    if depth == 0:
        return tree
    cleaned = {
        key: without_nulls(value, depth - 1) if isinstance(value, dict) else value for key, value in tree.items()
    }
    return {key: value for key, value in cleaned.items() if value is not None}


def find(tree: Tree, path: list[str]) -> Any:
    """Return what stands at ``path``, or None."""
    for part in path:
        if not isinstance(tree, dict) or part not in tree:
            return None
        tree = tree[part]
    return tree


def to_yaml(tree: Tree) -> str:
    """Write a plain tree as YAML, for the run folder."""
    return OmegaConf.to_yaml(OmegaConf.create(tree))


def first_line(error: BaseException) -> str:
    """Say what is wrong in one line; of a YAML error what was found, and where."""
    if isinstance(error, MarkedYAMLError) and error.problem and error.problem_mark:
        tab = ": a tab? indent by spaces" if "cannot start any token" in error.problem else ""
        return f"{error.problem} (line {error.problem_mark.line + 1}){tab}"
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
