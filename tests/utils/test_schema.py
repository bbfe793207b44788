"""Annotations as schema: strict types, unknown keys first, and constructors of anybody's classes."""

from dataclasses import field
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from utils.errors import ConfigError
from utils.schema import (
    Fraction,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    bind,
    check_arguments,
    section,
    settable_parameters,
)


@section
class Oven:
    minutes: PositiveInt
    share: Fraction = 0.5
    kind: Literal["wood", "gas"] = "gas"


@section
class Kitchen:
    oven: Oven
    cooks: NonNegativeInt = 1
    open: bool = False
    name: str = ""
    price: PositiveFloat | None = None
    dishes: list[str] = field(default_factory=list)
    extra: dict[str, float] = field(default_factory=dict)


def kitchen(**keys: Any) -> Kitchen:
    return bind(Kitchen, {"oven": {"minutes": 3}, **keys})


def test_a_tree_becomes_the_dataclass_with_its_defaults():
    bound = kitchen(cooks=2, dishes=["soup"])
    assert bound == Kitchen(oven=Oven(minutes=3), cooks=2, dishes=["soup"])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"cooks": 1.5}, r"cooks=1\.5: it should be a valid integer"),
        ({"cooks": "two"}, 'cooks="two": it should be a valid integer'),
        ({"cooks": "2"}, 'cooks="2": it should be a valid integer'),
        ({"cooks": True}, "cooks=true: it should be a valid integer"),
        ({"cooks": [1]}, r"cooks=\[1\]: it should be a valid integer"),
        ({"cooks": -1}, "cooks=-1: it should be greater than or equal to 0"),
        ({"open": 1}, "open=1: it should be a valid boolean"),
        ({"open": "yes"}, 'open="yes": it should be a valid boolean'),
        ({"name": 3}, "name=3: it should be a valid string"),
        ({"price": 0}, "price=0: it should be greater than 0"),
        ({"price": "dear"}, 'price="dear": it should be a valid number'),
        ({"dishes": "soup"}, r'dishes="soup": it should be a valid list, \[soup\]$'),
        ({"dishes": ["soup", 3]}, r"dishes\.1=3: it should be a valid string"),
        ({"extra": {"salt": "much"}}, r'extra\.salt="much": it should be a valid number'),
        ({"oven": {"minutes": 0}}, r"oven\.minutes=0: it should be greater than or equal to 1"),
        ({"oven": {"minutes": 3, "share": 1.1}}, r"oven\.share=1\.1: it should be less than or equal to 1"),
        ({"oven": {"minutes": 3, "kind": "coal"}}, r"oven\.kind=\"coal\": it should be 'wood' or 'gas'"),
        ({"oven": {}}, r"oven\.minutes is missing: set it in the config or as oven\.minutes=\.\.\. on the command"),
        ({"oven": 3}, "oven=3: it should be a section"),
        ({"cook": 1}, r"cook is not a config key\. Did you mean 'cooks'\?"),
        ({"oven": {"minutes": 3, "shre": 1}}, r"oven\.shre is not a config key\. Did you mean 'share'\?"),
        ({"zzz": 1}, r"zzz is not a config key\. Known: cooks, dishes, extra, name, open, oven, price\."),
        ({"oven.minutes": 3}, r"oven\.minutes is not a config key: .* in a file write oven: \{minutes: \.\.\.\}"),
        ({"cook": None}, r"cook is not a config key\. Did you mean 'cooks'\?"),
    ],
)
def test_a_wrong_value_is_one_line_with_key_value_and_wish(keys, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        kitchen(**keys)


def test_an_integer_is_a_fine_float_and_nothing_is_a_fine_default():
    assert kitchen(price=3).price == 3.0
    assert isinstance(kitchen(price=3).price, float)
    assert kitchen(price=None).price is None
    assert kitchen(cooks=None).cooks == 1


def test_a_misspelt_key_is_named_before_the_one_that_is_therefore_missing():
    with pytest.raises(ConfigError, match=r"^oven\.minuts is not a config key\. Did you mean 'minutes'\?$"):
        bind(Kitchen, {"oven": {"minuts": 3}})


class Cook:
    """A constructor of ours."""

    def __init__(self, kitchen: Kitchen, speed: PositiveFloat, knives: list[PositiveInt] = [1], left: bool = False):  # noqa: B006
        pass


def check(cls: type, arguments: dict, offered: tuple[str, ...] = ()) -> dict:
    return check_arguments(cls, arguments, "cook_args", offered)


def test_arguments_come_back_with_their_types_right():
    assert check(Cook, {"speed": 2, "knives": [3]}, ("kitchen",)) == {"speed": 2.0, "knives": [3]}
    assert isinstance(check(Cook, {"speed": 2}, ("kitchen",))["speed"], float)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sped": 2}, r"cook_args\.sped is not a config key\. Did you mean 'speed'\?"),
        ({}, r"cook_args\.speed is missing: set it in the config or as cook_args\.speed=\.\.\."),
        ({"speed": "fast"}, r'cook_args\.speed="fast": it should be a valid number'),
        ({"speed": 1, "left": 1}, r"cook_args\.left=1: it should be a valid boolean"),
        ({"speed": 1, "knives": [0]}, r"cook_args\.knives\.0=0: it should be greater than or equal to 1"),
        ({"speed": 1, "kitchen": {}}, r"cook_args\.kitchen is filled in by the framework: remove it"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        check(Cook, arguments, ("kitchen",))


def test_what_the_framework_offers_and_nobody_takes_is_no_argument_either():
    with pytest.raises(ConfigError, match=r"^cook_args\.oven is not a config key"):
        check(Cook, {"speed": 1, "oven": 1}, ("kitchen", "oven"))


def test_an_argument_for_a_class_that_takes_none_says_so():
    class Idle:
        pass

    with pytest.raises(ConfigError, match=r"^cook_args\.speed is not a config key: Idle takes none, remove it$"):
        check(Idle, {"speed": 1})
    assert check(Idle, {}) == {}


class Foreign(nn.Module):
    """A class of somebody who knew nothing of this project."""

    def __init__(self, width, depth=2, *rest, table: Tensor | None = None, module: nn.Module = None, **others):
        super().__init__()


def test_a_foreign_class_has_only_its_names_checked():
    given = {"width": "any thing", "depth": [1]}
    assert check(Foreign, given) == given
    with pytest.raises(ConfigError, match=r"^cook_args\.width is missing"):
        check(Foreign, {"depth": 3})
    with pytest.raises(ConfigError, match=r"^cook_args\.colour is not a config key\. Known: depth, module"):
        check(Foreign, {"width": 1, "colour": "red"})


def test_rest_arguments_are_no_settings():
    assert list(settable_parameters(Foreign)) == ["width", "depth", "table", "module"]


def test_a_foreign_torch_class_can_be_checked():
    given = {"lr": 0.1, "momentum": 0.9}
    assert check(torch.optim.SGD, given, ("params",)) == given
    with pytest.raises(ConfigError, match=r"^cook_args\.momentun is not a config key\. Did you mean 'momentum'\?"):
        check(torch.optim.SGD, {"momentun": 1}, ("params",))
