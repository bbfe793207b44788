"""The study of an autoencoder: what it makes of every picture of the test or dev set, and how close that is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from metrics.features import ImageSet
from models.autoencoders.export import export_autoencoder
from training.judging import check_kind, open_reference
from training.origins import judged_origin, weights_origin
from training.reconstruction import ReconstructionJudge, grid_of
from training.registry import autoencoder_studies_registry
from training.studies import new_folder, write_record
from utils.images import write_png

if TYPE_CHECKING:
    from datasets.base import ImageDataset
    from training.trainers.autoencoder import BaseAutoencoderTrainer


@autoencoder_studies_registry.add_to_registry(name="reconstruct")
class ReconstructStudy:
    """Writes ``metrics.json`` with every number's origin and ``autoencoder.safetensors``, what a codec opens.

    The grid of originals beside reconstructions goes to the run folder, wherever ``inference.out_dir`` is: it shows
    photos of the data, which are not ours to publish.
    """

    def run(self, trainer: BaseAutoencoderTrainer) -> None:
        """Reconstruct ``inference.split``. Raises a :class:`UserError` when it is not there or of another kind."""
        pictures = open_reference(trainer)
        check_kind(trainer, pictures)
        judge = ReconstructionJudge(trainer.config, trainer.device)
        folder = new_folder(trainer)
        of_pairs, of_sets = judge.results(trainer.reconstruct_images, pictures)
        results = of_pairs | of_sets
        origin = judged_origin(trainer, ImageSet.of(pictures)) | (judge.sets.provenance() if judge.sets else {})
        write_record(
            folder, {"results": results, "origin": {**origin, "latent_shape": list(trainer.average.latent_shape)}}
        )
        export(trainer, folder / "autoencoder.safetensors", results)
        grid = write_grid(trainer, pictures, folder.name)
        for name, value in results.items():
            trainer.say(f"{name}: {value:.4f}")
        trainer.say(f"metrics.json is in {folder}, originals beside reconstructions: {grid}")
        trainer.say(f"to train on its latents: codec_args.path={folder / 'autoencoder.safetensors'}")


def write_grid(trainer: BaseAutoencoderTrainer, pictures: ImageDataset, name: str) -> Path:
    """Write the grid into the run folder; return its place."""
    path = trainer.run.path / "photos" / f"reconstructions_{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(grid_of(trainer.reconstruct_images, pictures), path)
    return path


def export(trainer: BaseAutoencoderTrainer, path: Path, results: dict[str, float]) -> None:
    """Write the averaged network with its architecture, origin and figures."""
    facts = {"image_size": trainer.facts.image_size, "image_channels": trainer.facts.image_channels}
    about = {**weights_origin(trainer), "results": results, "split": trainer.config.inference.split}
    export_autoencoder(
        path, trainer.average, trainer.roles.name("model"), facts | trainer.roles.arguments("model"), about
    )
