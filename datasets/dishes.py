"""The dishes that the program draws itself. A dish is a function: adding one is adding one, under ``@dish``.

A dish is drawn around the origin with a radius of about 0.7; where it stands (a plate, a bowl, a counter) is a scene,
and both draw everything that varies from the generator they get.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from datasets.canvas import TURN, Canvas, blob, mixed, oval, pick, rotated, scattered

Drawing = Callable[[Canvas, Generator], None]

TABLES = [
    (178, 130, 88),
    (92, 104, 116),
    (104, 156, 158),
    (216, 202, 178),
    (204, 146, 138),
    (72, 88, 124),
    (146, 168, 128),
]
WALLS = [(244, 214, 190), (190, 222, 226), (206, 226, 196), (232, 204, 222), (250, 232, 184), (198, 204, 232)]
PLATES = [(250, 248, 244), (250, 248, 244), (244, 234, 214), (206, 224, 236), (214, 232, 218)]
BOWLS = [(248, 246, 242), (92, 132, 168), (236, 224, 200), (74, 82, 96), (120, 164, 150)]
BREAD, BROWN, CREAM = (222, 158, 82), (150, 88, 40), (255, 246, 224)


@dataclass(frozen=True)
class Dish:
    draw: Drawing
    scene: Drawing
    turn: float  # radians that it may be rotated either way: half a turn from above, a little seen from the side


DISHES: dict[str, Dish] = {}


def dish(scene: Drawing, turn: float = TURN / 2) -> Callable[[Drawing], Drawing]:
    """File a drawing under its function's name, as the class of that name."""

    def add(draw: Drawing) -> Drawing:
        DISHES[draw.__name__] = Dish(draw, scene, turn)
        return draw

    return add


def table(canvas: Canvas, rng: Generator) -> None:
    """Cover the picture with a table: plain, or with a few boards or stripes hardly darker than it."""
    colour = pick(rng, TABLES)
    canvas.fill(oval(0, 0, 3), colour)
    angle = rng.uniform(0, TURN)
    for x in np.arange(-1.5, 1.5, 0.5) if rng.random() < 0.4 else ():
        canvas.stroke(
            rotated(np.array([(x, -3), (x, 3)]), angle), rng.choice([0.03, 0.2]), mixed(colour, (0, 0, 0), 0.1)
        )


def plate(canvas: Canvas, rng: Generator) -> None:
    """A round plate seen from above."""
    table(canvas, rng)
    colour = pick(rng, PLATES, 5)
    radius = rng.uniform(0.84, 0.92)
    canvas.shadow(oval(0, 0, radius), 0.09, 0.4)
    canvas.fill(oval(0, 0, radius), colour)
    canvas.fill(oval(0, 0, radius * 0.76), mixed(colour, (60, 60, 90), 0.14))
    canvas.fill(oval(*(0.02 * -canvas.light), radius * 0.74), mixed(colour, (60, 60, 90), 0.04))
    canvas.ground = mixed(colour, (60, 60, 90), 0.2)


def bowl(canvas: Canvas, rng: Generator) -> None:
    """A deep bowl seen from above."""
    table(canvas, rng)
    colour = pick(rng, BOWLS, 6)
    canvas.shadow(oval(0, 0, 0.86), 0.1, 0.45)
    canvas.fill(oval(0, 0, 0.86), colour)
    canvas.fill(oval(0, 0, 0.77), mixed(colour, (20, 20, 40), 0.35))


def pan(canvas: Canvas, rng: Generator) -> None:
    """A dark frying pan seen from above, its handle pointing anywhere."""
    table(canvas, rng)
    colour = pick(rng, [(64, 66, 74), (50, 48, 52)], 6)
    handle = rotated(oval(1.1, 0, 0.5, 0.11, power=5), rng.uniform(0, TURN))
    canvas.shadow(oval(0, 0, 0.84), 0.1, 0.45)
    canvas.fill(handle, mixed(colour, (0, 0, 0), 0.3))
    canvas.fill(oval(0, 0, 0.84), mixed(colour, (255, 255, 255), 0.25))
    canvas.fill(oval(0, 0, 0.78), colour)


