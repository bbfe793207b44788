"""DiffAugment against its formulas, and both players' use of it. Another augmentation is tested by being registered."""

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from training.disc_augment import DiffAugment, color, cutout, translation
from training.registry import disc_augments_registry

every_augmentation = pytest.mark.parametrize("name", disc_augments_registry)
N, SIZE = 6, 16


def images(n: int = N, size: int = SIZE, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(n, 3, size, size, dtype=dtype, generator=torch.Generator().manual_seed(0)) * 2 - 1


def uniform(n: int, numbers: int) -> Tensor:
    return torch.rand(n, numbers, generator=torch.Generator().manual_seed(1))


def const(value: float, n: int = N) -> Tensor:
    return torch.full((n,), value)


@every_augmentation
def test_each_image_is_changed_by_its_own_numbers_whatever_the_batch(name):
    """So two processes, or two micro-batches, show what one shows."""
    augment = disc_augments_registry[name]()
    x, u = images(), uniform(N, augment.numbers)
    together = augment(x, u)
    assert together.shape == x.shape
    assert torch.equal(torch.cat([augment(x[:3], u[:3]), augment(x[3:], u[3:])]), together)
    assert all(not torch.equal(a, b) for a, b in zip(together, x))


@every_augmentation
def test_gradients_pass_through_it_to_the_images(name):
    """By finite differences, and a second time."""
    augment = disc_augments_registry[name]()
    u = uniform(2, augment.numbers).double()
    x = images(2, 4, torch.float64).requires_grad_(True)
    assert gradcheck(lambda x: augment(x, u), x)
    (gradient,) = torch.autograd.grad(augment(x, u).square().sum(), x, create_graph=True)
    gradient.square().sum().backward()
    assert x.grad.abs().sum() > 0


def test_a_half_everywhere_leaves_colours_as_they_are():
    torch.testing.assert_close(color(images(), const(0.5), const(0.5), const(0.5)), images())


def test_brightness_adds_up_to_half():
    for u, added in ((0.0, -0.5), (0.75, 0.25)):
        torch.testing.assert_close(color(images(), const(u), const(0.5), const(0.5)), images() + added)


def test_saturation_scales_the_distance_to_grey_by_nought_to_two():
    x = images()
    grey = x.mean(dim=1, keepdim=True).expand_as(x)
    torch.testing.assert_close(color(x, const(0.5), const(0.0), const(0.5)), grey)
    torch.testing.assert_close(color(x, const(0.5), const(0.75), const(0.5)), grey + 1.5 * (x - grey))


def test_contrast_scales_the_distance_to_the_mean_by_a_half_to_one_and_a_half():
    x = images()
    mean = torch.stack([image.mean() for image in x])[:, None, None, None]
    for u in (0.0, 0.75):
        torch.testing.assert_close(color(x, const(0.5), const(0.5), const(u)), mean + (0.5 + u) * (x - mean))


def shifted(image: Tensor, down: int, right: int) -> Tensor:
    """Copy pixel by pixel what stays in the picture; the rest is zero."""
    result = torch.zeros_like(image)
    size = image.shape[-1]
    for i in range(size):
        for j in range(size):
            if 0 <= i - down < size and 0 <= j - right < size:
                result[:, i, j] = image[:, i - down, j - right]
    return result


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, 0), (0, -2), (-1, 2), (2, 2)])
def test_translation_is_an_exact_shift_with_zeros_behind_it(down, right):
    """At 16 by 16 there are five shifts each way, -2 to 2, a fifth of the numbers for each."""
    u = [(shift + 2 + 0.5) / 5 for shift in (down, right)]
    moved = translation(images(1), const(u[0], 1), const(u[1], 1))
    assert torch.equal(moved[0], shifted(images(1)[0], down, right))


def test_translation_goes_an_eighth_of_the_size_each_way_and_no_further():
    first, last = (translation(images(1, 64), const(u, 1), const(0.5, 1))[0] for u in (0.0, 1 - 1e-6))
    assert torch.equal(first, shifted(images(1, 64)[0], -8, 0))
    assert torch.equal(last, shifted(images(1, 64)[0], 8, 0))


@pytest.mark.parametrize(("u", "rows"), [(0.0, range(4)), (0.5, range(4, 12)), (1 - 1e-6, range(12, 16))])
def test_cutout_hides_a_square_of_half_the_size_whose_centre_lies_in_the_picture(u, rows):
    """Of a square at the edge only the part inside is left."""
    shown = cutout(images(1), const(u, 1), const(0.5, 1))[0]
    expected = images(1)[0].clone()
    expected[:, rows.start : rows.stop, 4:12] = 0
    assert torch.equal(shown, expected)


def test_the_policy_is_done_in_its_order_with_numbers_for_each():
    augment = DiffAugment(["cutout", "color"])
    u = uniform(N, augment.numbers)
    assert augment.numbers == 5
    expected = color(cutout(images(), u[:, 0], u[:, 1]), u[:, 2], u[:, 3], u[:, 4])
    assert torch.equal(augment(images(), u), expected)


def test_without_a_policy_nothing_is_done():
    augment = DiffAugment([])
    assert torch.equal(augment(images(), uniform(N, augment.numbers)), images())
