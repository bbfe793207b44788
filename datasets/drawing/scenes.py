"""Where a dish stands. A scene covers the whole picture, and leaves the middle, of radius 0.7 or so, to the food."""

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from datasets.drawing.canvas import BLACK, DUSK, TURN, WHITE, Canvas, mixed, oval, pick, rotated

TABLES = [
    (178, 130, 88),
    (92, 104, 116),
    (104, 156, 158),
    (216, 202, 178),
    (204, 146, 138),
    (72, 88, 124),
    (146, 168, 128),
]
WALLS = [(236, 204, 180), (178, 214, 220), (194, 216, 184), (226, 194, 214), (240, 222, 172), (186, 194, 226)]
PLATES = [(250, 248, 244), (244, 234, 214), (206, 224, 236), (214, 232, 218)]
BOWLS = [(248, 246, 242), (92, 132, 168), (236, 224, 200), (74, 82, 96), (120, 164, 150)]
BOARDS = [(206, 160, 108), (120, 84, 58), (164, 60, 54)]
PANS = [(64, 66, 74), (50, 48, 52)]
GLAZE_SHADE = (60, 60, 90)  # china in the shade is bluish


def table(canvas: Canvas, rng: Generator) -> ndarray:
    """A table top seen from above: plain, or with stripes hardly darker than it. Returns its colour."""
    colour = pick(rng, *TABLES)
    canvas.cover(colour)
    angle, width = rng.uniform(0, TURN), rng.choice([0.03, 0.2])
    for x in np.arange(-1.5, 1.5, 0.5) if rng.random() < 0.25 else ():
        canvas.stroke(rotated(np.array([(x, -3), (x, 3)]), angle), width, mixed(colour, BLACK, 0.1))
    return colour


def plate(canvas: Canvas, rng: Generator) -> None:
    """A round plate seen from above."""
    table(canvas, rng)
    colour = pick(rng, *PLATES, spread=5)
    radius = rng.uniform(0.84, 0.92)
    canvas.shadow(oval(0, 0, radius), 0.09)
    canvas.fill(oval(0, 0, radius), colour)
    canvas.fill(oval(0, 0, radius * 0.76), mixed(colour, GLAZE_SHADE, 0.14))
    canvas.fill(oval(*(-0.02 * canvas.light), radius * 0.74), mixed(colour, GLAZE_SHADE, 0.04))
    canvas.ground = mixed(colour, GLAZE_SHADE, 0.2)


def bowl(canvas: Canvas, rng: Generator) -> None:
    """A deep bowl seen from above."""
    table(canvas, rng)
    colour = pick(rng, *BOWLS, spread=6)
    canvas.shadow(oval(0, 0, 0.86), 0.1)
    canvas.fill(oval(0, 0, 0.86), colour)
    canvas.fill(oval(0, 0, 0.77), mixed(colour, DUSK, 0.35))


def pan(canvas: Canvas, rng: Generator) -> None:
    """A dark frying pan seen from above, its handle to the right."""
    table(canvas, rng)
    colour = pick(rng, *PANS, spread=6)
    canvas.shadow(oval(0, 0, 0.84), 0.1)
    canvas.fill(oval(1.1, 0, 0.5, 0.11, power=5), mixed(colour, BLACK, 0.3))
    canvas.fill(oval(0, 0, 0.84), mixed(colour, WHITE, 0.25))
    canvas.fill(oval(0, 0, 0.78), colour)


def board(canvas: Canvas, rng: Generator) -> None:
    """A rectangular board of wood or lacquer seen from above."""
    table(canvas, rng)
    colour = pick(rng, *BOARDS)
    canvas.shadow(oval(0, 0, 0.88, 0.76, power=7), 0.09)
    canvas.fill(oval(0, 0, 0.88, 0.76, power=7), colour)
    canvas.fill(oval(0, 0, 0.82, 0.7, power=7), mixed(colour, WHITE, 0.12))


def wall(canvas: Canvas, rng: Generator) -> None:
    """A plain wall, for what is held in the hand."""
    canvas.cover(pick(rng, *WALLS))


def counter(canvas: Canvas, rng: Generator) -> None:
    """A plate on a counter before a wall, seen from the side: food stands at y = 0.65 or so."""
    wall(canvas, rng)
    horizon = rng.uniform(0.25, 0.4)
    canvas.fill(np.array([(-3, horizon), (3, horizon), (3, 3), (-3, 3)]), pick(rng, *TABLES))
    colour = pick(rng, *PLATES, spread=5)
    canvas.fill(oval(0, 0.76, 0.95, 0.17), DUSK, 0.25)
    canvas.fill(oval(0, 0.68, 0.93, 0.18), mixed(colour, GLAZE_SHADE, 0.25))
    canvas.fill(oval(0, 0.65, 0.93, 0.17), colour)
    canvas.fill(oval(0, 0.65, 0.7, 0.11), mixed(colour, GLAZE_SHADE, 0.15))
