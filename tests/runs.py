"""Tiny experiments for tests: real configs on drawn dishes, a fraction of a second a step."""

import copy
from pathlib import Path
from typing import Any

import yaml

SHARED = {
    "data": {
        "dataset": "synthetic",
        "image_size": 16,
        "train_batch_size": 8,
        "val_batch_size": 32,
        "augmentations": ["horizontal_flip"],
    },
    "dataset_args": {"num_images": 40},
    "ema_args": {"halflife": 100},
}
DIFFUSION = {
    "exp": {"model_type": "diffusion"},
    "train": {
        "steps": 7,
        "log_step": 2,
        "val_step": 4,
        "checkpoint_step": 3,
        "model": "unet",
        "denoiser": "edm",
        "levels": "lognormal",
        "sampler": "heun",
        "sampling_levels": "karras",
        "val_sampling_steps": 2,
        "label_dropout": 0.2,
        "schedule": "cosine",
        "max_grad_norm": 1.0,
    },
    "model_args": {
        "base_channels": 8,
        "channel_mult": [1, 2],
        "blocks_per_level": 1,
        "attention_resolutions": [8],
        "dropout": 0.1,
    },
    "sampling_levels_args": {"steps": 4},
    "schedule_args": {"warmup": 0.3},
    "losses_coef": {"edm": 1.0},
}
GAN = {
    "exp": {"model_type": "gan"},
    "train": {
        "steps": 7,
        "log_step": 2,
        "val_step": 4,
        "checkpoint_step": 3,
        "generator": "dcgan",
        "discriminator": "dcgan",
    },
    "generator_args": {"z_dim": 8, "base_channels": 8},
    "discriminator_args": {"base_channels": 8},
    "gen_optimizer_args": {"lr": 2e-4, "betas": [0, 0.99]},
    "disc_optimizer_args": {"lr": 2e-4, "betas": [0, 0.99]},
    "gen_losses": {"softplus_gen": 1.0},
    "disc_losses": {"softplus_disc": 1.0, "r1": 1.0},
    "losses_args": {"r1": {"interval": 2}},
}
STYLE = {"mapping_layers": 2, "base_channels": 8, "max_channels": 16}
# Changes that make the GAN a StyleGAN2 with both its penalties.
STYLEGAN2 = {
    "train.generator": "stylegan2",
    "train.discriminator": "stylegan2",
    "generator_args": {"z_dim": 8, "w_dim": 8, **STYLE},
    "discriminator_args": STYLE,
    "gen_losses": {"softplus_gen": 1.0, "path_length": 2.0},
    "losses_args": {"r1": {"interval": 4}, "path_length": {"interval": 2}},
}
SUPERVISED = {
    "exp": {"model_type": "supervised"},
    "train": {
        "steps": 7,
        "log_step": 2,
        "val_step": 4,
        "checkpoint_step": 3,
        "model": "resnet",
        "schedule": "cosine",
    },
    "model_args": {"base_channels": 8, "channel_mult": [1, 2], "blocks_per_level": 1, "patch": 2, "dropout": 0.1},
    "schedule_args": {"warmup": 0.3},
    "losses_coef": {"cross_entropy": 1.0},
    "losses_args": {"cross_entropy": {"label_smoothing": 0.1}},
}
AUTOENCODER = {
    "exp": {"model_type": "autoencoder"},
    "train": {
        "steps": 7,
        "log_step": 2,
        "val_step": 4,
        "checkpoint_step": 3,
        "model": "kl_autoencoder",
        "schedule": "cosine",
    },
    "model_args": {
        "base_channels": 8,
        "channel_mult": [1, 2],
        "blocks_per_level": 1,
        "latent_channels": 4,
        "dropout": 0.1,
    },
    "schedule_args": {"warmup": 0.3},
    "losses_coef": {"l1": 1.0, "kl": 1e-6},
}
FAMILIES = {"diffusion": DIFFUSION, "gan": GAN, "supervised": SUPERVISED, "autoencoder": AUTOENCODER}
GENERATIVE = ["diffusion", "gan"]


def write_config(folder: Path, family: str, changes: dict[str, Any] | None = None) -> Path:
    """Write a tiny experiment of ``family`` to a file; ``changes`` are dotted keys and their values (None: removed)."""
    tree = copy.deepcopy({**SHARED, **FAMILIES[family]})
    for key, value in (changes or {}).items():
        *path, last = key.split(".")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    file = folder / f"{family}.yaml"
    file.write_text(yaml.safe_dump(tree))
    return file


def words(config: Path, runs: Path, *more: str) -> list[str]:
    """Return the words of a command that runs ``config`` under the folder ``runs``, on the CPU."""
    return [f"exp.config_path={config}", f"exp.exp_dir={runs}", "exp.device=cpu", *more]
