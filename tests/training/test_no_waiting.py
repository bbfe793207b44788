"""Between two log steps nobody asks the device for a number: it would have to finish all its work first.

A GPU tells of every wait (``torch.cuda.set_sync_debug_mode``). On the CPU, where numbers are always there, what would
be a wait is counted: every way of Python to a tensor's values, and the operations whose result's shape depends on them.
"""

from contextlib import contextmanager

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.helpers import trainer_of
from tests.runs import FAMILIES

aten = torch.ops.aten
VALUE_READERS = {
    getattr(Tensor, name)
    for name in ("item", "tolist", "cpu", "numpy", "__array__", "__bool__", "__float__", "__int__", "__index__",
                 "__contains__", "__repr__")
}  # fmt: skip
SHAPED_BY_VALUES = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten._unique2, aten.equal}


class Readings(TorchDispatchMode):
    """Collects the operations that read values; indexing by a mask ends in ``nonzero``, which has its own name here."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        by_mask = func.overloadpacket is aten.index and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        if func.overloadpacket in SHAPED_BY_VALUES or by_mask:
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


class Calls(TorchFunctionMode):
    """Collects the calls from Python that read values."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in VALUE_READERS:
            self.found.append(func.__name__)
        return func(*args, **(kwargs or {}))


@contextmanager
def readings():
    with Readings() as below, Calls() as above:
        found: list[str] = []
        yield found
    found += above.found + below.found


def steps_of(trainer, count: int) -> None:
    for _ in range(count):
        trainer.images_seen += trainer.images_per_step
        trainer.window.add(trainer.train_step())
        trainer.step += 1


def ready(folder, family: str, *overrides: str):
    trainer = trainer_of(folder, family, "train.max_grad_norm=1.0", *overrides)
    trainer.setup()
    trainer.open_run()
    return trainer


@pytest.fixture
def fused(monkeypatch):
    """Adam as it is on a GPU: PyTorch's other ones read their step counters on the CPU."""
    monkeypatch.setattr("training.optimizers.on_gpu", lambda params: True)


VARIANTS = [
    *[(family, []) for family in FAMILIES],
    ("diffusion", ["train.accumulate=2"]),
    ("diffusion", ["train.denoiser=ddpm", "train.levels=table", "train.sampling_levels=respaced",
                   "losses_coef={edm: null, mse: 1.0}"]),
    ("diffusion", ["train.ema=power", "ema_args={halflife: null}"]),
    ("gan", ["train.disc_augment=diffaugment"]),
    ("supervised", ["train.levels=lognormal"]),
]  # fmt: skip


@pytest.mark.parametrize(("family", "overrides"), VARIANTS)
def test_no_step_reads_a_value_from_the_device(family, overrides, tmp_path, fused):
    trainer = ready(tmp_path, family, *overrides)
    steps_of(trainer, 1)  # draws the epoch's order, on the CPU
    with readings() as found:
        steps_of(trainer, 3)
    assert found == []
    with readings() as found:
        trainer.window.read()
    assert found == ["tolist"]  # once for all losses, at a log step


def test_a_reading_in_a_step_would_be_found(tmp_path, fused, monkeypatch):
    """Each way that there is, planted into a loss."""
    trainer = ready(tmp_path, "diffusion", "train.steps=9")
    ways = {
        "item": lambda x: x.sum().item(),
        "an if": lambda x: 1 if x.sum() > 0 else 0,
        "float": lambda x: float(x.sum()),
        "tolist": lambda x: x.sum().tolist(),
        "cpu": lambda x: x.cpu(),
        "a mask": lambda x: x[x > 0],
        "nonzero": lambda x: x.nonzero(),
        "unique": lambda x: x.unique(),
    }
    denoise = trainer.denoise
    for name, way in ways.items():

        def reads(micro, predict, way=way):
            way(micro.images)
            return denoise(micro, predict)

        monkeypatch.setattr(trainer, "denoise", reads)
        with readings() as found:
            steps_of(trainer, 1)
        assert found, name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("family", "overrides"), VARIANTS)
def test_on_a_gpu_no_step_waits(family, overrides, tmp_path):
    trainer = ready(tmp_path, family, *overrides, "exp.device=cuda")
    steps_of(trainer, 3)  # compiles
    torch.cuda.set_sync_debug_mode("error")
    try:
        steps_of(trainer, 3)
    finally:
        torch.cuda.set_sync_debug_mode("default")
