"""What every registered network keeps. A new one is tested by being registered.

Its smallest setting, which the tests build, is the class attribute ``smallest``: keyword arguments beside the data's.
Settings with other layers stand by name in ``variants``: ``unet:tokens`` is the U-Net with the one called ``tokens``.
"""

import copy
import inspect
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import Tensor, nn

import models  # noqa: F401 (fills the registries)
from models.autoencoders.base import Reconstruction
from models.registry import (
    autoencoders_registry,
    classifiers_registry,
    diffusion_models_registry,
    discs_registry,
    gens_registry,
)
from utils.batch import Condition
from utils.images import to_uint8
from utils.schema import check_arguments

SIZE, CHANNELS, CLASSES = 16, 3, 3
DATA = ("image_size", "image_channels", "num_classes")  # what the framework fills in


@dataclass(frozen=True)
class Family:
    """A kind of network: how its members are called, and what they answer."""

    registry: object
    inputs: Callable[[nn.Module, int, int], list[Tensor]]  # (network, N, C) to its inputs before the condition
    output_shape: Callable[[int, int], tuple[int, ...]]  # (N, C) to the shape of its answer
    asked_for_labels: bool = True  # whether it takes a condition
    data: tuple[str, ...] = DATA  # what the framework fills in

    def names(self) -> list[str]:
        """Name every member, and every variant of one."""
        variants = {name: getattr(self.registry[name], "variants", {}) for name in self.registry}
        return [*self.registry, *(f"{name}:{variant}" for name in variants for variant in variants[name])]


def image_inputs(network: nn.Module, n: int, channels: int) -> list[Tensor]:
    return [torch.randn(n, channels, SIZE, SIZE)]


def image_shape(n: int, channels: int) -> tuple[int, ...]:
    return (n, channels, SIZE, SIZE)


FAMILIES = {
    "diffusion": Family(
        diffusion_models_registry, lambda net, n, c: [*image_inputs(net, n, c), torch.linspace(-2, 900, n)], image_shape
    ),
    "generator": Family(gens_registry, lambda net, n, c: [torch.randn(n, net.z_dim)], image_shape),
    "discriminator": Family(discs_registry, image_inputs, lambda n, c: (n,)),
    "classifier": Family(
        classifiers_registry,
        lambda net, n, c: [*image_inputs(net, n, c), torch.linspace(-2, 2, n)],
        lambda n, c: (n, CLASSES),
        asked_for_labels=False,
    ),
    "autoencoder": Family(
        autoencoders_registry,
        lambda net, n, c: [*image_inputs(net, n, c), torch.randn(n, *net.network.latent_shape)],
        image_shape,
        asked_for_labels=False,
        data=DATA[:2],
    ),
}
every_network = pytest.mark.parametrize(
    ("family", "name"),
    [pytest.param(family, name, id=f"{key}-{name}") for key, family in FAMILIES.items() for name in family.names()],
)
every_labelled_network = pytest.mark.parametrize(
    ("family", "name"),
    [
        pytest.param(family, name, id=f"{key}-{name}")
        for key, family in FAMILIES.items()
        for name in family.names()
        if family.asked_for_labels
    ],
)
every_generator = pytest.mark.parametrize("name", gens_registry)
every_discriminator = pytest.mark.parametrize("name", discs_registry)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


class Unasked(nn.Module):
    """A network that takes no condition, called like one that does; of a reconstruction, the images."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, *inputs):
        answer = self.network(*inputs[:-1])
        return answer.images if isinstance(answer, Reconstruction) else answer


def settings(cls: type, variant: str = "") -> dict:
    return cls.variants[variant] if variant else getattr(cls, "smallest", {})


def build(registry, name: str, num_classes: int = CLASSES, channels: int = CHANNELS) -> nn.Module:
    name, _, variant = name.partition(":")
    cls, data = registry[name], {"image_size": SIZE, "image_channels": channels, "num_classes": num_classes}
    takes = inspect.signature(cls).parameters
    network = cls(**{key: value for key, value in data.items() if key in takes}, **settings(cls, variant))
    return Unasked(network) if registry in (autoencoders_registry, classifiers_registry) else network


def awake(network: nn.Module) -> nn.Module:
    """Return the network with its zeros (a residual branch starts as the identity) replaced by small numbers."""
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network


def all_labels() -> Condition:
    """Every class once, and the null class."""
    return Condition(labels=torch.arange(CLASSES + 1))


def train(call: Callable[[], Tensor], parameters, target: Tensor, steps: int, lr: float) -> list[float]:
    """Fit ``call()`` to ``target`` in the mean square. Returns the losses; gradients of the last step are kept."""
    optimizer, losses = torch.optim.Adam(parameters, lr=lr), []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (call() - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@every_network
def test_its_arguments_are_plain_settings_of_a_config(family, name):
    """Named and annotated, so that a config can set each; the data's three are offered to it by name."""
    name, _, variant = name.partition(":")
    cls = family.registry[name]
    parameters = inspect.signature(cls).parameters
    assert set(family.data) <= set(parameters)
    assert all(p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for p in parameters.values())
    assert all(p.annotation is not inspect.Parameter.empty for p in parameters.values())
    defaults = {key: p.default for key, p in parameters.items() if p.default is not inspect.Parameter.empty}
    checked = check_arguments(cls, defaults, "model_args", family.data)
    assert checked == {k: v for k, v in defaults.items() if v is not None}
    assert check_arguments(cls, settings(cls, variant), "model_args", family.data) == settings(cls, variant)


