"""Mixed precision and compiling on this machine."""

import importlib.util
import shutil

import pytest
import torch
from torch import nn

from training.compiling import compile_in_place
from training.precision import Precision, check_fits, choose_precision, float32_if_fp16
from utils.errors import ConfigError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(("amp", "dtype"), [("auto", None), ("off", None), ("bf16", torch.bfloat16)])
def test_the_cpu_computes_in_float32_unless_it_is_told_otherwise(amp, dtype):
    assert choose_precision(amp, CPU) == Precision("cpu", dtype)


def test_fp16_on_the_cpu_is_an_error_with_the_way_out():
    with pytest.raises(ConfigError, match=r"train\.amp=fp16 needs a GPU: use train\.amp=off or bf16 on the CPU"):
        choose_precision("fp16", CPU)


@pytest.mark.parametrize(("emulated", "hardware"), [(True, False), (True, True)])
def test_auto_on_a_gpu_is_bf16_only_where_the_hardware_has_it(monkeypatch, emulated, hardware):
    """A T4 emulates bf16 and says it can; its own answer is the one without emulation."""
    answer = lambda including_emulation=True: emulated if including_emulation else hardware  # noqa: E731
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", answer)
    assert choose_precision("auto", CUDA).dtype == (torch.bfloat16 if hardware else torch.float16)


def test_only_fp16_scales_the_loss():
    scaled = {name: Precision("cpu", dtype).scaler().is_enabled() for name, dtype in DTYPES.items()}
    assert scaled == {"float32": False, "bfloat16": False, "float16": True}


DTYPES = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


@pytest.mark.parametrize("name", DTYPES)
def test_autocast_computes_in_the_type_that_its_name_says(name):
    precision = Precision("cpu", DTYPES[name])
    assert str(precision) == name
    with precision.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == getattr(torch, name)


@pytest.mark.parametrize(("name", "inside"), [("float32", "float32"), ("bfloat16", "bfloat16"), ("float16", "float32")])
def test_penalties_leave_fp16_and_nothing_else(name, inside):
    with Precision("cpu", DTYPES[name]).autocast(), float32_if_fp16("cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == getattr(torch, inside)


class Wide:
    fits_fp16 = False


def test_a_network_that_outgrows_fp16_says_so_in_one_line_and_fits_the_other_types():
    with pytest.raises(ConfigError, match=r"^train\.generator=wide outgrows fp16, which train\.amp=auto means here"):
        check_fits(Precision("cuda", torch.float16), "auto", Wide, "train.generator=wide")
    check_fits(Precision("cuda", torch.float16), "fp16", nn.Linear, "train.generator=linear")
    for dtype in (None, torch.bfloat16):
        check_fits(Precision("cuda", dtype), "auto", Wide, "train.generator=wide")


def test_without_a_compiler_one_line_says_so_and_networks_run_as_they_are(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    network = nn.Linear(2, 2)
    (line,) = compile_in_place({"net": network}, "on", CPU)
    assert line == "train.compile: a C++ compiler is not here, so networks run without compiling"
    assert network._compiled_call_impl is None
    assert network(torch.ones(1, 2)).shape == (1, 2)


def test_a_gpu_needs_triton_as_well(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert compile_in_place({}, "auto", CUDA) == [
        "train.compile: Triton is not here, so networks run without compiling"
    ]


@pytest.mark.parametrize(("mode", "device"), [("off", CUDA), ("off", CPU), ("auto", CPU)])
def test_nothing_is_compiled_when_it_is_off_or_not_worth_it(mode, device):
    network = nn.Linear(2, 2)
    assert compile_in_place({"net": network}, mode, device) == []
    assert network._compiled_call_impl is None


def test_compiling_keeps_the_names_of_the_weights(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    network = nn.Sequential(nn.Linear(2, 2))
    names = list(network.state_dict())
    (line,) = compile_in_place({"net": network}, "on", CPU)
    assert line.startswith("compiling: net")
    assert network._compiled_call_impl is not None
    assert list(network.state_dict()) == names
