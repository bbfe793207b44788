"""One batch is learned by heart: the plainest proof that a family's losses, gradients and optimizers fit together."""

import torch

from tests.helpers import trainer_of
from training.trainers.base import BaseTrainer

EIGHT = {
    "dataset_args": {"num_images": 8},
    "data.augmentations": [],
    "train.schedule": "constant",
    "schedule_args": None,
}


def ready(tmp_path, family: str, changes: dict) -> BaseTrainer:
    """Return a trainer on the same eight pictures at each step, about to take its first."""
    trainer = trainer_of(tmp_path, family, "train.steps=10000", changes=EIGHT | changes)
    trainer.setup()
    trainer.open_run()
    return trainer


def losses(trainer: BaseTrainer, name: str, steps: int) -> list[float]:
    """Take so many training steps; return one of the losses at each."""
    values = []
    for _ in range(steps):
        trainer.images_seen += trainer.images_per_step
        values.append(trainer.train_step()[name].item())
        trainer.step += 1
    return values


def test_the_loss_of_a_diffusion_model_on_eight_pictures_falls_tenfold(tmp_path):
    """DDPM's loss, with fresh noise at every step: it starts at 1, the network's answer being zero."""
    changes = {
        "data.image_size": 8,
        "train.denoiser": "ddpm",
        "train.levels": "table",
        "train.sampling_levels": "respaced",
        "train.label_dropout": 0.0,
        "model_args": {"base_channels": 32, "channel_mult": [1], "blocks_per_level": 1, "dropout": 0.0},
        "model_args.attention_resolutions": [],
        "optimizer_args": {"lr": 3e-3},
        "losses_coef": {"mse": 1.0},
    }
    values = losses(ready(tmp_path, "diffusion", changes), "mse", steps=200)
    assert sum(values[-50:]) / 50 < values[0] / 10


def test_a_discriminator_separates_and_then_the_generator_catches_up(tmp_path):
    """Each learns against the other held still: the gap between real and generated logits opens, then closes."""
    trainer = ready(
        tmp_path, "gan", {"disc_losses": {"softplus_disc": 1.0}, "losses_args": None, "gen_optimizer_args.lr": 1e-3}
    )
    said = [trainer.discriminator_move(trainer.micro_batches()) for _ in range(60)]
    opened = [(values["real_logits"] - values["fake_logits"]).item() for values in said]
    assert abs(opened[0]) < 0.5 and opened[-1] > 2
    for _ in range(60):
        trainer.generator_move(trainer.micro_batches())
    assert gap(trainer) < 0


@torch.no_grad()
def gap(trainer: BaseTrainer) -> float:
    """Return how much more real than generated pictures the discriminator finds the eight."""
    (micro,) = trainer.micro_batches()
    players = trainer.networks
    fake = players["generator"](trainer.latents(micro, "generator"), micro.cond)
    real, made = (players["discriminator"](images, micro.cond).mean() for images in (micro.images, fake))
    return (real - made).item()


def test_a_classifier_names_eight_pictures(tmp_path):
    trainer = ready(tmp_path, "supervised", {"model_args.dropout": 0.0, "losses_args": None})
    assert losses(trainer, "accuracy", steps=60)[-5:] == [1.0] * 5
