"""``exp.check=True``: what a run will cost, counted by hand here, and nothing written."""

import re

import pytest
import torch
from torch import nn

import train
from tests.helpers import trainer_of
from tests.runs import FAMILIES, words, write_config
from training.check import count, measure, weight_bytes
from training.speed import count_operations


@pytest.mark.parametrize("family", FAMILIES)
def test_it_prints_what_the_run_is_and_writes_nothing(family, tmp_path, capsys):
    before = write_config(tmp_path, family)
    train.main(words(before, tmp_path / "runs", "exp.check=true", "exp.use_wandb=true", "exp.use_tensorboard=true"))
    out = capsys.readouterr().out
    trainer = trainer_of(tmp_path, family)
    trainer.setup()
    for name, network in trainer.networks.items():
        own = sum(parameter.numel() for parameter in network.parameters())
        assert re.search(rf"^{name}: {own / 1e6:.2f} M parameters, \S+ GFLOP an image forward$", out, re.M)
    assert re.search(r"^memory: about \d+\.\d\d GiB for batches of 8 in float32", out, re.M)
    assert "data: 40 training images, 0 held out, 10 classes" in out
    assert f"steps: {trainer.config.train.steps} of 8 images on cpu" in out
    assert f"{tmp_path}/runs/{family}/metrics.jsonl, W&B project mise (online), {tmp_path}/runs/{family}/tensor" in out
    assert [path.name for path in tmp_path.iterdir()] == [f"{family}.yaml"]


def test_operations_of_a_convolution_are_two_for_each_weight_and_pixel():
    """N * H' * W' * C' * C * k * k multiplications, and as many additions."""
    conv = nn.Conv2d(3, 8, kernel_size=5, stride=2, padding=2)
    operations, _ = measure(lambda: conv(torch.zeros(2, 3, 16, 16)), conv)
    assert operations == 2 * (2 * 8 * 8 * 8 * 3 * 5 * 5)


def test_operations_of_a_linear_layer():
    linear = nn.Linear(10, 7)
    assert measure(lambda: linear(torch.zeros(4, 10)), linear)[0] == 2 * 4 * 10 * 7


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_operations_of_attention(device):
    """Queries with keys, and weights with values: 2 * N * heads * T * T * D each, also for the CPU's fused kernel."""
    q = torch.zeros(2, 3, 8, 5, device=device)
    attend = nn.functional.scaled_dot_product_attention
    assert count_operations(lambda: attend(q, q, q)) == 2 * (2 * 2 * 3 * 8 * 8 * 5)


def test_bytes_kept_for_the_backward_pass_leave_out_the_weights_and_count_each_tensor_once():
    """A linear layer keeps its input, and a squared output keeps that output; float32 has four bytes."""
    linear, x = nn.Linear(10, 7), torch.zeros(4, 10)
    assert measure(lambda: linear(x), linear)[1] == 4 * (4 * 10)
    assert measure(lambda: linear(x) * 1.0, linear)[1] == 4 * (4 * 10)
    assert measure(lambda: linear(x).square(), linear)[1] == 4 * (4 * 10 + 4 * 7)
    assert measure(lambda: linear(x).square() + linear(x).square(), linear)[1] == 4 * (4 * 10 + 2 * 4 * 7)
    deep = nn.Sequential(linear, nn.Linear(7, 3))  # the second keeps its weight as well, to reach the first
    assert measure(lambda: deep(x), deep)[1] == 4 * (4 * 10 + 4 * 7)


def test_parameters_and_their_bytes_are_counted():
    network = nn.Sequential(nn.Linear(10, 7), nn.BatchNorm1d(7), nn.Linear(7, 1, bias=False).half())
    assert count(network) == 70 + 7 + 7 + 7 + 7  # buffers are no parameters
    assert weight_bytes(network) == 4 * (70 + 7 + 7 + 7) + 2 * 7
