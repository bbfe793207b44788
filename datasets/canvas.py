"""Drawing with soft shading: a few outlines, and a canvas that fills them, rounds them and lets them cast shadows.

Lengths are in half picture widths: the picture spans [-1, 1] both ways, x to the right and y down, so a drawing is the
same at any size. A colour is three numbers in [0, 255]; an outline is float [P, 2].
"""

from collections.abc import Sequence

import numpy as np
from numpy import ndarray
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

SUPERSAMPLING = 4  # drawn pixels per final pixel, each way: their mean is the anti-aliasing
TURN = 2 * np.pi


def oval(x: float, y: float, rx: float, ry: float | None = None, angle: float = 0, power: float = 2) -> ndarray:
    """Outline an ellipse at (x, y), turned by ``angle`` radians. A power above 2 squares it: 4 is a rounded box."""
    theta = np.linspace(0, TURN, 40, endpoint=False)
    circle = np.stack([np.cos(theta), np.sin(theta)], axis=1)  # [40, 2]
    points = np.sign(circle) * np.abs(circle) ** (2 / power) * (rx, rx if ry is None else ry)
    return rotated(points, angle) + (x, y)


def blob(
    rng: Generator, x: float, y: float, radius: float, wobble: float = 0.1, waves: Sequence[int] = (2, 3)
) -> ndarray:
    """Outline a disc whose radius swings by up to ``wobble``, each count of ``waves`` once, with chance phases."""
    theta = np.linspace(0, TURN, 60, endpoint=False)
    swing = sum(np.cos(count * theta + rng.uniform(0, TURN)) for count in waves) / len(waves)
    return (radius * (1 + wobble * swing))[:, None] * np.stack([np.cos(theta), np.sin(theta)], axis=1) + (x, y)


def rotated(points: ndarray, angle: float) -> ndarray:
    """Turn points [P, 2] about the origin by ``angle`` radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def scattered(rng: Generator, count: int, radius: float) -> ndarray:
    """Spread ``count`` points [count, 2] evenly but not regularly over a disc: a jittered sunflower."""
    order = np.arange(count)
    theta = order * 2.4 + rng.uniform(0, TURN) + rng.uniform(-0.25, 0.25, count)  # 2.4: the golden angle
    distance = radius * np.sqrt((order + 0.5) / count) * rng.uniform(0.92, 1.08, count)
    return distance[:, None] * np.stack([np.cos(theta), np.sin(theta)], axis=1)


def pick(rng: Generator, colours: Sequence[Sequence[float]], spread: float = 10) -> ndarray:
    """Choose one of the colours and move each channel by at most ``spread``."""
    return np.clip(rng.choice(np.array(colours, dtype=float)) + rng.uniform(-spread, spread, 3), 0, 255)


def mixed(colour: Sequence[float], other: Sequence[float], share: float) -> ndarray:
    """Mix ``share`` of the other colour into a colour."""
    return (1 - share) * np.asarray(colour, dtype=float) + share * np.asarray(other, dtype=float)


class Canvas:
    """A square picture under one light. ``ground`` is the colour that food lies on, for whatever has a hole in it."""

    def __init__(self, image_size: int, light: float):
        self.size = image_size * SUPERSAMPLING  # drawn pixels
        self.image = Image.new("RGB", (self.size, self.size))
        self.pen = ImageDraw.Draw(self.image, "RGBA")
        self.light = np.array([np.cos(light), np.sin(light)])  # towards the light
        self.ground = np.zeros(3)
        self.place()

    def place(self, x: float = 0, y: float = 0, scale: float = 1, angle: float = 0) -> None:
        """Draw from now on with the origin at (x, y), enlarged by ``scale`` and turned by ``angle`` radians."""
        self.origin, self.scale, self.angle = np.array([x, y]), scale, angle

    def on_picture(self, points: ndarray) -> ndarray:
        """Carry points [P, 2] of the current placement to the picture, still in half widths."""
        return rotated(np.asarray(points, dtype=float), self.angle) * self.scale + self.origin

    def paint(self, points: ndarray, colour: Sequence[float], opacity: float = 1) -> None:
        """Fill an outline [P, 2] that lies on the picture."""
        pixels = (points + 1) * (self.size / 2)
        self.pen.polygon(pixels.ravel().tolist(), fill=(*(int(round(c)) for c in colour), int(round(255 * opacity))))

    def fill(self, points: ndarray, colour: Sequence[float], opacity: float = 1) -> None:
        """Fill an outline evenly."""
        self.paint(self.on_picture(points), colour, opacity)

    def round(self, points: ndarray, colour: Sequence[float], depth: float = 0.2, steps: int = 5) -> None:
        """Fill an outline so that it bulges: darker at the edge by ``depth``, lighter towards the light."""
        outline = self.on_picture(points)
        middle = outline.mean(axis=0)
        reach = np.abs(outline - middle).max()
        for step in np.linspace(0, 1, steps):
            shrunk = middle + (outline - middle) * (1 - 0.55 * step) + self.light * (0.16 * step * reach)
            shade = (
                mixed(colour, (40, 10, 20), depth * (1 - step))
                if step < 0.6
                else mixed(colour, (255,) * 3, depth * (step - 0.5))
            )
            self.paint(shrunk, shade)

    def shadow(self, points: ndarray, distance: float = 0.06, opacity: float = 0.3) -> None:
        """Darken what lies beneath an outline, away from the light and with a soft edge."""
        outline = self.on_picture(points)
        middle = outline.mean(axis=0)
        for spread in (1.08, 1.04, 1.0, 0.96):
            shifted = middle + (outline - middle) * spread - self.light * distance
            self.paint(shifted, (20, 12, 24), opacity / 4)

    def stroke(self, points: ndarray, width: float, colour: Sequence[float], opacity: float = 1) -> None:
        """Draw a line through points [P, 2], ``width`` half widths thick."""
        pixels = (self.on_picture(points) + 1) * (self.size / 2)
        thickness = max(1, round(width * self.scale * self.size / 2))
        ink = (*(int(round(c)) for c in colour), int(round(255 * opacity)))
        self.pen.line(pixels.ravel().tolist(), fill=ink, width=thickness, joint="curve")

    def finished(self, blur: float = 0) -> ndarray:
        """Return the picture as float32 [H, W, 3] in [0, 255], each pixel the mean of its drawn ones; ``blur`` in pixels."""
        small = self.image.reduce(SUPERSAMPLING).filter(ImageFilter.GaussianBlur(blur))
        return np.asarray(small, dtype=np.float32)
