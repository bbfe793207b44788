"""Checkpoints of earlier layouts, brought up to date one layout at a time.

Whoever changes what a checkpoint holds adds a function here: from the layout before to the new one.
"""

from collections.abc import Callable
from typing import Any

import torch

State = dict[str, Any]


def tallies_for_sums(state: State) -> State:
    """Layout 2 counts the values that are not finite: a window is a list of tallies, not two tables by name."""
    window = state.get("window")
    if window is None:
        return state
    zero, never = torch.zeros(1, dtype=torch.float64), torch.full((1,), torch.inf, dtype=torch.float64)
    tallies = [
        {"names": [name], "sums": total.double().reshape(1), "broken": zero, "first": never, "count": count}
        for (name, total), count in zip(window["sums"].items(), window["counts"].values(), strict=True)
    ]
    return {**state, "window": tallies}


MIGRATIONS: dict[int, Callable[[State], State]] = {1: tallies_for_sums}  # by the layout that they start from
FORMAT = 1 + len(MIGRATIONS)


def up_to_date(state: State) -> State:
    """Return a checkpoint's state, of any layout up to ``FORMAT``, in the layout of today."""
    for layout in range(state["format"], FORMAT):
        state = {**MIGRATIONS[layout](state), "format": layout + 1}
    return state
