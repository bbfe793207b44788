"""Devices by name, and what several processes share; one process needs no set-up for any of it."""

import pytest
import torch

from utils import distributed
from utils.errors import ConfigError

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def test_the_cpu_is_always_there():
    assert distributed.choose_device("cpu") == torch.device("cpu")


def test_auto_takes_the_gpu_if_there_is_one():
    assert distributed.choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cpu:zero", "none"])
def test_a_word_that_is_no_device(name):
    with pytest.raises(ConfigError, match=f"^exp.device={name} is not a device: use auto, cpu, cuda or cuda:0$"):
        distributed.choose_device(name)


@pytest.mark.parametrize("name", ["meta", "xla", "mps"])
def test_a_device_that_cannot_train(name):
    with pytest.raises(ConfigError, match=f"^exp.device={name} is not supported: use exp.device=cpu, cuda or cuda:0$"):
        distributed.choose_device(name)


@no_gpu
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:7"])
def test_a_gpu_where_there_is_none(name):
    with pytest.raises(ConfigError, match=f"^exp.device={name}: PyTorch sees no GPU here; use exp.device=cpu$"):
        distributed.choose_device(name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_beyond_the_last():
    with pytest.raises(ConfigError, match="GPUs, counted from 0"):
        distributed.choose_device(f"cuda:{torch.cuda.device_count()}")


def test_a_single_process_is_the_main_one_and_agrees_with_itself():
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
    distributed.barrier()
    value = torch.tensor([1.0, 2.0])
    assert distributed.mean_over_processes(value) is value
    assert distributed.any_process(True, torch.device("cpu")) is True
    assert distributed.any_process(False, torch.device("cpu")) is False


def test_without_torchrun_no_process_group_is_made(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with distributed.processes(torch.device("cpu")):
        assert not torch.distributed.is_initialized()
