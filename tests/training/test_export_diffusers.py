"""A trained model opens in diffusers' own pipeline and draws there what it draws here."""

import pytest
import torch
from torch import Tensor

import inference
import train
from models.diffusion.noise_tables import SCHEDULES, noise_table
from tests.helpers import one_error_line
from tests.runs import words, write_config
from training.export_diffusers import betas_of
from training.launch import load_trainer
from utils.seeding import ImageRng

T = 10  # levels of the table, and steps of the samplers
CHANGES = {
    "data.image_size": 8,
    "train.levels": "table",
    "train.sampler": "ddim",
    "train.sampling_levels": "respaced",
    "train.steps": 2,
    "train.val_step": 9,
    "model_args": {"base_channels": 128, "channel_mult": [1, 1], "blocks_per_level": 1, "attention_resolutions": [4]},
    "sampling_levels_args.steps": T,
    "denoiser_args.num_steps": T,
    "losses_coef": {"mse": 1.0},
}


@pytest.fixture(scope="module", params=["ddpm", "v"])
def trained(request, tmp_path_factory):
    """A run of two steps, and its config."""
    folder = tmp_path_factory.mktemp(request.param)
    config = write_config(folder, "diffusion", CHANGES | {"train.denoiser": request.param})
    train.main(words(config, folder))
    return folder, config


def ours(arguments: list[str], label: int) -> Tensor:
    """Sample with our own trainer; return float images [3, C, H, W] in [0, 1]."""
    trainer = load_trainer(arguments)
    trainer.setup_inference()
    labels = torch.full((3,), label)
    with torch.no_grad():
        return (trainer.generate(labels, range(3), seed=42, quick=False) / 2 + 0.5).clamp(0, 1)


def theirs(folder) -> Tensor:
    from diffusers import DDIMPipeline

    pipeline = DDIMPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    settings = {"num_inference_steps": T, "use_clipped_model_output": True, "output_type": "pt"}
    return pipeline(batch_size=3, generator=ImageRng(42, range(3)).generators, **settings).images


@pytest.mark.parametrize("name", [None, "pizza"])
def test_the_pipeline_of_diffusers_draws_the_same_pictures(trained, name, tmp_path):
    """From the same noise, to 1e-4 of the range: for a class, and for none."""
    folder, config = trained
    arguments = words(config, folder, "train.checkpoint_path=latest", "inference.study=export_diffusers")
    more = [f"inference.classes=[{name}]"] if name else []
    inference.main([*arguments, *more, f"inference.out_dir={tmp_path / 'out'}"])
    names = torch.load(next((folder / "diffusion" / "checkpoints").glob("*.pt")))["facts"]["class_names"]
    expected = ours(arguments, names.index(name) if name else len(names))
    images = theirs(tmp_path / "out")
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-4)
    assert images.std() > 0.05


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_betas_come_back_from_the_noise_levels(schedule):
    betas = SCHEDULES[schedule](1000)
    torch.testing.assert_close(betas_of(noise_table(schedule, 1000)), betas, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("family", "changes", "said"),
    [
        ("diffusion", {}, "needs train.denoiser=ddpm or v"),
        ("gan", {}, "no pipeline for GANs"),
        ("diffusion", CHANGES | {"train.denoiser": "ddpm", "model_args.patch": 2}, "train with model_args.patch=1"),
        (
            "diffusion",
            CHANGES
            | {"train.denoiser": "ddpm", "train.model": "dit", "model_args": {"width": 24, "heads": 2, "depth": 1}},
            "needs train.model=unet",
        ),
        (
            "diffusion",
            CHANGES | {"train.denoiser": "ddpm", "train.label_dropout": 0.0},
            "inference.classes=[NAME] is missing",
        ),
        ("diffusion", CHANGES | {"train.denoiser": "ddpm", "inference.classes": ["pizza", "sushi"]}, "name one class"),
        ("diffusion", CHANGES | {"train.denoiser": "ddpm", "inference.classes": ["piza"]}, "Did you mean 'pizza'?"),
    ],
)
def test_what_a_pipeline_cannot_express_is_one_line(family, changes, said, tmp_path, capsys):
    config = write_config(tmp_path, family, {"train.val_step": 9, **changes})
    train.main(words(config, tmp_path, "train.steps=1"))
    capsys.readouterr()
    arguments = words(config, tmp_path, "train.checkpoint_path=latest", "inference.study=export_diffusers")
    assert said in one_error_line(capsys, inference.main, arguments)
    assert not (tmp_path / family / "inference").exists()