def board(canvas: Canvas, rng: Generator) -> None:
    """A rounded rectangular board of slate or wood seen from above, turned with the food on it."""
    table(canvas, rng)
    colour = pick(rng, [(206, 160, 108), (120, 84, 58), (164, 60, 54)])
    shape = oval(0, 0, 0.9, 0.72, canvas.angle, power=7)
    canvas.shadow(shape, 0.09, 0.4)
    canvas.fill(shape, colour)
    canvas.fill(oval(0, 0, 0.84, 0.66, canvas.angle, power=7), mixed(colour, (255, 255, 255), 0.12))


def backdrop(canvas: Canvas, rng: Generator) -> None:
    """A plain wall, lighter in the middle."""
    wall = pick(rng, WALLS)
    canvas.fill(oval(0, 0, 3), wall)
    for radius in (1.2, 1.0, 0.8, 0.6):
        canvas.fill(oval(0, -0.1, radius), (255, 255, 255), 0.08)


def counter(canvas: Canvas, rng: Generator) -> None:
    """A plate on a counter before a wall, seen from the side."""
    backdrop(canvas, rng)
    horizon = rng.uniform(0.25, 0.4)
    canvas.fill(oval(0, horizon + 2, 3, 2, power=20), pick(rng, TABLES))
    colour = pick(rng, PLATES, 5)
    canvas.fill(oval(0, 0.76, 0.95, 0.17), (20, 12, 24), 0.25)
    canvas.fill(oval(0, 0.68, 0.93, 0.18), mixed(colour, (60, 60, 90), 0.25))
    canvas.fill(oval(0, 0.65, 0.93, 0.17), colour)
    canvas.fill(oval(0, 0.65, 0.7, 0.11), mixed(colour, (60, 60, 90), 0.15))


@dish(scene=plate)
def pizza(canvas: Canvas, rng: Generator) -> None:
    """Crust, sauce, cheese; sausage, and leaves or olives between."""
    canvas.shadow(oval(0, 0, 0.76), 0.05)
    canvas.round(blob(rng, 0, 0, 0.76, 0.03, (3, 5)), pick(rng, [BREAD]), 0.25, steps=3)
    canvas.fill(blob(rng, 0, 0, 0.65, 0.04, (4, 7)), pick(rng, [(200, 62, 30)]))
    canvas.fill(blob(rng, 0, 0, 0.61, 0.06, (5, 7)), pick(rng, [(250, 204, 92)]))
    topping = pick(rng, [(62, 130, 50), (50, 46, 44)])
    for x, y in scattered(rng, rng.integers(5, 9), 0.5):
        canvas.round(oval(x, y, 0.13), pick(rng, [(196, 48, 36)]), 0.2, steps=3)
    for x, y in scattered(rng, rng.integers(4, 8), 0.55):
        canvas.fill(oval(x, y, 0.08, 0.045, rng.uniform(0, TURN)), topping)


@dish(scene=plate)
def doughnut(canvas: Canvas, rng: Generator) -> None:
    """A ring with a wavy glaze and sprinkles."""
    glaze = pick(rng, [(242, 122, 168), (104, 56, 34), (250, 240, 232), (128, 208, 190), (168, 140, 220)])
    canvas.shadow(oval(0, 0, 0.66), 0.07)
    canvas.round(oval(0, 0, 0.68), pick(rng, [BREAD]), 0.3, steps=3)
    canvas.round(blob(rng, 0, 0, 0.59, 0.05, (6, 9)), glaze, 0.22)
    sprinkles = [(255, 214, 60), (90, 190, 240), (255, 255, 255), (240, 70, 90), (110, 200, 90)]
    for x, y in scattered(rng, rng.integers(14, 26), 0.56):
        tip = 0.05 * rotated(np.array([(1, 0)]), rng.uniform(0, TURN))
        canvas.stroke(np.concatenate([(x, y) - tip, (x, y) + tip]), 0.045, pick(rng, sprinkles))
    canvas.fill(oval(0, 0, 0.25), mixed(glaze, (40, 10, 20), 0.25))
    canvas.fill(oval(0, 0, 0.22), mixed(BREAD, (40, 10, 20), 0.2))
    canvas.fill(oval(0, 0, 0.18), canvas.ground)


