"""The study of a diffusion model's likelihood: how many bits it needs, at most, for each number of a held-out image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from evaluation.tables import result_table
from metrics.features import ImageSet
from sampling.chain import Steps, bits_per_dim, prior_bits_per_dim, steps_of
from training.evaluation import pieces
from training.judging import check_kind, open_reference
from training.origins import judged_origin
from training.registry import diffusion_studies_registry
from training.run_folder import write_whole
from training.studies import new_folder, write_record
from utils.batch import Condition
from utils.errors import ConfigError
from utils.images import to_float
from utils.seeding import ImageRng

if TYPE_CHECKING:
    from datasets.base import ImageDataset
    from training.trainers.diffusion import BaseDiffusionTrainer


@diffusion_studies_registry.add_to_registry(name="bits_per_dim")
class BitsPerDimStudy:
    """Writes ``metrics.json``: the bound on -log2 p(image) and its three parts, and ``terms.csv``: its terms by step.

    L_T + ... + L_0 of Ho et al. 2020, equation 5, over the steps of the sampling levels: fewer give a looser bound. The
    variance is the learned one, or beta-tilde. Images are those of ``inference.split``, or ``inference.num_images`` of
    them, evenly chosen; each costs a network evaluation a step. Guidance plays no part: where a guided model samples
    from has no known likelihood.
    """

    def run(self, trainer: BaseDiffusionTrainer) -> None:
        """Measure. Raises :class:`ConfigError` for a model without a table, a :class:`UserError` without images."""
        if trainer.config.train.codec != "identity":
            raise ConfigError("inference.study=bits_per_dim bounds the likelihood of images, not that of latents")
        if trainer.average.table is None:
            name = trainer.roles.name("denoiser")
            raise ConfigError(
                f"inference.study=bits_per_dim sums over the steps of a table, and train.denoiser={name} has none: "
                f"it is for ddpm, iddpm and v"
            )
        pictures = open_reference(trainer)
        check_kind(trainer, pictures)
        rows, folder = evenly(len(pictures), trainer.config.inference.num_images), new_folder(trainer)
        steps = steps_of(trainer.sampling_levels[:-1].flip(0).to(trainer.device))
        terms, prior = measure(trainer, pictures, rows, steps)
        record = {"results": summary(terms, prior), "origin": origin(trainer, pictures, rows, steps)}
        write_record(folder, record)
        write_terms(folder / "terms.csv", steps, terms)
        trainer.say(result_table(record))
        trainer.say(f"{len(rows)} images, {steps.count} steps: metrics.json and terms.csv are in {folder}")


def evenly(available: int, count: int | None) -> list[int]:
    """Return ``count`` evenly spaced rows of so many, or all."""
    return torch.linspace(0, available - 1, min(count or available, available)).round().long().tolist()


def measure(
    trainer: BaseDiffusionTrainer, pictures: ImageDataset, rows: list[int], steps: Steps
) -> tuple[Tensor, Tensor]:
    """Return the terms of the images' bounds in bits/dim, float64 [N, T], the decoder's first; the prior's, [N]."""
    terms, prior = [], []
    batches = list(pieces(len(rows), trainer.config.data.val_batch_size))
    for piece in tqdm(batches, desc="bits/dim", unit="batch", leave=False, disable=None):
        some = rows[piece.start : piece.stop]
        batch = pictures.__getitems__(some)
        clean = to_float(batch.images.to(trainer.device))
        labels = batch.labels.to(trainer.device) if trainer.facts.conditional else None
        rng = ImageRng(trainer.config.exp.seed, some, "bits_per_dim")
        with trainer.precision.autocast():
            terms.append(terms_of_bound(trainer.average, clean, Condition(labels), steps, rng).cpu())
        prior.append(prior_bits_per_dim(clean, steps.t[-1].item()).cpu())
    return torch.cat(terms), torch.cat(prior)


@torch.no_grad()
def terms_of_bound(denoiser: nn.Module, clean: Tensor, cond: Condition, steps: Steps, rng: ImageRng) -> Tensor:
    """Return each image's terms of all steps, float64 [N, T] in bits per dimension, with one draw of noise for each.

    D is kept in [-1, 1], as all images are.
    """
    terms = []
    for number, t in enumerate(steps.t.tolist()):
        sigma = clean.new_full((len(clean),), t)
        prediction = denoiser.predict(clean + t * rng.randn(clean.shape[1:], clean.device), sigma, cond)
        learned = prediction.variance_fraction
        step = steps.at(steps.index[number].expand(len(clean)))
        D = prediction.denoised.clamp(-1, 1)
        terms.append(bits_per_dim(step, clean, D, 0.0 if learned is None else learned).double())
    return torch.stack(terms, dim=1)


def summary(terms: Tensor, prior: Tensor) -> dict[str, float]:
    """Return the bound's mean over the images with its standard error, and the means of its three parts."""
    total = prior + terms.sum(dim=1)  # [N]
    error = {"bits_per_dim_se": (total.std() / len(total) ** 0.5).item()} if len(total) > 1 else {}
    parts = {"prior": prior, "steps": terms[:, 1:].sum(dim=1), "decoder": terms[:, 0]}
    return {"bits_per_dim": total.mean().item()} | error | {
        f"bits_per_dim_{name}": part.mean().item() for name, part in parts.items()
    }  # fmt: skip


def write_terms(path: Path, steps: Steps, terms: Tensor) -> None:
    """Write the mean term of each step, the step to the clean image first."""
    lines = [f"{t:.9g},{term:.9g}" for t, term in zip(steps.t.tolist(), terms.mean(dim=0).tolist())]
    write_whole(path, "\n".join(["sigma,bits_per_dim", *lines]) + "\n")


def origin(trainer: BaseDiffusionTrainer, pictures: ImageDataset, rows: list[int], steps: Steps) -> dict[str, Any]:
    """Say what the figures rest on."""
    return {
        **judged_origin(trainer, ImageSet.of(pictures, rows)),
        "steps": steps.count,
        "variance": "learned" if trainer.average.outputs > 1 else "beta-tilde",
    }