@every_network
@pytest.mark.parametrize("channels", [1, 4])
def test_it_answers_in_the_shape_of_its_family(family, name, channels):
    network = build(family.registry, name, channels=channels)
    answer = network(*family.inputs(network, 2, channels), Condition(labels=torch.tensor([0, 2])))
    assert answer.shape == family.output_shape(2, channels)
    assert answer.dtype == torch.float32


@every_network
def test_every_parameter_has_a_gradient_after_three_steps_with_all_labels(family, name):
    """Zero-initialised layers hide what is before them at first. Each row of a label table counts as a parameter."""
    network = build(family.registry, name)
    n = CLASSES + 1
    call = partial(network, *family.inputs(network, n, CHANNELS), all_labels())
    train(call, network.parameters(), torch.randn(family.output_shape(n, CHANNELS)), steps=4, lr=0.01)
    sizes = {}
    for key, parameter in network.named_parameters():
        sizes[key] = parameter.grad.abs().amax().item()
        if parameter.shape[0] == n and "label" in key:
            sizes[key] = parameter.grad.abs().amax(dim=1).min().item()
    assert {key: size for key, size in sizes.items() if size < 1e-7} == {}


@every_network
def test_it_fits_one_batch(family, name):
    """Four constant pictures of noise levels, latents or images with targets: the loss falls at least fivefold."""
    network = build(family.registry, name)
    call = partial(network, *family.inputs(network, 4, CHANNELS), all_labels())
    target = torch.tensor([-0.8, 0.8, 0.4, -0.4]).view(4, *[1] * (len(family.output_shape(4, CHANNELS)) - 1))
    losses = train(call, network.parameters(), target, steps=40, lr=0.01)
    assert min(losses[-5:]) < losses[0] / 5


@every_network
def test_it_is_finite_and_close_in_bfloat16(family, name):
    network = awake(build(family.registry, name))
    inputs = [*family.inputs(network, CLASSES + 1, CHANNELS), all_labels()]
    with torch.autocast("cpu", torch.bfloat16):
        network(*inputs).float().square().mean().backward()
        rounded = network.eval()(*inputs).float()
    assert all(p.grad.isfinite().all() for p in network.parameters())
    exact = network(*inputs)
    assert 0 < (rounded - exact).norm() < 0.1 * exact.norm()  # bfloat16 has 8 bits: it differs, a little


@every_network
def test_an_image_does_not_depend_on_its_batch_in_eval(family, name):
    network = awake(build(family.registry, name)).eval()
    inputs, labels = family.inputs(network, 4, CHANNELS), all_labels().labels
    together = network(*inputs, Condition(labels=labels))
    alone = [network(*[x[i : i + 1] for x in inputs], Condition(labels=labels[i : i + 1])) for i in range(4)]
    if getattr(network, "compares_images", False):
        assert (torch.cat(alone) - together).abs().max() > 1e-4  # it says that it looks at several, so it does
        return
    torch.testing.assert_close(torch.cat(alone), together, rtol=1e-5, atol=1e-5)
    assert together.std(dim=0).min() > 0  # and the four do differ


@every_network
def test_the_memory_format_does_not_matter(family, name):
    network = awake(build(family.registry, name)).eval()
    inputs = family.inputs(network, 2, CHANNELS)
    expected = network(*inputs, Condition())
    last = [x.to(memory_format=torch.channels_last) if x.ndim == 4 else x for x in inputs]
    answer = network.to(memory_format=torch.channels_last)(*last, Condition())
    torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-5)


