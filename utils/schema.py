"""Annotations as the schema of a config: dataclasses for sections, constructor signatures for arguments.

Types are checked strictly (pydantic, as if the tree were JSON): a word or a fraction is never an integer, 1 is a
float, a list is a list. Ranges are part of the type: ``steps: PositiveInt``.
"""

import inspect
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, NotRequired, Required, TypeVar, get_args, get_type_hints

from pydantic import BeforeValidator, ConfigDict, Field, PydanticSchemaGenerationError, TypeAdapter, ValidationError
from typing_extensions import TypedDict, dataclass_transform

from utils.config import Tree, find, without_nulls
from utils.errors import ConfigError, did_you_mean

T = TypeVar("T")
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)

PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
# For words on and off: YAML reads them as true and false.
Switch = BeforeValidator(lambda value: ("off", "on")[value] if isinstance(value, bool) else value)
UNKNOWN = {"extra_forbidden", "unexpected_keyword_argument"}
MISSING = {"missing", "missing_argument", "missing_keyword_only_argument"}


@dataclass_transform(kw_only_default=True)
def section(cls: type[T]) -> type[T]:
    """Make a class a section of the config: a dataclass in which an unknown key or a wrong type is an error."""
    cls.__pydantic_config__ = STRICT
    return dataclass(kw_only=True)(cls)


def bind(schema: type[T], tree: Tree) -> T:
    """Build the dataclass ``schema`` from a tree, or raise a :class:`ConfigError` that names key and fix."""
    check_nulls(schema, tree)
    return validate(TypeAdapter(schema), set_keys(schema, tree), lambda path: known_keys(schema, path), where="")


def set_keys(schema: type, tree: Tree) -> Tree:
    """Drop the keys without a value; in arguments they stay until :func:`check_arguments` has seen their names."""
    hints, kept = get_type_hints(schema), {}
    for key, value in without_nulls(tree, depth=1).items():
        if hints.get(key) == dict[str, Any]:  # a role's arguments
            kept[key] = value
        elif hints.get(key) == dict[str, dict[str, Any]] and isinstance(value, dict):  # arguments by loss or metric
            kept[key] = without_nulls(value, depth=1)
        else:
            kept[key] = without_nulls(value) if isinstance(value, dict) else value
    return kept


def check_nulls(schema: type, tree: Tree, where: str = "") -> None:
    """Hold keys without a value against the schema: they set nothing, but a misspelt one is still a mistake."""
    hints = get_type_hints(schema)
    for key, value in tree.items():
        if value is None and key not in hints:
            raise ConfigError(f"{where}{key} is not a config key.{did_you_mean(key, list(hints))}")
        if isinstance(value, dict) and is_dataclass(hints.get(key)):
            check_nulls(hints[key], value, f"{where}{key}.")


def check_arguments(cls: type, arguments: Tree, where: str, offered: Collection[str] = ()) -> Tree:
    """Check keyword arguments against the signature of ``cls`` and return them with their types right.

    ``offered`` are the parameters that the framework fills in by name (``num_classes``, ``backbone``, ...): a config
    cannot set them. Raises :class:`ConfigError` for an unknown, missing or mistyped argument.
    """
    parameters = settable_parameters(cls)
    for name in arguments.keys() & set(offered) & parameters.keys():
        raise ConfigError(f"{where}.{name} is filled in by the framework: remove it from the config")
    hints = {name: p for name, p in parameters.items() if name not in offered}
    if arguments and not hints:
        raise ConfigError(f"{where}.{next(iter(arguments))} is not a config key: {cls.__name__} takes none, remove it")
    for name in arguments.keys() - hints.keys():
        raise ConfigError(f"{where}.{name} is not a config key.{did_you_mean(name, list(hints))}")
    adapter = TypeAdapter(typed_dict(cls.__name__, hints))
    return validate(adapter, without_nulls(arguments), lambda path: list(hints) if len(path) == 1 else [], where)


