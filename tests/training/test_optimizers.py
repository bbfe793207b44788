"""Optimizers by name. A new one is tested by being registered."""

import pytest
import torch

from training.optimizers import Adam, BurnInAdam
from training.registry import optimizers_registry
from utils.schema import check_arguments, settable_parameters

every_optimizer = pytest.mark.parametrize("name", optimizers_registry)


def number(value: float = 1.0) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.tensor([value], dtype=torch.float64))


@every_optimizer
def test_its_defaults_are_a_valid_config(name):
    cls = optimizers_registry[name]
    defaults = {key: p.default for key, p in settable_parameters(cls).items() if key != "params"}
    assert check_arguments(cls, defaults, "optimizer_args", ("params",)) == defaults


@every_optimizer
def test_it_finds_the_bottom_of_a_parabola(name):
    """From any iterable of parameters, as PyTorch's own take it."""
    x = number(1.0)
    optimizer = optimizers_registry[name](iter([x]), lr=0.02)
    for _ in range(500):
        optimizer.zero_grad()
        (x - 0.3).square().sum().backward()
        optimizer.step()
    assert x.item() == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_the_first_step_of_adam_is_the_learning_rate(name):
    """Kingma & Ba 2015: m / sqrt(v) is the sign of the gradient at first, however large it is."""
    x = number(1.0)
    optimizer = optimizers_registry[name]([x], lr=0.01, weight_decay=0.0)
    (1000 * x).sum().backward()
    optimizer.step()
    assert x.item() == pytest.approx(0.99, rel=1e-9)


def test_decoupled_weight_decay_shrinks_a_weight_without_a_gradient():
    """Loshchilov & Hutter 2019: x (1 - lr * decay); in Adam itself decay is part of the gradient."""
    moved = {}
    for name in ("adam", "adamw"):
        x = number(2.0)
        x.grad = torch.zeros_like(x)
        optimizers_registry[name]([x], lr=0.1, weight_decay=0.5).step()
        moved[name] = x.item()
    assert moved["adamw"] == pytest.approx(2 * (1 - 0.1 * 0.5))
    assert moved["adam"] == pytest.approx(2 - 0.1)


def test_burn_in_adam_s_memory_grows_along_half_a_cosine_and_stays():
    """From 0.9 to 0.99 over a fifth of the run; halfway there it is halfway."""
    optimizer = BurnInAdam([number()], betas=[0.0, 0.99], beta2_start=0.9, until=0.2)
    seen = []
    for progress in (0.0, 0.1, 0.2, 1.0):
        optimizer.anneal(progress)
        seen.append(optimizer.param_groups[0]["betas"])
    assert [beta1 for beta1, _ in seen] == [0.0] * 4
    assert [beta2 for _, beta2 in seen] == pytest.approx([0.9, 0.945, 0.99, 0.99])


def test_a_starting_beta2_of_one_is_an_error_with_the_rule():
    with pytest.raises(ValueError, match=r"give two numbers in \[0, 1\)"):
        BurnInAdam([number()], beta2_start=1.0)


def test_sgd_is_the_gradient_times_the_rate_and_momentum_adds_up():
    x = number(0.0)
    optimizer = optimizers_registry["sgd"]([x], lr=0.1, momentum=0.5)
    for _ in range(2):
        x.grad = torch.ones_like(x)
        optimizer.step()
    assert x.item() == pytest.approx(-0.1 * (1 + 1.5))


def test_the_template_s_betas_work():
    assert Adam([number()], betas=[0, 0.99]).defaults["betas"] == (0, 0.99)


@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.parametrize("betas", [[0.9], [0.9, 0.99, 0.999], [0.9, 1.0], [-0.1, 0.9], []])
def test_other_betas_are_an_error_with_the_rule(name, betas):
    with pytest.raises(ValueError, match=r"give two numbers in \[0, 1\)"):
        optimizers_registry[name]([number()], betas=betas)


@pytest.mark.parametrize("name", ["adam", "adamw", "burn_in_adam"])
def test_the_fused_kernel_of_a_gpu_takes_the_plain_one_s_steps(name, monkeypatch):
    """PyTorch has it for the CPU as well. Sums are made in another order."""
    taken = []
    for fused in (False, True):
        monkeypatch.setattr("training.optimizers.on_gpu", lambda params, fused=fused: fused)
        generator = torch.Generator().manual_seed(0)
        weight = torch.nn.Parameter(torch.randn(40, 30, generator=generator))
        optimizer = optimizers_registry[name]([weight], lr=0.01, weight_decay=0.1)
        assert optimizer.param_groups[0]["fused"] is fused
        for _ in range(10):
            weight.grad = torch.randn(40, 30, generator=generator)
            optimizer.step()
        taken.append(weight.detach())
    torch.testing.assert_close(*taken, rtol=1e-5, atol=1e-6)
