"""Several processes equal one: same seed, same global batch, same weights."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.runs import STYLEGAN2, words, write_config

ROOT = Path(__file__).parents[2]
SHORT = {"train.steps": 3, "train.val_step": 3, "model_args.dropout": 0.0}
# Without batch norm, whose statistics are of a process's own images.
PLAIN_GAN = {
    "train.generator": "base_gen",
    "train.discriminator": "base_disc",
    "generator_args": {"z_dim": 8, "hidden_dim": 16, "blocks_num": 2},
    "discriminator_args": {"hidden_dim": 16, "blocks_num": 2},
    "losses_args": {"r1": {"interval": 1}},
    "train.steps": 3,
}
# Levels drawn by what all processes have learnt: of a table of two, so that each is known after the first step.
IMPORTANCE = {
    **SHORT,
    "train.denoiser": "iddpm",
    "train.levels": "importance",
    "train.sampling_levels": "respaced",
    "denoiser_args": {"num_steps": 2},
    "sampling_levels_args": {"steps": 2},
    "levels_args": {"history": 2},
    "losses_coef": {"vlb": 0.02},
}
SMALL = {"widths": [16, 16, 8], "blocks_per_stage": 1, "group_size": 8}
# All that draws random numbers or looks at pairs: augmentation, interpolates, two discriminator updates a step.
R3GAN = {
    "train.generator": "r3gan",
    "train.discriminator": "r3gan",
    "generator_args": {"z_dim": 8, **SMALL},
    "discriminator_args": SMALL,
    "train.disc_steps": 2,
    "train.disc_augment": "diffaugment",
    "gen_losses": {"relativistic_gen": 1.0},
    "disc_losses": {"relativistic_disc": 1.0, "r1": 0.1, "r2": 0.1, "gradient_penalty": 0.1},
    "losses_args": None,
    "train.steps": 3,
}


def launch(config: Path, runs: Path, *more: str, processes: int = 1) -> subprocess.CompletedProcess:
    """Run the command as a user does, in one process or under torchrun."""
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--master_port=0", "--standalone"]
    command = [*start, str(ROOT / "train.py"), *words(config, runs, *more)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def weights_at(folder: Path, step: int) -> torch.Tensor:
    """Return all trained and averaged weights of the run's checkpoint as one vector.

    Without ``mean_w``: a running mean over a process's own images, on which no weight depends.
    """
    state = torch.load(folder / "checkpoints" / f"step_{step:08d}.pt", weights_only=True)
    networks = [*state["networks"].values(), state["ema"]]
    tensors = [t for network in networks for name, t in network.items() if name != "mean_w"]
    return torch.cat([tensor.flatten().double() for tensor in tensors])


SGD = {
    "diffusion": {"train.optimizer": "sgd"},
    "gan": {
        "train.gen_optimizer": "sgd",
        "train.disc_optimizer": "sgd",
        "gen_optimizer_args": {"lr": 0.002},
        "disc_optimizer_args": {"lr": 0.002},
    },
    "supervised": {"train.optimizer": "sgd"},
    "autoencoder": {"train.optimizer": "sgd"},
}
# Without batch norm, as above.
PLAIN_CLASSIFIER = {"model_args.norm": "group", "model_args.dropout": 0.0, "train.steps": 3}


PLAIN = [
    ("diffusion", SHORT),
    ("diffusion", IMPORTANCE),
    ("gan", PLAIN_GAN),
    ("gan", R3GAN),
    # Four images a process and micro-batch: a group for the standard deviation. All that it draws is a function of z.
    pytest.param("gan", {**STYLEGAN2, "train.steps": 3}, marks=pytest.mark.slow),
    ("supervised", PLAIN_CLASSIFIER),
    ("autoencoder", SHORT),
]


@pytest.mark.parametrize(("family", "changes"), PLAIN)
def test_two_processes_end_with_the_weights_of_one(family, changes, tmp_path):
    """Two processes of two micro-batches each. Plain SGD: Adam turns rounding in tiny gradients into full steps."""
    config = write_config(
        tmp_path, family, {**changes, **SGD[family], "data.train_batch_size": 16, "train.checkpoint_step": 1}
    )
    alone = launch(config, tmp_path / "one")
    assert alone.returncode == 0, alone.stderr
    together = launch(config, tmp_path / "two", "train.accumulate=2", processes=2)
    assert together.returncode == 0, together.stderr
    assert together.stdout.count("starting at step 0") == 1  # only the first process talks
    first, one = (weights_at(tmp_path / "one" / family, step) for step in (1, 3))
    torch.testing.assert_close(weights_at(tmp_path / "two" / family, 3), one, rtol=0, atol=1e-5)
    assert (one - first).abs().max() > 1e-3  # training moves them far more than that


def test_a_batch_that_processes_cannot_share_is_refused(tmp_path):
    config = write_config(tmp_path, "gan", {"data.train_batch_size": 9})
    result = launch(config, tmp_path, processes=2)
    assert result.returncode != 0
    assert result.stderr.count("cannot be divided among 2 processes") == 1  # both have it in common: said once
