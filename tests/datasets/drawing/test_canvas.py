"""What the canvas draws has the size, the place and the light that it was asked for; dishes cover the picture."""

import numpy as np
import pytest

from datasets.drawing.canvas import TURN, WHITE, Canvas, blob, oval, scattered
from datasets.drawing.dishes import DISHES

UP = -TURN / 4  # y runs down


def brightness(canvas: Canvas) -> np.ndarray:
    """Return the picture as [H, W] in [0, 1]."""
    return canvas.finished(blur=0).mean(axis=2) / 255


def test_an_ellipse_covers_its_area_whatever_its_angle():
    canvas = Canvas(100, light=UP)
    canvas.fill(oval(0.1, -0.2, 0.6, 0.3, angle=0.7), WHITE)
    assert brightness(canvas).mean() * 4 == pytest.approx(np.pi * 0.6 * 0.3, rel=0.02)  # the picture's area is 4


def test_a_placement_moves_turns_and_enlarges():
    """A disc at (0.4, 0), enlarged by 1.5, goes a quarter turn round the origin (0.1, -0.2): to (0.1, 0.4)."""
    canvas = Canvas(100, light=UP)
    canvas.place(0.1, -0.2, scale=1.5, angle=TURN / 4)
    canvas.fill(oval(0.4, 0, 0.1), WHITE)
    rows, columns = np.nonzero(brightness(canvas) > 0.5)
    assert (columns.mean() / 50 - 1, rows.mean() / 50 - 1) == pytest.approx((0.1, 0.4), abs=0.02)
    assert np.ptp(rows) / 50 == pytest.approx(2 * 1.5 * 0.1, abs=0.04)


def test_edges_are_smooth():
    canvas = Canvas(64, light=UP)
    canvas.fill(oval(0, 0, 0.5), WHITE)
    levels = np.unique(brightness(canvas).round(3))
    assert levels.min() == 0 and levels.max() == 1
    assert len(levels) > 4


@pytest.mark.parametrize("angle", [0, 1, 3])
def test_a_solid_is_brighter_and_its_shadow_lies_away_from_the_light_however_it_is_turned(angle):
    canvas = Canvas(64, light=UP)
    canvas.cover((200, 200, 200))
    canvas.place(angle=angle)
    canvas.shadow(oval(0, 0, 0.5), distance=0.2)
    canvas.solid(oval(0, 0, 0.5), (150, 150, 150))
    middle = brightness(canvas)[:, 32]
    assert middle[24] > middle[40]  # inside, above and below the centre
    assert middle[14] == pytest.approx(200 / 255) and middle[52] < 0.95 * 200 / 255  # beyond the edge, both ways


def test_scattered_points_stay_on_their_disc_and_apart():
    points = scattered(np.random.default_rng(0), 9, radius=1)
    assert np.linalg.norm(points, axis=1).max() < 1.08
    distance = np.linalg.norm(points[:, None] - points, axis=2) + 9 * np.eye(9)
    assert distance.min() > 0.3  # nine discs that fill a disc of radius 1 are 2/3 wide


def test_a_blob_swings_by_at_most_its_wobble():
    radius = np.linalg.norm(blob(np.random.default_rng(0), 0, 0, 2, 0.1, (2, 3)), axis=1)
    assert 1.8 <= radius.min() < radius.max() <= 2.2


@pytest.mark.parametrize("name", sorted(DISHES))
def test_a_dish_covers_whatever_was_there_before(name):
    pictures = []
    for before in [(255, 0, 255), (0, 255, 0)]:
        canvas, rng = Canvas(16, light=UP), np.random.default_rng(1)
        canvas.cover(before)
        canvas.place(0.08, -0.08, 0.9, DISHES[name].turn)
        DISHES[name].scene(canvas, rng)
        DISHES[name].draw(canvas, rng)
        pictures.append(canvas.finished(blur=0))
    assert np.array_equal(*pictures)
