"""The layers of the GANs: spectral norm, attention, conditional batch norm, filters, grouped convolution."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.profiler import profile

from models.gan.residual import ConditionalBatchNorm
from models.layers.attention import GanAttention
from models.layers.filters import filtered_down, filtered_up
from models.layers.grouped import GroupedConv3x3, _Convolve
from models.layers.spectral import spectral_norm
from utils.batch import Condition


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


LAYERS = {
    "linear": lambda: (nn.Linear(12, 7), torch.randn(3, 12)),
    "conv": lambda: (nn.Conv2d(3, 8, 3), torch.randn(3, 3, 5, 5)),
    "embedding": lambda: (nn.Embedding(6, 10), torch.arange(3)),
}
every_layer = pytest.mark.parametrize("kind", LAYERS)


@every_layer
def test_after_some_passes_the_weight_is_divided_by_the_largest_singular_value_of_an_svd(kind):
    layer, x = LAYERS[kind]()
    spectral_norm(layer)
    for _ in range(200):
        layer(x)
    original = layer.parametrizations.weight.original.detach()
    sigma = torch.linalg.svdvals(original.flatten(1).double())[0]
    torch.testing.assert_close(layer.eval().weight, (original / sigma).float(), rtol=1e-5, atol=1e-6)


@every_layer
def test_the_power_iteration_follows_a_weight_that_training_moves(kind):
    """One iteration a pass keeps the norm within a few per cent of one."""
    layer, x = LAYERS[kind]()
    spectral_norm(layer)
    for _ in range(50):
        layer(x)
        original = layer.parametrizations.weight.original
        original.data += 0.02 * original.std() * torch.randn_like(original)
    norm = torch.linalg.matrix_norm(layer.eval().weight.flatten(1), 2)
    assert norm.item() == pytest.approx(1, abs=0.05)


def test_training_passes_move_the_vectors_and_eval_passes_do_not():
    layer, x = LAYERS["conv"]()
    norm = spectral_norm(layer).parametrizations.weight[0]
    before = norm.u.clone()
    layer.eval()(x)
    assert torch.equal(norm.u, before)
    layer.train()(x)
    assert not torch.equal(norm.u, before)


def test_a_checkpoint_holds_the_vectors_and_a_copy_has_its_own():
    """So a resumed run goes on with the same numbers, and an averaged copy disturbs nobody."""
    layer, x = LAYERS["conv"]()
    spectral_norm(layer)
    other = spectral_norm(nn.Conv2d(3, 8, 3))
    other.load_state_dict(layer.state_dict())
    for _ in range(3):
        assert torch.equal(layer(x), other(x))
    twin = copy.deepcopy(layer)
    twin(x)
    assert not torch.equal(twin.parametrizations.weight[0].u, layer.parametrizations.weight[0].u)


def test_two_passes_can_be_differentiated_together_and_twice():
    """D(real) - D(fake) with a penalty: the vectors of the first pass must survive the second."""
    layer, x = LAYERS["linear"]()
    spectral_norm(layer)
    x = x.requires_grad_(True)
    first, second = layer(x).tanh(), layer(-x).tanh()
    (gradient,) = torch.autograd.grad(first.sum(), x, create_graph=True)
    (gradient.square().sum() + first.sum() - second.sum()).backward()
    assert layer.parametrizations.weight.original.grad.isfinite().all()


def test_the_norm_is_computed_in_float32_under_autocast():
    layer, x = LAYERS["linear"]()
    norm = spectral_norm(layer)
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(100):
            assert layer(x).dtype == torch.bfloat16
    largest = torch.linalg.matrix_norm(norm.eval().weight, 2)
    assert largest.item() == pytest.approx(1, abs=1e-5)


def test_compiled_training_passes_move_the_vectors_as_plain_ones_do():
    torch.compiler.reset()
    layer, x = LAYERS["conv"]()
    twin = copy.deepcopy(spectral_norm(layer))
    compiled = torch.compile(twin, backend="aot_eager", fullgraph=True)
    for _ in range(3):
        torch.testing.assert_close(compiled(x), layer(x))
    torch.testing.assert_close(twin.parametrizations.weight[0].v, layer.parametrizations.weight[0].v)


def attention(channels: int = 16) -> GanAttention:
    layer = GanAttention(channels).eval()
    nn.init.constant_(layer.gamma, 0.7)
    return layer


def test_attention_starts_as_the_identity():
    x = torch.randn(2, 16, 4, 4)
    assert torch.equal(GanAttention(16)(x), x)


def test_attention_is_a_loop_over_positions():
    """Zhang et al. 2019, equations 1 to 3, one query at a time."""
    layer, x = attention(), torch.randn(2, 16, 4, 4)
    query, key, value = (f(x) for f in (layer.query, layer.key, layer.value))
    key, value = (F.max_pool2d(t, 2).flatten(2) for t in (key, value))  # [N, C', 4]
    mixed = torch.zeros(2, 8, 4, 4)
    for n in range(2):
        for i in range(4):
            for j in range(4):
                scores = torch.stack([query[n, :, i, j] @ key[n, :, k] for k in range(4)])
                mixed[n, :, i, j] = (scores.exp() / scores.exp().sum() * value[n]).sum(dim=1)
    torch.testing.assert_close(layer(x), x + 0.7 * layer.out(mixed), rtol=1e-4, atol=1e-5)


def test_attention_can_be_differentiated_twice():
    layer, x = attention(8).double(), torch.randn(1, 8, 4, 4, dtype=torch.float64, requires_grad=True)
    assert gradgradcheck(layer, x)


def test_a_class_s_row_scales_and_shifts_what_batch_norm_gives():
    norm = ConditionalBatchNorm(4, num_classes=3)
    x, labels = torch.randn(5, 4, 6, 6), torch.tensor([0, 1, 2, 1, 3])
    plain = F.batch_norm(x, None, None, training=True)
    torch.testing.assert_close(norm(x, Condition(labels)), plain)  # all classes alike at first
    nn.init.normal_(norm.label.weight)
    scale, shift = norm.label.weight[labels][:, :, None, None].chunk(2, dim=1)
    torch.testing.assert_close(norm(x, Condition(labels)), plain * (1 + scale) + shift)


def test_without_classes_it_is_the_plain_batch_norm():
    norm = ConditionalBatchNorm(4, num_classes=0)
    assert [name for name, _ in norm.named_parameters()] == ["norm.weight", "norm.bias"]


def test_resampling_filters_with_one_two_one():
    """A row of one number a, zero elsewhere, in one line of pixels repeated to keep the other axis out of it."""
    line = torch.tensor([0.0, 0.0, 1.0, 0.0])
    up = filtered_up(line.view(1, 1, 1, 4).expand(1, 1, 4, 4))[0, 0, 2]
    torch.testing.assert_close(up, torch.tensor([0.0, 0.0, 0.0, 0.5, 1.0, 0.5, 0.0, 0.0]))
    for place, expected in ((2, [0.0, 0.5]), (3, [0.0, 0.25]), (1, [0.25, 0.25])):
        pixels = F.one_hot(torch.tensor(place), 4).float().view(1, 1, 1, 4).expand(1, 1, 4, 4)
        torch.testing.assert_close(filtered_down(pixels)[0, 0, 1], torch.tensor(expected))


def test_down_is_a_quarter_of_the_transpose_of_up():
    """<down(x), y> = <x, up(y)> / 4 for all x and y."""
    x, y = torch.randn(2, 3, 8, 8, dtype=torch.float64), torch.randn(2, 3, 4, 4, dtype=torch.float64)
    torch.testing.assert_close((filtered_down(x) * y).sum(), (x * filtered_up(y)).sum() / 4)


def test_the_finest_checkerboard_is_filtered_away():
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2 * 2.0 - 1
    assert filtered_down(board.view(1, 1, 8, 8))[0, 0, 1:, 1:].abs().max() < 1e-6


def test_the_grouped_convolution_is_pytorch_s():
    layer, x = GroupedConv3x3(12, group_size=4), torch.randn(2, 12, 5, 5)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight, layer.bias, padding=1, groups=3))


def test_its_first_and_second_derivatives_are_right():
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x, w: _Convolve.apply(x, w, 2), (x, weight))
    assert gradgradcheck(lambda x, w: _Convolve.apply(x, w, 2), (x, weight))


def convolutions_of_a_penalty(layer: nn.Module, groups: int) -> int:
    """Count the convolutions that the penalty on a layer's slope runs."""
    x = torch.randn(1, 4 * groups, 4, 4, requires_grad=True)
    with profile() as measured:
        (gradient,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
        gradient.square().sum().backward()
    return sum(event.count for event in measured.key_averages() if event.key == "aten::convolution")


@pytest.mark.filterwarnings("ignore:Warning. Profiler clears events")
def test_its_penalty_runs_no_loop_over_groups():
    """PyTorch's own does: the reason for this layer."""
    ours = [convolutions_of_a_penalty(GroupedConv3x3(4 * g, 4), g) for g in (2, 16)]
    theirs = [convolutions_of_a_penalty(nn.Conv2d(4 * g, 4 * g, 3, padding=1, groups=g), g) for g in (2, 16)]
    assert ours[0] == ours[1]
    assert theirs[1] - theirs[0] == 16 - 2