def construct(cls: type[T], arguments: Tree, where: str, offered: Tree | None = None) -> T:
    """Build an object from checked arguments and those of ``offered`` that its constructor takes.

    Raises :class:`ConfigError` that names ``where``, also for what the constructor itself refuses.
    """
    offered, takes = offered or {}, settable_parameters(cls)
    arguments = check_arguments(cls, arguments, where, offered)
    with blame(where):
        return cls(**{key: value for key, value in offered.items() if key in takes}, **arguments)


@contextmanager
def blame(where: str) -> Iterator[None]:
    """Say whose arguments an error is about: the object that raises it does not know its place in the config."""
    try:
        yield
    except ValueError as error:  # a ConfigError is one
        raise ConfigError(f"{where}: {error}") from error


def settable_parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Return the named parameters of a constructor with their annotations resolved; ``*args, **kwargs`` left out."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = {name: p for name, p in inspect.signature(cls).parameters.items() if p.kind in named}
    hints = get_type_hints(cls if inspect.isfunction(cls) else cls.__init__, include_extras=True)
    return {name: p.replace(annotation=hints.get(name, Any)) for name, p in parameters.items()}


def typed_dict(name: str, parameters: dict[str, inspect.Parameter]) -> type:
    """Make the type of a signature's keyword arguments: those without a default are required."""
    keys = {}
    for key, parameter in parameters.items():
        presence = Required if parameter.default is inspect.Parameter.empty else NotRequired
        keys[key] = presence[parameter.annotation if readable(parameter.annotation) else Any]
    made = TypedDict(name, keys)
    made.__pydantic_config__ = STRICT
    return made


def readable(annotation: Any) -> bool:
    """Tell whether a config can hold a value of this type; a foreign class may ask for tensors or modules."""
    try:
        TypeAdapter(annotation, config=None if is_dataclass(annotation) else STRICT)
    except (PydanticSchemaGenerationError, TypeError):
        return False
    return True


def validate(adapter: TypeAdapter, tree: Tree, known, where: str) -> Any:
    try:
        return adapter.validate_json(json.dumps(tree), strict=True)
    except ValidationError as error:
        # A misspelt key is also a missing one: the unknown word is what the user wrote, so it comes first.
        first = min(error.errors(), key=lambda problem: problem["type"] not in UNKNOWN)
        raise ConfigError(explain(first, tree, known, where)) from None
    except TypeError as error:
        raise ConfigError(f"{where or 'the config'} holds something that YAML should not make: {error}") from None


def explain(problem: dict, tree: Tree, known, where: str) -> str:
    """Say one validation error in one line: the key as it is written in the config, and the fix."""
    path = [str(part) for part in problem["loc"]]
    full = ".".join([where, *path] if where else path)
    if problem["type"] in UNKNOWN and "." in path[-1]:
        outer, inner = path[-1].split(".", 1)
        return f"{full} is not a config key: dots are for the command line, in a file write {outer}: {{{inner}: ...}}"
    if problem["type"] in UNKNOWN:
        return f"{full} is not a config key.{did_you_mean(path[-1], known(path))}"
    if problem["type"] in MISSING:
        return f"{full} is missing: set it in the config or as {full}=... on the command line"
    while path and find(tree, path) is None and not path[-1].isdigit():
        path = path[:-1]  # pydantic appends the branch of a union that it tried
    full = ".".join([where, *path] if where else path)
    wish = (
        problem["msg"].replace("Input should", "it should").replace("array", "list").replace("an object", "a section")
    )
    if problem["type"] == "list_type" and isinstance(problem["input"], str):
        wish += f", [{problem['input']}]"
    return f"{full}={json.dumps(problem['input'])}: {wish}"


def known_keys(schema: type, path: list[str]) -> list[str]:
    """Return the keys that may stand beside the last one of ``path``."""
    for part in path[:-1]:
        hint = get_type_hints(schema).get(part)
        candidates = [hint, *get_args(hint)]
        schema = next((c for c in candidates if is_dataclass(c)), None)
        if schema is None:
            return []
    return [field.name for field in fields(schema)]
