"""One Updater a network: accumulation, clipping, learning rate, state."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from tests.crashes import assert_same
from training.optimizers import SGD, Adam, BurnInAdam
from training.precision import Precision
from training.registry import optimizers_registry
from training.schedules import Constant, Linear
from training.updater import Updater, freeze, trainable
from utils.errors import ConfigError

CPU = Precision("cpu")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def batch(seed: int = 0, n: int = 12) -> Tensor:
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))


def take_step(updater: Updater, images: Tensor, progress: float = 0.0) -> dict[str, Tensor]:
    """Take one step on the mean square of the outputs, in the updater's own number of micro-batches."""
    micros = images.chunk(updater.accumulate)
    for index, micro in enumerate(micros):
        with updater.micro_step(last=index == len(micros) - 1):
            loss = updater.wrapped(micro).square().mean()
        updater.backward(loss)
    return updater.step(progress)


def vector(module: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(module.parameters()).detach().clone()


@pytest.mark.parametrize("accumulate", [2, 3, 12])
def test_accumulating_micro_batches_equals_one_batch(accumulate):
    """The mean over equal parts of their means is the mean; float32 sums differ in the last bits only."""
    nets = network(), network()
    for net, parts in zip(nets, (1, accumulate)):
        updater = Updater(net, SGD(net.parameters(), lr=0.5), Constant(), CPU, accumulate=parts)
        for step in range(3):
            take_step(updater, batch(step))
    assert (vector(nets[0]) - vector(network())).abs().max() > 0.01  # they did learn
    torch.testing.assert_close(vector(nets[1]), vector(nets[0]), atol=1e-6, rtol=0)


def test_clipping_bounds_the_norm_and_keeps_the_direction():
    """A step of plain gradient descent with rate 1 is the gradient itself."""
    steps = {}
    for limit in (None, 0.01):
        net = network()
        updater = Updater(net, SGD(net.parameters(), lr=1.0, momentum=0), Constant(), CPU, max_grad_norm=limit)
        measured = take_step(updater, batch())
        steps[limit] = vector(net) - vector(network())
    assert measured["grad_norm"].item() == pytest.approx(steps[None].norm().item(), rel=1e-5)  # before clipping
    assert steps[0.01].norm().item() == pytest.approx(0.01, rel=1e-3)
    assert torch.cosine_similarity(steps[None], steps[0.01], dim=0) > 1 - 1e-5


def test_a_gradient_within_the_limit_is_not_touched():
    nets = network(), network()
    for net, limit in zip(nets, (None, 1e6)):
        take_step(Updater(net, SGD(net.parameters()), Constant(), CPU, max_grad_norm=limit), batch())
    assert torch.equal(vector(nets[0]), vector(nets[1]))


def test_the_learning_rate_follows_the_schedule():
    net = network()
    updater = Updater(net, SGD(net.parameters(), lr=0.5, momentum=0), Linear(warmup=0.2, final=0.1), CPU)
    rates = []
    for progress in (0.0, 0.1, 0.2, 0.6, 1.0):
        take_step(updater, batch(), progress)
        rates.append(updater.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0, 0.25, 0.5, 0.275, 0.05])


def test_an_annealed_optimizer_follows_the_run_also_after_it_is_restored():
    net = network()
    updater = Updater(net, BurnInAdam(net.parameters(), until=0.5), Constant(), CPU)
    take_step(updater, batch(), progress=0.25)
    restored = Updater(net, BurnInAdam(net.parameters(), until=0.5), Constant(), CPU)
    restored.load_state_dict(deepcopy(updater.state_dict()))
    betas = []
    for each, progress in ((updater, 0.25), (restored, 0.25), (restored, 0.75)):
        take_step(each, batch(), progress)
        betas.append(each.optimizer.param_groups[0]["betas"][1])
    assert betas == pytest.approx([0.945, 0.945, 0.99])


def test_a_rate_of_zero_changes_nothing():
    net = network()
    take_step(Updater(net, SGD(net.parameters(), lr=0.5), Linear(warmup=0.2), CPU), batch(), progress=0.0)
    assert torch.equal(vector(net), vector(network()))


def test_gradients_are_gone_after_a_step():
    net = network()
    take_step(Updater(net, SGD(net.parameters()), Constant(), CPU), batch())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_restored_updater_goes_on_identically():
    """Adam remembers two moments and its step count; one that forgot them goes elsewhere."""
    first = network()
    updater = Updater(first, Adam(first.parameters(), lr=0.1), Constant(), CPU)
    for step in range(3):
        take_step(updater, batch(step))
    second = network()
    second.load_state_dict(first.state_dict())
    restored = Updater(second, Adam(second.parameters(), lr=0.1), Constant(), CPU)
    restored.load_state_dict(deepcopy(updater.state_dict()))
    fresh = network()
    fresh.load_state_dict(first.state_dict())
    forgetful = Updater(fresh, Adam(fresh.parameters(), lr=0.1), Constant(), CPU)
    for each in (updater, restored, forgetful):
        for step in range(3, 6):
            take_step(each, batch(step))
    assert torch.equal(vector(first), vector(second))
    assert not torch.equal(vector(first), vector(fresh))


def test_bfloat16_runs_the_network_in_it_and_keeps_the_weights():
    net = network()
    updater = Updater(net, SGD(net.parameters()), Constant(), Precision("cpu", torch.bfloat16))
    with updater.micro_step(last=True):
        output = updater.wrapped(batch())
    assert output.dtype == torch.bfloat16
    updater.backward(output.float().square().mean())
    updater.step(0.0)
    assert all(parameter.dtype == torch.float32 for parameter in net.parameters())
    assert not torch.equal(vector(net), vector(network()))


