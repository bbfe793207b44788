"""``train.channels_last`` changes how images lie in memory, and nothing that a network computes or keeps."""

import copy

import pytest
import torch
from torch import nn

import train
from tests.helpers import trainer_of
from tests.models.test_networks import CHANNELS, CLASSES, FAMILIES, SIZE, all_labels, awake, build, every_network
from tests.runs import FAMILIES as RUNS
from tests.runs import words, write_config
from training.compiling import channels_last_in_place
from utils.batch import Condition

LAST = torch.channels_last


def difference(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> float:
    """Return the distance of two lists of tensors, relative to the second."""
    ours, theirs = (torch.cat([tensor.flatten().double() for tensor in tensors]) for tensors in (ours, theirs))
    return ((ours - theirs).norm() / theirs.norm()).item()


def switched(network: nn.Module) -> nn.Module:
    """Return a copy of the network whose convolutions see channels last."""
    other = copy.deepcopy(network)
    channels_last_in_place({"network": other})
    return other


@every_network
def test_answers_and_gradients_are_those_of_the_plain_network(family, name):
    torch.manual_seed(0)
    network = awake(build(family.registry, name)).eval()
    inputs, found = [*family.inputs(network, CLASSES + 1, CHANNELS), all_labels()], []
    for one in (network, switched(network)):
        answer = one(*inputs)
        found.append([answer, *torch.autograd.grad(answer.square().sum(), list(one.parameters()))])
    torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-4, atol=1e-5)
    assert difference(found[1][1:], found[0][1:]) < 1e-5


def test_it_still_compiles_whole():
    """A convolution that is told how its images lie is no reason to break the graph."""
    torch.compiler.reset()
    network = switched(awake(build(FAMILIES["discriminator"].registry, "dcgan")).eval())
    inputs = [torch.randn(2, CHANNELS, SIZE, SIZE), Condition()]
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(*inputs), network(*inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES["discriminator"].names())
def test_a_gradient_penalty_has_the_plain_network_s_gradients(name):
    """The second derivative, in 64 bits: through the layout too."""
    torch.manual_seed(0)
    network = awake(build(FAMILIES["discriminator"].registry, name)).double().eval()
    images, found = torch.randn(4, CHANNELS, SIZE, SIZE, dtype=torch.float64, requires_grad=True), []
    for one in (network, switched(network)):
        (slope,) = torch.autograd.grad(one(images, all_labels()).sum(), images, create_graph=True)
        slope.square().sum().backward()
        found.append([parameter.grad for parameter in one.parameters() if parameter.grad is not None])
    torch.testing.assert_close(found[1], found[0])


def test_every_convolution_sees_channels_last_and_hands_them_on():
    """Also behind a group norm that would give them back in the plain order, as PyTorch's does on a GPU."""
    network = switched(build(FAMILIES["diffusion"].registry, "unet"))
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    seen = []
    for conv in convolutions:
        conv.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    for norm in (module for module in network.modules() if isinstance(module, nn.GroupNorm)):
        norm.register_forward_hook(lambda _, inputs, output: output.contiguous())
    network(*FAMILIES["diffusion"].inputs(network, 2, CHANNELS), Condition())
    assert len(seen) == len(convolutions) > 10
    assert all(tensor.is_contiguous(memory_format=LAST) for pair in seen for tensor in pair)


# Dropout draws its numbers in the order of memory.
PLAIN = {"train.optimizer": "sgd", "model_args.dropout": 0.0}
PLAIN_GAN = {"train.gen_optimizer": "sgd", "train.disc_optimizer": "sgd", "gen_optimizer_args": None,
             "disc_optimizer_args": None}  # fmt: skip


@pytest.mark.parametrize("family", RUNS)
def test_a_run_learns_the_same_and_its_weights_lie_as_before(family, tmp_path):
    """Four steps of plain SGD, where rounding stays rounding."""
    changes, states = PLAIN_GAN if family == "gan" else PLAIN, []
    for number, switch in enumerate(("false", "true")):
        words_of = (f"exp.run_name=run{number}", f"train.channels_last={switch}")
        trainer = trainer_of(tmp_path, family, *words_of, changes=changes)
        trainer.setup()
        trainer.open_run()
        start = [parameter.clone() for net in trainer.networks.values() for parameter in net.parameters()]
        for _ in range(4):
            trainer.images_seen += trainer.images_per_step
            trainer.train_step()
            trainer.step += 1
        states.append([parameter.detach() for net in trainer.networks.values() for parameter in net.parameters()])
    plain, last = ([new - old for new, old in zip(state, start)] for state in states)
    assert difference(last, plain) < 1e-3 and difference(states[1], start) > 1e-5
    assert all(value.is_contiguous() for value in states[1])


def test_a_run_may_go_on_in_the_other_layout(tmp_path):
    config = write_config(tmp_path, "diffusion")
    train.main(words(config, tmp_path, "train.steps=3"))
    train.main(words(config, tmp_path, "train.steps=4", "train.channels_last=true"))
    assert (tmp_path / "diffusion" / "checkpoints" / "step_00000004.pt").exists()
