"""The dishes that the program draws itself. A dish is a function: adding one is adding one, under ``@dish``.

A dish is drawn about the origin with a radius of about 0.7, in its scene; all that varies comes from the generator.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from datasets.drawing.canvas import DUSK, TURN, WHITE, Canvas, arc, blob, mixed, oval, pick, rotated, scattered
from datasets.drawing.scenes import board, bowl, counter, pan, plate, wall

Drawing = Callable[[Canvas, Generator], None]

BREAD, WAFFLE, CREAM, CHOCOLATE = (222, 158, 82), (150, 88, 40), (255, 246, 224), (104, 60, 38)
TOMATO, LEAF, BUTTER = (222, 54, 42), (62, 130, 50), (255, 226, 110)
FROM_ABOVE, ASKEW, FROM_THE_SIDE = TURN / 2, 0.4, 0.05  # radians that a dish may be turned, either way


@dataclass(frozen=True)
class Dish:
    draw: Drawing
    scene: Drawing
    turn: float  # radians that it may be turned, either way


DISHES: dict[str, Dish] = {}


def dish(scene: Drawing, turn: float = FROM_ABOVE) -> Callable[[Drawing], Drawing]:
    """File a drawing as the class named like its function."""

    def add(draw: Drawing) -> Drawing:
        DISHES[draw.__name__] = Dish(draw, scene, turn)
        return draw

    return add


def speckle(canvas: Canvas, rng: Generator, count: int, radius: float, *colours: tuple[int, int, int]) -> None:
    """Strew ``count`` short strokes, each of one of the colours, over a disc."""
    for middle in scattered(rng, count, radius):
        tip = rotated(np.array([0.045, 0]), rng.uniform(0, TURN))
        canvas.stroke(np.array([middle - tip, middle + tip]), 0.05, pick(rng, *colours))


@dish(scene=plate)
def pizza(canvas: Canvas, rng: Generator) -> None:
    """Crust, sauce, cheese and sausage, with leaves or olives between."""
    canvas.shadow(oval(0, 0, 0.76), 0.05)
    canvas.solid(blob(rng, 0, 0, 0.76, 0.03, (3, 5)), pick(rng, BREAD), 0.25, steps=2)
    canvas.fill(blob(rng, 0, 0, 0.66, 0.03, (4, 7)), pick(rng, (200, 62, 30)))
    canvas.fill(blob(rng, 0, 0, 0.6, 0.06, (5, 7)), pick(rng, (250, 204, 92)))
    for x, y in scattered(rng, rng.integers(5, 9), 0.5):
        canvas.solid(oval(x, y, 0.13), pick(rng, (196, 48, 36)), steps=3)
    speckle(canvas, rng, rng.integers(4, 9), 0.55, [LEAF, (50, 46, 44)][rng.integers(2)])


@dish(scene=plate)
def doughnut(canvas: Canvas, rng: Generator) -> None:
    """A ring under a wavy glaze and sprinkles."""
    glaze = pick(rng, (242, 112, 162), CHOCOLATE, (98, 194, 178), (160, 124, 216))
    canvas.shadow(oval(0, 0, 0.68))
    canvas.solid(oval(0, 0, 0.7), pick(rng, BREAD), 0.3, steps=2)
    canvas.solid(blob(rng, 0, 0, 0.6, 0.05, (6, 9)), glaze)
    speckle(
        canvas, rng, rng.integers(10, 18), 0.56, (255, 214, 60), (90, 190, 240), WHITE, (240, 70, 90), (110, 200, 90)
    )
    canvas.fill(oval(0, 0, 0.29), mixed(glaze, DUSK, 0.25))
    canvas.fill(oval(0, 0, 0.26), mixed(BREAD, DUSK, 0.2))
    canvas.fill(oval(0, 0, 0.22), canvas.ground)


@dish(scene=pan)
def fried_egg(canvas: Canvas, rng: Generator) -> None:
    """One egg, sometimes two, the yolk off the middle."""
    for x, size in [(0, 1)] if rng.random() < 0.7 else [(-0.32, 0.68), (0.32, 0.68)]:
        edge = blob(rng, 0, 0, 0.6 * size, 0.15, (2, 3, 5))
        canvas.fill(edge + (x, 0), (226, 196, 150))
        canvas.solid(0.95 * edge + (x, 0), (252, 250, 244), 0.08, steps=3)
        yolk = np.array([x, 0]) + rng.uniform(-0.1, 0.1, 2) * size
        canvas.solid(oval(*yolk, rng.uniform(0.22, 0.28) * size), pick(rng, (252, 184, 30), (248, 150, 24)), 0.3)
        canvas.fill(oval(*(yolk + 0.1 * size * canvas.light), 0.05), WHITE, 0.7)


@dish(scene=board, turn=ASKEW)
def sushi(canvas: Canvas, rng: Generator) -> None:
    """Three or four rolls with one filling."""
    filling = pick(rng, (250, 128, 84), (226, 60, 66), (136, 190, 74), (252, 206, 70))
    three, four = (
        [(-0.38, -0.32), (0.38, -0.32), (0, 0.34)],
        [(-0.38, -0.33), (0.38, -0.33), (-0.38, 0.33), (0.38, 0.33)],
    )
    for middle in four if rng.random() < 0.7 else three:
        x, y = middle + rng.uniform(-0.04, 0.04, 2)
        canvas.shadow(oval(x, y, 0.34))
        canvas.fill(oval(x, y, 0.34), (30, 44, 38))
        canvas.solid(blob(rng, x, y, 0.27, 0.03, (3, 5)), (250, 248, 240), 0.12, steps=2)
        canvas.solid(blob(rng, x, y, 0.15, 0.12, (2, 3)), filling, steps=2)


@dish(scene=bowl)
def salad(canvas: Canvas, rng: Generator) -> None:
    """Leaves of several greens under tomatoes and cucumber."""
    canvas.fill(oval(0, 0, 0.7), LEAF)
    for x, y in scattered(rng, 16, 0.62)[::-1]:
        green = pick(rng, (72, 142, 52), (116, 178, 66), (160, 206, 92), (52, 112, 48))
        canvas.solid(blob(rng, x, y, 0.24, 0.2, (3, 5)), green, 0.25, steps=3)
    for x, y in scattered(rng, rng.integers(3, 6), 0.45):
        canvas.solid(oval(x, y, 0.16), pick(rng, TOMATO), 0.25, steps=3)
    for x, y in scattered(rng, rng.integers(2, 5), 0.5):
        canvas.fill(oval(x, y, 0.15), LEAF)
        canvas.fill(oval(x, y, 0.12), (214, 236, 170))


@dish(scene=bowl)
def soup(canvas: Canvas, rng: Generator) -> None:
    """A thick orange soup with a swirl of cream and some herbs."""
    colour = pick(rng, (222, 84, 30), (240, 150, 40), (204, 56, 34))
    canvas.solid(oval(0, 0, 0.72), colour, 0.15)
    swirl = arc(1, 0, rng.uniform(1.4, 2.2) * TURN, 60) * np.linspace(0.04, 0.48, 60)[:, None]
    canvas.stroke(swirl, 0.13, mixed(colour, CREAM, 0.5))
    canvas.stroke(swirl, 0.08, CREAM)
    speckle(canvas, rng, rng.integers(3, 8), 0.5, LEAF)


@dish(scene=plate, turn=ASKEW)
def watermelon(canvas: Canvas, rng: Generator) -> None:
    """Half a round slice with its rind and pips."""
    half, middle = arc(1, 0, TURN / 2), np.array([0, -0.36])
    canvas.shadow(half * 0.84 + middle)
    canvas.fill(half * 0.84 + middle, pick(rng, (44, 122, 58), (70, 150, 70)))
    canvas.fill(half * 0.76 + middle, (222, 240, 190))
    canvas.solid(half * 0.7 + middle, pick(rng, (238, 66, 76), (228, 84, 84)), 0.15)
    for x, y in scattered(rng, rng.integers(12, 22), 0.58):
        canvas.fill(oval(x, abs(y) + middle[1] + 0.07, 0.035, 0.055), (50, 24, 28))


@dish(scene=counter, turn=FROM_THE_SIDE)
def burger(canvas: Canvas, rng: Generator) -> None:
    """A bun with one or two patties under cheese, tomato and lettuce."""
    bun, height = pick(rng, BREAD, (200, 128, 60)), 0.5  # the y that the stack has reached
    canvas.solid(oval(0, height, 0.62, 0.17, power=4), bun, 0.25)
    for _ in range(rng.integers(1, 3)):
        height -= 0.2
        canvas.solid(oval(0, height, 0.68, 0.13, power=4), pick(rng, CHOCOLATE), 0.25)
        corners = [(-0.66, -0.12), (0.66, -0.12), (0.5, -0.05), (0.3, 0.1), (0.05, -0.05), (-0.3, 0.08), (-0.5, -0.05)]
        canvas.fill(np.array(corners) * (rng.choice([-1, 1]), 1) + (0, height), (254, 196, 50))
    canvas.fill(oval(0, height - 0.18, 0.6, 0.08, power=4), pick(rng, TOMATO))
    frill = arc(1, count=60) * (0.74, 0.08) + (0, height - 0.27)
    frill[:, 1] += 0.035 * np.cos(20 * frill[:, 0] + rng.uniform(0, TURN))
    canvas.fill(frill, pick(rng, (110, 184, 62)))
    canvas.solid(arc(0.68, TURN / 2) * (1, 0.72) + (0, height - 0.29), bun, 0.3)
    for x, y in scattered(rng, 12, 0.5):
        canvas.fill(oval(x, 0.7 * y / 2 + height - 0.55, 0.04, 0.025), CREAM)


@dish(scene=counter, turn=FROM_THE_SIDE)
def pancakes(canvas: Canvas, rng: Generator) -> None:
    """A stack of three to five with butter on top and syrup running down."""
    count = rng.integers(3, 6)
    top = 0.5 - 0.17 * count  # the y of the uppermost
    for y in np.linspace(0.5, top, count):
        x = rng.uniform(-0.05, 0.05)
        canvas.fill(oval(x, y + 0.06, 0.68, 0.18, power=2.6), (246, 214, 144))
        canvas.fill(oval(x, y, 0.68, 0.18, power=2.6), pick(rng, (206, 132, 62)))
    syrup = pick(rng, (132, 62, 20), (150, 30, 50), (90, 48, 28))
    canvas.fill(oval(0, top, 0.5, 0.12), syrup)
    for x in rng.permutation([-0.36, -0.12, 0.12, 0.36])[:3]:
        length = rng.uniform(0.12, 0.26)
        canvas.fill(oval(x, top + length, 0.07, length, power=3), syrup)
    butter = oval(rng.uniform(-0.1, 0.1), top - 0.06, 0.2, 0.1, rng.uniform(-0.2, 0.2), power=5)
    canvas.shadow(butter, 0.03)
    canvas.solid(butter, BUTTER, steps=3)


@dish(scene=wall, turn=0.15)
def ice_cream(canvas: Canvas, rng: Generator) -> None:
    """A waffle cone with one scoop or two, sometimes under a cherry."""
    flavours = [(250, 140, 174), (255, 240, 200), CHOCOLATE, (150, 216, 172), (146, 166, 235), (252, 190, 80)]
    count = rng.integers(1, 3)
    size, rim = 1.35 - 0.14 * count, 0.18 * count - 0.24  # more scoops are smaller; the y where the cone begins
    left, right, tip = np.array([(-0.38, 0), (0.38, 0), (0, 0.85)]) * size + (0, rim)
    canvas.fill(np.array([left, right, tip]), pick(rng, (226, 164, 88)))
    for share in (0.25, 0.5, 0.75):
        canvas.stroke(np.array([mixed(left, right, share), mixed(right, tip, share)]), 0.04, WAFFLE, 0.5)
        canvas.stroke(np.array([mixed(right, left, share), mixed(left, tip, share)]), 0.04, WAFFLE, 0.5)
    for level in range(count):
        y, radius = rim - (0.2 + 0.38 * level) * size, (0.45 - 0.05 * level) * size
        flavour = pick(rng, *flavours)
        canvas.fill(blob(rng, 0, y + 0.05, radius * 1.04, 0.04, (9, 13)), mixed(flavour, DUSK, 0.25))
        canvas.solid(oval(0, y, radius), flavour, steps=6)
    if rng.random() < 0.4:
        canvas.solid(oval(rng.uniform(-0.1, 0.1), y - radius, 0.12), TOMATO, 0.3)