@every_network
def test_its_state_dict_makes_another_one_equal(family, name):
    network = awake(build(family.registry, name))
    inputs = [*family.inputs(network, CLASSES + 1, CHANNELS), all_labels()]
    network(*inputs)  # moves the statistics of a batch norm, which are state as well
    other = awake(build(family.registry, name))
    assert not torch.equal(other.eval()(*inputs), network.eval()(*inputs))
    other.load_state_dict(copy.deepcopy(network.state_dict()))
    assert torch.equal(other(*inputs), network(*inputs))


REAL = [  # the real compiler takes minutes for them all
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler on this machine"),
    pytest.mark.filterwarnings("ignore"),  # what the compiler says of itself while it works
]


@every_network
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=REAL)])
def test_it_compiles_whole_and_gives_the_same(backend, family, name):
    """Without a graph break: nothing in it depends on the data. Answer and gradients are compared.

    A sum over the batch and all places is rounded by its largest terms, so gradients count in units of the largest.
    """
    torch.compiler.reset()
    network = awake(build(family.registry, name)).eval()
    inputs = [*family.inputs(network, CLASSES + 1, CHANNELS), all_labels()]
    compiled = torch.compile(network, backend=backend, fullgraph=True)
    answers = [f(*inputs) for f in (network, compiled)]
    torch.testing.assert_close(answers[1], answers[0], rtol=1e-4, atol=1e-5)
    gradients = [torch.autograd.grad(a.square().sum(), list(network.parameters())) for a in answers]
    largest = max(gradient.abs().max().item() for gradient in gradients[0])
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=1e-5 * largest)


@every_labelled_network
def test_labels_matter_and_none_means_the_null_class(family, name):
    network = awake(build(family.registry, name)).eval()
    inputs = [x[:1].repeat(CLASSES + 1, *[1] * (x.ndim - 1)) for x in family.inputs(network, 2, CHANNELS)]
    answers = network(*inputs, all_labels()).reshape(CLASSES + 1, -1)
    distances = torch.cdist(answers, answers) + torch.eye(CLASSES + 1)
    assert distances.min() > 1e-3
    nobody = network(*inputs, Condition()).reshape(CLASSES + 1, -1)
    torch.testing.assert_close(nobody, answers[-1:].expand_as(nobody), rtol=1e-4, atol=1e-5)


@every_labelled_network
def test_without_classes_it_has_no_label_table_and_looks_at_no_label(family, name):
    network = awake(build(family.registry, name, num_classes=0)).eval()
    inputs = family.inputs(network, 4, CHANNELS)
    assert torch.equal(network(*inputs, Condition()), network(*inputs, Condition(labels=torch.arange(4))))
    more = sum(p.numel() for p in build(family.registry, name).parameters())
    assert sum(p.numel() for p in network.parameters()) < more


@every_generator
def test_a_generator_can_paint_almost_black_and_almost_white(name):
    """Once its weights are large; what lies outside is cut off by ``to_uint8``."""
    network = build(gens_registry, name)
    for parameter in network.parameters():
        parameter.data *= 20
    images = to_uint8(network(torch.randn(8, network.z_dim), Condition()))
    assert images.min() < 64
    assert images.max() > 192


@every_discriminator
def test_a_discriminator_gives_logits_that_are_not_squashed(name):
    """It learns 3 and -3 for the halves of a batch, which nothing behind a sigmoid can."""
    network = build(discs_registry, name)
    call = partial(network, torch.randn(4, CHANNELS, SIZE, SIZE), all_labels())
    train(call, network.parameters(), torch.tensor([3.0, -3.0, 3.0, -3.0]), steps=40, lr=0.01)
    logits = call()
    assert logits[::2].min() > 1.5
    assert logits[1::2].max() < -1.5


@every_discriminator
def test_a_gradient_penalty_reaches_the_parameters(name):
    """R1: the second derivative exists and is finite."""
    network = build(discs_registry, name)
    images = torch.randn(4, CHANNELS, SIZE, SIZE, requires_grad=True)
    (slope,) = torch.autograd.grad(network(images, all_labels()).sum(), images, create_graph=True)
    slope.square().sum().backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(g.isfinite().all() for g in gradients)
    assert sum(g.abs().sum() for g in gradients) > 0
