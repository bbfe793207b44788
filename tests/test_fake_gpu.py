"""Every experiment's training step and its samples on a GPU, as far as that can be known without one."""

from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException

from tests.fake_gpu import GPU, NothingComesBack, on_fake_gpu
from tests.test_configs import EXPERIMENTS, ROOT, small, tiny_food, use_food  # noqa: F401
from training.launch import load_trainer
from training.trainers.generative import GenerativeTrainer


@pytest.fixture
def trainer(request, tiny_food, tmp_path, monkeypatch):  # noqa: F811
    """The trainer of one experiment at its full size, set up on the CPU."""
    use_food(tiny_food, monkeypatch)
    file: Path = request.param
    found = load_trainer([*small(file), "train.compile=off", f"exp.exp_dir={tmp_path}"])
    found.setup()
    return found


@pytest.mark.parametrize(
    "trainer", EXPERIMENTS, ids=lambda path: str(path.relative_to(ROOT / "configs")), indirect=True
)
def test_steps_and_samples_stay_on_the_gpu_and_no_step_waits_for_it(trainer):
    """Steps 0 and 1: penalties that come at intervals fall due at the first."""
    with on_fake_gpu(trainer):
        with NothingComesBack():
            for trainer.step in range(2):
                trainer.images_seen += trainer.images_per_step
                measured = trainer.train_step()
        assert {value.device for value in measured.values() if isinstance(value, torch.Tensor)} == {GPU}
        if isinstance(trainer, GenerativeTrainer):
            images, facts = sample(trainer), trainer.data.facts
            assert images.device == GPU
            assert images.shape == (2, facts.image_channels, facts.image_size, facts.image_size)


def sample(trainer: GenerativeTrainer) -> torch.Tensor:
    labels = torch.zeros(2, dtype=torch.int64, device=GPU) if trainer.data.facts.conditional else None
    with torch.no_grad(), trainer.precision.autocast():
        return trainer.generate(labels, range(2), seed=0, quick=True)


@pytest.mark.parametrize("trainer", [ROOT / "configs" / "gan" / "food101_dcgan_cpu.yaml"], indirect=True)
def test_what_would_go_wrong_on_a_gpu_goes_wrong_here(trainer):
    with on_fake_gpu(trainer):
        weight = next(trainer.networks["generator"].parameters())
        assert weight.device == GPU
        with trainer.precision.autocast():
            assert (weight.flatten()[None] @ weight.flatten()[:, None]).dtype == torch.bfloat16
        with pytest.raises(RuntimeError, match="device"):
            weight + torch.ones_like(weight, device="cpu")
        with pytest.raises(DataDependentOutputException):
            weight.sum().item()
        with pytest.raises(AssertionError, match="copies from the GPU"), NothingComesBack():
            weight.detach().cpu()
