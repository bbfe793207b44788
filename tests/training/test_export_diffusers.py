"""A trained model opens in diffusers' own pipeline and draws there what it draws here."""

import pytest
import torch

import inference
import train
from models.diffusion.noise_tables import SCHEDULES, noise_table
from tests.helpers import one_error_line
from tests.runs import words, write_config
from training.export_diffusers import betas_of
from training.launch import load_trainer
from utils.batch import Condition
from utils.seeding import ImageRng

T = 10  # levels of the table, and steps of the samplers
CHANGES = {
    "data.image_size": 8,
    "train.levels": "table",
    "train.sampler": "ddim",
    "train.sampling_levels": "respaced",
    "train.steps": 4,
    "train.val_step": 9,
    "train.schedule": "constant",
    "schedule_args": None,
    "optimizer_args": {"lr": 1e-2},
    "model_args": {"base_channels": 128, "channel_mult": [1, 1], "blocks_per_level": 1, "attention_resolutions": [4]},
    "sampling_levels_args.steps": T,
    "denoiser_args.num_steps": T,
    "losses_coef": {"mse": 1.0},
}


@pytest.fixture(scope="module", params=["ddpm", "v"])
def trained(request, tmp_path_factory):
    """A run of four steps, and its config."""
    folder = tmp_path_factory.mktemp(request.param)
    config = write_config(folder, "diffusion", CHANGES | {"train.denoiser": request.param})
    train.main(words(config, folder))
    return folder, config


@pytest.mark.parametrize("name", [None, "pizza"])
@torch.no_grad()
def test_the_pipeline_of_diffusers_draws_the_same_pictures(trained, name, tmp_path):
    """From the same noise, to 1e-4 of the range: for a class, and for none.

    After four steps pictures of predicted noise are black and white, so the network's own answers are compared as well.
    """
    folder, config = trained
    arguments = words(config, folder, "train.checkpoint_path=latest", "inference.study=export_diffusers")
    more = [f"inference.classes=[{name}]"] if name else []
    inference.main([*arguments, *more, f"inference.out_dir={tmp_path / 'out'}"])
    trainer, pipeline = load_trainer(arguments), open_pipeline(tmp_path / "out")
    trainer.setup_inference()
    names = trainer.facts.class_names
    labels = torch.full((3,), names.index(name) if name else len(names))

    x, steps = torch.randn(3, 3, 8, 8), torch.tensor([0.0, 4.0, 9.0])
    answer = trainer.average.backbone(x, steps, Condition(labels))
    torch.testing.assert_close(pipeline.unet(x, steps).sample, answer, rtol=1e-4, atol=1e-5)
    assert answer.std() > 0.05
    images = (trainer.generate(labels, range(3), seed=42, quick=False) / 2 + 0.5).clamp(0, 1)
    settings = {"num_inference_steps": T, "use_clipped_model_output": True, "output_type": "pt"}
    drawn = pipeline(batch_size=3, generator=ImageRng(42, range(3)).generators, **settings).images
    torch.testing.assert_close(drawn, images, rtol=0, atol=1e-4)


def open_pipeline(folder):
    from diffusers import DDIMPipeline

    pipeline = DDIMPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_betas_come_back_from_the_noise_levels(schedule):
    betas = SCHEDULES[schedule](1000)
    torch.testing.assert_close(betas_of(noise_table(schedule, 1000)), betas, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("family", "changes", "said"),
    [
        ("diffusion", {}, "needs train.denoiser=ddpm or v"),
        ("gan", {}, "inference.study"),
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
