"""Names to classes: one decorator, no silent second winner, and an unknown name is the user's error with a fix."""

import pytest

from utils.class_registry import ClassRegistry
from utils.errors import ConfigError


@pytest.fixture
def dishes() -> ClassRegistry:
    registry = ClassRegistry("dish")

    @registry.add_to_registry(name="pizza")
    class Pizza:
        pass

    registry.add_to_registry(name="ramen")(dict)  # a class of somebody else, by a call
    return registry


def test_the_decorator_returns_the_class_unchanged():
    registry = ClassRegistry("dish")

    class Pizza:
        size = 30

    members = dict(vars(Pizza))
    assert registry.add_to_registry(name="pizza")(Pizza) is Pizza
    assert dict(vars(Pizza)) == members
    assert registry["pizza"] is Pizza  # the class, not an object


def test_a_class_of_somebody_else_registers_by_a_call(dishes):
    assert dishes["ramen"] is dict


def test_a_taken_name_is_an_error_and_the_first_class_stays(dishes):
    with pytest.raises(ValueError, match=r"dish 'ramen' is already builtins\.dict: take another name"):
        dishes.add_to_registry(name="ramen")(list)
    assert dishes["ramen"] is dict


def test_an_unknown_name_close_to_a_known_one_names_it(dishes):
    with pytest.raises(ConfigError, match=r"^'piza' is no dish\. Did you mean 'pizza'\?$"):
        dishes["piza"]


def test_an_unknown_name_close_to_nothing_lists_what_there_is(dishes):
    with pytest.raises(ConfigError, match=r"^'soup' is no dish\. Known: pizza, ramen\.$"):
        dishes["soup"]


def test_a_name_looked_up_for_a_config_says_where_it_stands(dishes):
    assert dishes.find("ramen", "menu.first") is dict
    with pytest.raises(ConfigError, match=r"^menu\.first: 'soup' is no dish\."):
        dishes.find("soup", "menu.first")


def test_it_is_a_collection_of_sorted_names(dishes):
    assert list(dishes) == ["pizza", "ramen"]
    assert len(dishes) == 2
    assert "pizza" in dishes
    assert "soup" not in dishes