@dish(scene=pan)
def fried_egg(canvas: Canvas, rng: Generator) -> None:
    """One egg or two, the yolk off the middle."""
    for x in (0,) if rng.random() < 0.7 else (-0.3, 0.3):
        size = 1 if x == 0 else 0.72
        white = blob(rng, x, 0, 0.58 * size, 0.16, (2, 3, 5))
        canvas.shadow(white, 0.03)
        canvas.fill(white, (226, 196, 150))
        canvas.round((white - (x, 0)) * 0.95 + (x, 0), (252, 250, 244), 0.08)
        dx, dy = rng.uniform(-0.1, 0.1, 2)
        canvas.round(
            oval(x + dx, dy, rng.uniform(0.22, 0.28) * size), pick(rng, [(252, 184, 30), (248, 150, 24)], 6), 0.3
        )
        canvas.fill(oval(x + dx + 0.08 * canvas.light[0], dy + 0.08 * canvas.light[1], 0.05), (255, 255, 255), 0.7)


@dish(scene=board)
def sushi(canvas: Canvas, rng: Generator) -> None:
    """Rolls with one filling, two or three in a row or four in a square."""
    filling = pick(rng, [(250, 128, 84), (226, 60, 66), (136, 190, 74), (252, 206, 70)])
    rows = {
        2: [(-0.38, 0), (0.38, 0)],
        3: [(-0.38, 0.26), (0.38, 0.26), (0, -0.3)],
        4: [(-0.36, -0.3), (0.36, -0.3), (-0.36, 0.3), (0.36, 0.3)],
    }
    for x, y in rows[int(rng.choice([3, 4]))] + rng.uniform(-0.03, 0.03, 2):
        canvas.shadow(oval(x, y, 0.3), 0.06, 0.4)
        canvas.fill(oval(x, y, 0.3), (30, 44, 38))
        canvas.round(blob(rng, x, y, 0.245, 0.03), (250, 248, 240), 0.12, steps=3)
        canvas.round(blob(rng, x, y, 0.12, 0.12), filling, 0.2, steps=3)


@dish(scene=bowl)
def salad(canvas: Canvas, rng: Generator) -> None:
    """Leaves of several greens under tomatoes and cucumber."""
    leaves = [(72, 142, 52), (116, 178, 66), (160, 206, 92), (52, 112, 48)]
    canvas.fill(oval(0, 0, 0.7), (60, 112, 44))
    for x, y in scattered(rng, 16, 0.62)[::-1]:
        canvas.round(blob(rng, x, y, 0.24, 0.2, (3, 5)), pick(rng, leaves), 0.25, steps=3)
    for x, y in scattered(rng, rng.integers(3, 6), 0.45):
        canvas.round(oval(x, y, 0.16), pick(rng, [(226, 52, 40)]), 0.25)
    for x, y in scattered(rng, rng.integers(2, 5), 0.5):
        canvas.fill(oval(x, y, 0.15), (70, 130, 60))
        canvas.fill(oval(x, y, 0.12), (214, 236, 170))


@dish(scene=bowl)
def soup(canvas: Canvas, rng: Generator) -> None:
    """A thick orange soup with a swirl of cream and some herbs."""
    colour = pick(rng, [(222, 84, 30), (240, 150, 40), (204, 56, 34)])
    canvas.round(oval(0, 0, 0.72), colour, 0.15)
    theta = np.linspace(0, rng.uniform(1.4, 2.2) * TURN, 60)
    spiral = np.stack([np.cos(theta), np.sin(theta)], axis=1) * np.linspace(0.04, 0.46, 60)[:, None]
    canvas.stroke(spiral, 0.11, mixed(colour, CREAM, 0.5))
    canvas.stroke(spiral, 0.06, CREAM)
    for x, y in scattered(rng, rng.integers(3, 8), 0.5):
        canvas.fill(oval(x, y, 0.07, 0.04, rng.uniform(0, TURN)), (60, 128, 50))


@dish(scene=plate)
def watermelon(canvas: Canvas, rng: Generator) -> None:
    """Half a round slice with its rind and pips."""
    theta = np.linspace(0, TURN / 2, 40)
    half = np.stack([np.cos(theta), np.sin(theta)], axis=1)
    middle = np.array([0, -0.36])
    canvas.shadow(half * 0.84 + middle, 0.06)
    canvas.fill(half * 0.84 + middle, pick(rng, [(44, 122, 58), (70, 150, 70)]))
    canvas.fill(half * 0.76 + middle, (222, 240, 190))
    canvas.round(half * 0.7 + middle, pick(rng, [(238, 66, 76), (228, 84, 84)]), 0.15)
    for x, y in scattered(rng, rng.integers(12, 22), 0.58):
        canvas.fill(oval(x, abs(y) + middle[1] + 0.07, 0.035, 0.055), (50, 24, 28))


