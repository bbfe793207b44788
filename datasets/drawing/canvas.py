"""Drawing with soft shading: a few outlines, and a canvas that fills them, rounds them and lets them cast shadows.

Lengths are in half picture widths: the picture spans [-1, 1] both ways, x to the right and y down, so a drawing is the
same at any size. Angles are in radians. A colour is three numbers in [0, 255]; an outline is float [P, 2].
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy import ndarray
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

SUPERSAMPLING = 3  # drawn pixels per final pixel, each way: their mean is the anti-aliasing
TURN = 2 * np.pi
BLACK, WHITE, DUSK = (0, 0, 0), (255, 255, 255), (40, 10, 20)  # dusk: what colours fade to in the shade

Colour = Sequence[float] | ndarray  # red, green, blue


@lru_cache(maxsize=16)
def unit_arc(start: float, end: float, count: int) -> ndarray:
    """Return ``count`` points [count, 2] along the circle of radius 1, the last just before ``end``."""
    theta = np.linspace(start, end, count, endpoint=False)
    points = np.stack([np.cos(theta), np.sin(theta)], axis=1)
    points.setflags(write=False)  # everybody gets the same array
    return points


def arc(radius: float, start: float = 0, end: float = TURN, count: int = 40) -> ndarray:
    """Return ``count`` points [count, 2] along a circle about the origin, the last just before ``end``."""
    return radius * unit_arc(start, end, count)


def oval(x: float, y: float, rx: float, ry: float | None = None, angle: float = 0, power: float = 2) -> ndarray:
    """Outline an ellipse at (x, y), turned by ``angle``. A power above 2 squares it: at 5 it is a box, well rounded."""
    circle = arc(1)
    box = circle if power == 2 else np.sign(circle) * np.abs(circle) ** (2 / power)
    return rotated(box * (rx, rx if ry is None else ry), angle) + (x, y)


def blob(rng: Generator, x: float, y: float, radius: float, wobble: float, waves: Sequence[int]) -> ndarray:
    """Outline a disc whose radius swings by up to the share ``wobble``, each count of ``waves`` a turn."""
    theta = np.linspace(0, TURN, 60, endpoint=False)
    swing = sum(np.cos(count * theta + rng.uniform(0, TURN)) for count in waves) / len(waves)
    return arc(radius, count=60) * (1 + wobble * swing)[:, None] + (x, y)


def rotated(points: ndarray, angle: float) -> ndarray:
    """Turn points [..., 2] about the origin."""
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def scattered(rng: Generator, count: int, radius: float) -> ndarray:
    """Spread points [count, 2] evenly but not regularly over a disc: a sunflower's seeds, jittered."""
    order = np.arange(count)
    theta = order * 2.4 + rng.uniform(0, TURN) + rng.uniform(-0.25, 0.25, count)  # 2.4: the golden angle
    distance = radius * np.sqrt((order + 0.5) / count) * rng.uniform(0.92, 1.08, count)
    return distance[:, None] * np.stack([np.cos(theta), np.sin(theta)], axis=1)


def pick(rng: Generator, *colours: Colour, spread: float = 10) -> ndarray:
    """Choose one of the colours and move each channel by at most ``spread`` grey levels."""
    return np.clip(colours[rng.integers(len(colours))] + rng.uniform(-spread, spread, 3), 0, 255)


def mixed(colour: Colour, other: Colour, share: float) -> ndarray:
    """Mix the share ``share`` of the other colour into a colour."""
    return (1 - share) * np.asarray(colour, dtype=float) + share * np.asarray(other, dtype=float)


def ink(colour: Colour, opacity: float) -> tuple[int, ...]:
    """Give Pillow's red, green, blue and opacity, each in [0, 255]."""
    return tuple(round(float(value)) for value in (*colour, 255 * opacity))


class Canvas:
    """A square picture under one light; what is drawn lies where ``place`` last said."""

    def __init__(self, image_size: int, light: float):
        """Take the final pixels a side and the direction of the light, an angle on the picture."""
        self.size = image_size * SUPERSAMPLING
        self.image = Image.new("RGB", (self.size, self.size))
        self.pen = ImageDraw.Draw(self.image, "RGBA")
        self.sun = np.array([np.cos(light), np.sin(light)])  # towards the light, on the picture
        self.ground: Colour = BLACK  # what food lies on: seen through a hole
        self.place()

    def place(self, x: float = 0, y: float = 0, scale: float = 1, angle: float = 0) -> None:
        """Draw from now on with the origin at (x, y), ``scale`` times as large and turned by ``angle``."""
        self.origin, self.scale, self.angle = np.array([x, y]), scale, angle
        self.light = rotated(self.sun, -angle)  # towards the light, in this placement

    def on_picture(self, points: ndarray) -> ndarray:
        """Carry points [P, 2] of this placement to the picture, still in half widths."""
        return rotated(points, self.angle) * self.scale + self.origin

    def pixels(self, points: ndarray) -> list[float]:
        """Turn points [P, 2] on the picture into Pillow's x, y, x, y, ..."""
        return ((points + 1) * (self.size / 2)).ravel().tolist()

    def cover(self, colour: Colour) -> None:
        """Fill the whole picture."""
        self.image.paste(ink(colour, 1)[:3], (0, 0, self.size, self.size))

    def fill(self, points: ndarray, colour: Colour, opacity: float = 1) -> None:
        """Fill an outline evenly."""
        self.pen.polygon(self.pixels(self.on_picture(points)), fill=ink(colour, opacity))

    def stroke(self, points: ndarray, width: float, colour: Colour, opacity: float = 1) -> None:
        """Draw a line of ``width`` through the points."""
        thickness = max(1, round(width * self.scale * self.size / 2))
        self.pen.line(self.pixels(self.on_picture(points)), fill=ink(colour, opacity), width=thickness, joint="curve")

    def solid(self, points: ndarray, colour: Colour, depth: float = 0.2, steps: int = 4) -> None:
        """Fill a convex outline as if it bulged: shaded by ``depth`` at the edge, brighter towards the light."""
        outline = self.on_picture(points)
        middle = outline.mean(axis=0)
        reach = np.abs(outline - middle).max()
        for height in np.linspace(0, 1, steps):
            shade = mixed(mixed(colour, DUSK, depth * (1 - height)), WHITE, depth * height**2 / 2)
            smaller = middle + (outline - middle) * (1 - 0.55 * height) + self.sun * (0.16 * height * reach)
            self.pen.polygon(self.pixels(smaller), fill=ink(shade, 1))

    def shadow(self, points: ndarray, distance: float = 0.06, opacity: float = 0.35) -> None:
        """Darken what lies beneath an outline, moved away from the light and soft at the edge."""
        outline = self.on_picture(points)
        middle = outline.mean(axis=0)
        for spread in (1.07, 1.02, 0.97):
            moved = middle + (outline - middle) * spread - self.sun * distance
            self.pen.polygon(self.pixels(moved), fill=ink(DUSK, opacity / 3))

    def finished(self, blur: float) -> ndarray:
        """Return float32 [H, W, 3] in [0, 255]: means of the drawn pixels, then blurred by ``blur`` final pixels."""
        small = self.image.reduce(SUPERSAMPLING).filter(ImageFilter.GaussianBlur(blur))
        return np.asarray(small, dtype=np.float32)
