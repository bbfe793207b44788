"""The layers of StyleGAN2 against loops, other operations and closed forms."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from models.layers.equalized import EqualizedConv2d, EqualizedLinear, lrelu
from models.layers.filters import smooth, smooth_conv_up, smooth_down, smooth_up
from models.layers.minibatch import minibatch_std
from models.layers.modulated import ModulatedConv2d

TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)
KERNEL = torch.outer(TAPS, TAPS) / 64


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def filtered(x: torch.Tensor, pad: int, gain: float = 1.0) -> torch.Tensor:
    """Filter each channel of x by the kernel itself."""
    n, c, height, width = x.shape
    y = F.conv2d(x.reshape(n * c, 1, height, width), gain * KERNEL[None, None], padding=pad)
    return y.view(n, c, *y.shape[2:])


def with_zeros_between(x: torch.Tensor) -> torch.Tensor:
    """Double height and width of x: its pixels at even places, zeros at the others."""
    y = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    y[..., ::2, ::2] = x
    return y


def pixels(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


# ---- The filter.


@pytest.mark.parametrize("pad", [0, 1, 2, 3])
def test_smooth_is_the_convolution_with_1331(pad):
    x = pixels(2, 3, 5, 7)
    torch.testing.assert_close(smooth(x, pad), filtered(x, pad))


@pytest.mark.parametrize("pad", [0, 1, 2, 3])
def test_smooth_has_the_derivatives_that_finite_differences_have(pad):
    x = pixels(1, 2, 4, 5).requires_grad_(True)
    assert gradcheck(lambda x: smooth(x, pad), x)
    assert gradgradcheck(lambda x: smooth(x.square(), pad), x)


def test_up_is_the_filter_on_pixels_with_zeros_between_and_down_is_every_other_place_of_it():
    """Zero beyond the edge. Up weighs four times as much: three of four pixels are zeros."""
    x = pixels(2, 3, 4, 6)
    up = filtered(F.pad(with_zeros_between(x), (2, 1, 2, 1)), pad=0, gain=4)
    torch.testing.assert_close(smooth_up(x), up)
    torch.testing.assert_close(smooth_down(x), filtered(x, pad=1)[..., ::2, ::2])


def test_up_is_four_times_the_transpose_of_down():
    x, y = pixels(2, 3, 4, 4), pixels(2, 3, 8, 8)
    assert (smooth_up(x) * y).sum().item() == pytest.approx(4 * (x * smooth_down(y)).sum().item())


def test_a_convolution_going_up_is_doubling_and_then_the_mirrored_convolution_inside_the_edge():
    x, weight = pixels(2, 3, 6, 6), pixels(5, 3, 3, 3)
    expected = F.conv2d(smooth_up(x), weight.flip(2, 3), padding=1)
    made = smooth_conv_up(x, weight)
    assert made.shape == expected.shape
    torch.testing.assert_close(made[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2])


# ---- Equalized layers.


def test_equalized_layers_keep_the_size_of_a_signal():
    """Inputs of variance 1 give outputs of variance 1, and after ``lrelu`` a mean square of 2 (1 + 0.2^2) / 2."""
    x = torch.randn(4000, 64)
    linear, slow = EqualizedLinear(64, 50), EqualizedLinear(64, 50, lr_multiplier=0.01)
    conv = EqualizedConv2d(16, 50, 3)
    for y in (linear(x), slow(x), conv(torch.randn(16, 16, 20, 20))[..., 1:-1, 1:-1]):
        assert y.square().mean().item() == pytest.approx(1, abs=0.15)
    normal = torch.randn(10**6)
    assert lrelu(normal).square().mean().item() == pytest.approx(1 + 0.2**2, rel=0.01)


def test_a_learning_rate_multiplier_moves_the_result_so_much_less():
    """One step of plain gradient descent on the same function: weights a hundred times larger, used a hundredth."""
    fast, slow = EqualizedLinear(8, 8, bias=1.0), EqualizedLinear(8, 8, bias=1.0, lr_multiplier=0.1)
    slow.weight.data, slow.bias.data = fast.weight.data / 0.1, fast.bias.data / 0.1
    x, moved = torch.randn(5, 8), {}
    for layer in (fast, slow):
        before = layer(x)
        before.sum().backward()
        for parameter in layer.parameters():
            parameter.data -= 0.01 * parameter.grad
        moved[layer] = layer(x) - before.detach()
    torch.testing.assert_close(moved[slow], 0.1**2 * moved[fast], rtol=1e-3, atol=1e-5)


# ---- The modulated convolution.


def one_by_one(layer: ModulatedConv2d, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Equations 1 and 3 image by image: each has weights of its own."""
    results = []
    for image, style in zip(x, layer.affine(w)):
        weight = layer.weight * layer.scale * style[None, :, None, None]
        if layer.demodulate:
            weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        results.append(
            smooth_conv_up(image[None], weight) if layer.up else F.conv2d(image[None], weight, padding="same")
        )
    return torch.cat(results)


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize(("size", "up"), [(1, False), (3, False), (3, True)])
def test_a_modulated_convolution_is_the_loop_over_images_with_weights_of_their_own(size, up, demodulate):
    layer = ModulatedConv2d(6, 5, size, w_dim=4, demodulate=demodulate, up=up)
    x, w = torch.randn(4, 6, 8, 8), 3 * torch.randn(4, 4)
    torch.testing.assert_close(layer(x, w), one_by_one(layer, x, w), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("demodulate", [True, False])
def test_its_gradients_are_those_of_the_loop_too(demodulate):
    """The number by which styles are divided gets no gradient: it cancels out."""
    layer = ModulatedConv2d(6, 5, 3, w_dim=4, demodulate=demodulate)
    x, w = torch.randn(4, 6, 8, 8, requires_grad=True), torch.randn(4, 4, requires_grad=True)
    probe, inputs = torch.randn(4, 5, 8, 8), [x, w, *layer.parameters()]
    ours, theirs = (
        torch.autograd.grad((call(x, w) * probe).sum(), inputs)
        for call in (layer, lambda x, w: one_by_one(layer, x, w))
    )
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_demodulated_white_noise_keeps_its_variance_whatever_the_style():
    """Section 2.2: with unit inputs the outputs have unit standard deviation, away from the edge."""
    layer = ModulatedConv2d(32, 64, 3, w_dim=4)
    y = layer(torch.randn(8, 32, 32, 32), 10 * torch.randn(8, 4))[..., 1:-1, 1:-1]
    assert y.std().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("demodulate", [True, False])
def test_styles_of_a_million_do_not_overflow_half_types(dtype, demodulate):
    """fp16 ends at 65504. Without demodulation the result is as large as the styles: it is float32."""
    layer = ModulatedConv2d(16, 8, 3, w_dim=4, demodulate=demodulate)
    x, w = torch.randn(2, 16, 8, 8), torch.randn(2, 4) * 1e6
    exact = layer(x, w)
    with torch.autocast("cpu", dtype):
        rounded = layer(x, w)
    assert rounded.dtype == (dtype if demodulate else torch.float32) and rounded.isfinite().all()
    assert (rounded.float() - exact).norm() < 0.02 * exact.norm()


# ---- The minibatch's standard deviation.


def test_the_standard_deviation_of_a_minibatch_is_that_of_a_loop():
    x = torch.randn(6, 3, 2, 2)
    made = minibatch_std(x, group_size=3)
    assert torch.equal(made[:, :3], x)
    for first in (0, 3):
        total = 0.0
        for c in range(3):
            for i in range(2):
                for j in range(2):
                    values = [x[first + k, c, i, j].item() for k in range(3)]
                    mean = sum(values) / 3
                    total += math.sqrt(sum((value - mean) ** 2 for value in values) / 3)
        torch.testing.assert_close(made[first : first + 3, 3], torch.full((3, 2, 2), total / 12), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("batch", "group", "size"), [(8, 4, 4), (6, 4, 3), (2, 4, 2), (7, 4, 1), (5, 5, 5)])
def test_a_batch_is_cut_into_the_largest_groups_that_fit(batch, group, size):
    """Images of one group share a number; another group has its own. Alone, an image differs from nobody."""
    numbers = minibatch_std(torch.randn(batch, 3, 4, 4), group)[:, -1, 0, 0]
    assert len(numbers.unique()) == (batch // size if size > 1 else 1)
    assert torch.equal(numbers, numbers[::size].repeat_interleave(size))
    if size == 1:
        assert numbers.max().item() == pytest.approx(1e-4)  # the root of the epsilon


def test_a_batch_cut_between_groups_gives_the_same():
    x = torch.randn(8, 3, 4, 4)
    torch.testing.assert_close(torch.cat([minibatch_std(half, 4) for half in x.split(4)]), minibatch_std(x, 4))