def test_frozen_parameters_do_not_move_and_the_rest_do():
    net = network()
    freeze({"net": net}, ["net.0."])
    assert [id(p) for p in trainable(net)] == [id(p) for p in net[2].parameters()]
    take_step(Updater(net, SGD(trainable(net), lr=0.5), Constant(), CPU), batch())
    assert torch.equal(vector(net[0]), vector(network()[0]))
    assert not torch.equal(vector(net[2]), vector(network()[2]))


@pytest.mark.parametrize(
    ("prefixes", "message"),
    [(["head"], "no parameter's name begins with 'head', the first is 'net.0.weight'"), (["net"], "nothing to train")],
)
def test_freezing_nothing_or_everything_is_an_error(prefixes, message):
    with pytest.raises(ConfigError, match=f"train.freeze.*{message}"):
        freeze({"net": network()}, prefixes)


def test_the_settings_of_a_restored_optimizer_are_the_config_s():
    """A run that starts from another's checkpoint may use other settings; those of the file must not win."""
    first, second = network(), network()
    updater = Updater(first, Adam(first.parameters(), lr=0.1, betas=[0.5, 0.9]), Constant(), CPU)
    take_step(updater, batch())
    other = Updater(second, Adam(second.parameters(), lr=0.2, betas=[0.0, 0.99]), Constant(), CPU)
    other.load_state_dict(deepcopy(updater.state_dict()))
    take_step(other, batch())
    group = other.optimizer.param_groups[0]
    assert (group["lr"], group["betas"]) == (0.2, (0.0, 0.99))


def test_a_state_of_other_parameters_is_an_error():
    net = network()
    updater = Updater(net, Adam(net.parameters()), Constant(), CPU)
    partial = Updater(net, Adam(net[0].parameters()), Constant(), CPU)
    with pytest.raises(ValueError, match="parameter group"):
        partial.load_state_dict(updater.state_dict())


NOT_A_NUMBER = {
    "gradient": lambda output: (output - output.detach()).abs().sqrt().sum(),  # 0, but its slope at 0 is infinite
    "loss": lambda output: output.square().mean() + torch.tensor(float("inf")),  # its gradient is finite
    "both": lambda output: output.mean() * float("nan"),
}


class Watched(nn.Module):
    """A network with running statistics."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.BatchNorm1d(4)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.norm(x))


def step_on(updater: Updater, images: Tensor, loss=lambda output: output.square().mean()) -> dict[str, Tensor]:
    with updater.micro_step(last=True):
        value = loss(updater.wrapped(images))
    updater.backward(value)
    return updater.step(0.0)


def updaters_of(name: str, fused: bool) -> list[Updater]:
    """Return two equal updaters after two steps; ``fused``: with the kernels of a GPU, which the CPU has too."""
    made = []
    for _ in range(2):
        net = Watched()
        optimizer = optimizers_registry[name](net.parameters(), lr=0.1)
        if fused:
            optimizer.param_groups[0]["fused"], optimizer.param_groups[0]["foreach"] = True, False
            optimizer._step_supports_amp_scaling = True  # as torch.optim's constructors do for fused=True
        made.append(Updater(net, optimizer, Constant(), CPU, max_grad_norm=1.0))
        for step in range(2):
            step_on(made[-1], batch(step))
    return made


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("trouble", NOT_A_NUMBER)
@pytest.mark.parametrize("name", optimizers_registry)
def test_a_step_that_is_no_number_changes_nothing_and_says_so(name, trouble, fused):
    """Weights, moments, step counts and what follows: as if it had never been."""
    one, other = updaters_of(name, fused)
    measured = step_on(one, batch(7), NOT_A_NUMBER[trouble])
    assert not measured["grad_norm"].isfinite()
    one.network.load_state_dict({**one.network.state_dict(), **dict(other.network.named_buffers())})  # a forward pass
    assert_same(one.state_dict(), other.state_dict())
    for updater in (one, other):
        assert step_on(updater, batch(9))["grad_norm"].isfinite()
    assert torch.equal(vector(one.network), vector(other.network))


def test_running_statistics_survive_images_that_are_no_numbers():
    updater, _ = updaters_of("adam", fused=False)
    before = updater.network.norm.running_mean.clone()
    step_on(updater, batch(7) * float("nan"))
    assert torch.equal(updater.network.norm.running_mean, before)
    step_on(updater, batch(8))
    assert not torch.equal(updater.network.norm.running_mean, before)


def test_one_bad_micro_batch_leaves_out_the_whole_step():
    net = network()
    updater = Updater(net, SGD(net.parameters()), Constant(), CPU, accumulate=3)
    images = batch()
    images[5] = float("nan")
    take_step(updater, images)
    assert torch.equal(vector(net), vector(network()))


def test_a_fused_first_step_that_is_left_out_leaves_no_momentum():
    """PyTorch's kernel would leave a buffer that it has made and never written."""
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, fused=True)
    for parameter in net.parameters():
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    updater = Updater(net, optimizer, Constant(), CPU)
    step_on(updater, batch(), NOT_A_NUMBER["both"])
    step_on(updater, batch())
    plain = network()
    step_on(Updater(plain, torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9), Constant(), CPU), batch())
    torch.testing.assert_close(vector(net), vector(plain), rtol=0, atol=1e-7)


def test_a_loss_that_is_finite_is_multiplied_by_one():
    """Bit by bit: what guards against other losses must not change a run."""
    nets = network(), network()
    updater = Updater(nets[0], SGD(nets[0].parameters(), lr=0.1), Constant(), CPU)
    step_on(updater, batch())
    optimizer = SGD(nets[1].parameters(), lr=0.1)
    nets[1](batch()).square().mean().backward()
    optimizer.step()
    assert torch.equal(vector(nets[0]), vector(nets[1]))