@dish(scene=counter, turn=0.04)
def burger(canvas: Canvas, rng: Generator) -> None:
    """A bun with one or two patties, cheese, tomato and lettuce, seen from the side."""
    bun = pick(rng, [BREAD, (200, 128, 60)])
    y = 0.5
    canvas.round(oval(0, y, 0.62, 0.17, power=4), bun, 0.25)
    for _ in range(rng.integers(1, 3)):
        y -= 0.2
        canvas.round(oval(0, y, 0.68, 0.13, power=4), pick(rng, [(110, 62, 38)]), 0.25)
        cheese = [
            (-0.66, y - 0.12),
            (0.66, y - 0.12),
            (0.5, y - 0.05),
            (0.3, y + 0.1),
            (0.05, y - 0.05),
            (-0.3, y + 0.08),
            (-0.5, y - 0.05),
        ]
        canvas.fill(np.array(cheese), (254, 196, 50))
    y -= 0.18
    canvas.fill(oval(0, y, 0.6, 0.08, power=4), pick(rng, [(222, 58, 44)]))
    y -= 0.1
    x = np.linspace(-0.72, 0.72, 40)
    wave = y + 0.05 * np.cos(x * 22 + rng.uniform(0, TURN))
    canvas.fill(
        np.concatenate([np.stack([x, wave + 0.06], 1), np.stack([x, 0 * x + y - 0.06], 1)[::-1]]),
        pick(rng, [(110, 184, 62)]),
    )
    theta = np.linspace(TURN / 2, TURN, 40)
    dome = np.stack([0.68 * np.cos(theta), y - 0.03 + 0.48 * np.sin(theta)], axis=1)
    canvas.round(dome, bun, 0.3)
    for x, dy in scattered(rng, 12, 0.5):
        canvas.fill(oval(x, y - 0.27 + 0.35 * dy, 0.04, 0.025), CREAM)


@dish(scene=counter, turn=0.04)
def pancakes(canvas: Canvas, rng: Generator) -> None:
    """A stack with butter on top and syrup running down."""
    count = rng.integers(3, 6)
    top = 0.5 - 0.17 * count
    for y in np.linspace(0.5, top, count):
        x = rng.uniform(-0.05, 0.05)
        canvas.fill(oval(x, y + 0.06, 0.68, 0.18, power=2.6), (246, 214, 144))
        canvas.fill(oval(x, y, 0.68, 0.18, power=2.6), pick(rng, [(206, 132, 62)], 8))
    syrup = pick(rng, [(132, 62, 20), (150, 30, 50), (90, 48, 28)])
    canvas.fill(oval(0, top - 0.01, 0.5, 0.12), syrup)
    for x in rng.permutation([-0.36, -0.12, 0.12, 0.36])[:3]:
        drip = rng.uniform(0.1, 0.35)
        canvas.fill(oval(x, top + drip / 2 + 0.08, 0.07, drip / 2 + 0.08, power=3), syrup)
    butter = oval(rng.uniform(-0.1, 0.1), top - 0.06, 0.19, 0.1, rng.uniform(-0.2, 0.2), power=5)
    canvas.shadow(butter, 0.03)
    canvas.round(butter, (255, 232, 120), 0.2, steps=3)


@dish(scene=backdrop, turn=0.15)
def ice_cream(canvas: Canvas, rng: Generator) -> None:
    """A waffle cone with one to three scoops, sometimes a cherry."""
    flavours = [(250, 150, 180), (255, 240, 200), (110, 66, 44), (160, 220, 180), (150, 170, 235), (252, 196, 90)]
    count = rng.integers(1, 4)
    cone = np.array([(-0.36, 0.1), (0.36, 0.1), (0.0, 0.95)])
    canvas.fill(cone, pick(rng, [(222, 158, 82), (206, 140, 72)]))
    for along in (0.25, 0.5, 0.75):
        left, right = cone[0] + along * (cone[1] - cone[0]), cone[1] + along * (cone[0] - cone[1])
        canvas.stroke(np.array([left, cone[1] + along * (cone[2] - cone[1])]), 0.03, BROWN, 0.6)
        canvas.stroke(np.array([right, cone[0] + along * (cone[2] - cone[0])]), 0.03, BROWN, 0.6)
    for level in range(count):
        y, radius = 0.0 - 0.34 * level, 0.42 - 0.05 * level
        colour = pick(rng, flavours)
        canvas.round(oval(0, y, radius), colour, 0.25)
