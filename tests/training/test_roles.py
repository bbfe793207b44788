"""Names to classes, and arguments to constructors, checked before anything is opened."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from training.roles import Role, Roles
from utils.class_registry import ClassRegistry
from utils.errors import ConfigError, DataError
from utils.schema import PositiveInt, blame

ovens = ClassRegistry("oven")


@ovens.add_to_registry(name="wood")
class Wood:
    def __init__(self, classes: int, logs: PositiveInt = 3):
        if logs == 13:
            raise ValueError("13 logs are unlucky")
        if logs == 14:
            raise DataError("the shed is empty")
        self.classes, self.logs = classes, logs


@ovens.add_to_registry(name="gas")
class Gas:
    pass


@dataclass
class Config:
    """The two places of a config that roles look at."""

    oven: str | None = "wood"
    oven_args: dict[str, Any] = field(default_factory=dict)

    @property
    def train(self) -> SimpleNamespace:
        return SimpleNamespace(oven=self.oven)


def roles(oven: str | None = "wood", **arguments: Any) -> Roles:
    return Roles(Config(oven, arguments), {"oven": Role(ovens, ("classes", "size"))})


def test_a_role_is_built_from_its_arguments_and_the_offered_ones_that_it_takes():
    oven = roles(logs=5).build("oven", classes=7, size=64)
    assert isinstance(oven, Wood)
    assert (oven.classes, oven.logs) == (7, 5)
    assert isinstance(roles("gas").build("oven", classes=7, size=64), Gas)


def test_the_defaults_are_the_constructor_s():
    assert roles().build("oven", classes=7).logs == 3


@pytest.mark.parametrize(
    ("oven", "arguments", "message"),
    [
        ("woood", {}, r"train\.oven: 'woood' is no oven\. Did you mean 'wood'\?"),
        ("wood", {"log": 3}, r"oven_args\.log is not a config key\. Did you mean 'logs'\?"),
        ("wood", {"logs": 0}, r"oven_args\.logs=0: it should be greater"),
        ("wood", {"classes": 3}, r"oven_args\.classes is filled in by the framework"),
        ("gas", {"logs": 3}, r"oven_args\.logs is not a config key: Gas takes none"),
        (None, {"logs": 3}, r"oven_args is set but train\.oven names no class: name one"),
    ],
)
def test_checking_finds_wrong_names_and_arguments(oven, arguments, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        roles(oven, **arguments).check()


def test_a_role_that_may_be_left_out_passes():
    roles(None).check()
    roles(logs=3).check()


def test_what_a_constructor_refuses_names_the_role_s_section():
    with pytest.raises(ConfigError, match=r"^oven_args: 13 logs are unlucky$"):
        roles(logs=13).build("oven", classes=1)


def test_an_error_about_data_stays_one():
    with pytest.raises(DataError, match="^the shed is empty$"):
        roles(logs=14).build("oven", classes=1)


def test_an_error_after_construction_can_name_the_role_too():
    with pytest.raises(ConfigError, match=r"^oven_args: too hot$"), blame("oven_args"):
        raise ConfigError("too hot")
