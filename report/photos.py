"""A page with photos of the data set: real beside generated, and each sample's nearest training photos. Not for git."""

import os
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from datasets.base import ImageDataset
from datasets.leaks import BOXES, box_means
from report.html import to_html
from report.keeping import PADDING, enlargement, read, save
from report.material import Material
from report.records import Run
from report.wording import image, joined
from training.data import open_training_data
from training.evaluation import pieces
from training.launch import load_trainer
from utils.errors import DataError
from utils.files import whole_file
from utils.images import labelled_grid

NEAREST = 4


def photos_page(material: Material) -> None:
    """Write ``photos/README.md`` and ``photos/report.html``. Raises :class:`DataError` when the data is not there."""
    experiment = material.best or next(iter(material.experiments.values()))
    folder = material.folder / "photos"
    draw(experiment.runs[0], folder)
    page = joined([
        f"# Photos beside samples of {experiment.name}",
        "*This page shows photos of the data set: it stays out of git.*",
        "Real photos beside generated images, evenly chosen, not matched:",
        image("real beside generated", folder / "real.png", folder),
        "Each generated image above its nearest training photos, by the distance of the means of 8 x 8 boxes:",
        image("nearest training photos", folder / "nearest.png", folder),
    ])  # fmt: skip
    for name, text in (("README.md", page), ("report.html", to_html(page, folder))):
        with whole_file(folder / name) as file:
            file.write(text)
    print(f"{folder}: photos beside samples of {experiment.name}; keep it out of git")


def draw(run: Run, folder: Path) -> None:
    """Draw the two pictures of the page."""
    samples, photos = cut(run), training_photos(run)
    near = nearest(samples, photos)  # [N, NEAREST]
    rows = [(f"nearest {place + 1}", photos.images_at(near[:, place].tolist())) for place in range(NEAREST)]
    real = photos.images_at(torch.linspace(0, len(photos) - 1, len(samples)).round().long().tolist())
    for name, below in (("nearest", rows), ("real", [("real, other", real)])):
        sheet = labelled_grid([("generated", samples), *below], enlargement(samples))
        save(sheet, folder / f"{name}.png", colours=None)


def training_photos(run: Run) -> ImageDataset:
    """Return what the run was trained on; kept configs name folders by variables."""
    places = {f"data.input_{split}_dir": run.config["data"][f"input_{split}_dir"] for split in ("train", "val")}
    words = [f"{key}={os.path.expandvars(place)}" for key, place in places.items() if place]
    trainer = load_trainer([f"exp.config_path={run.folder / 'config.yaml'}", *words])
    return open_training_data(trainer.roles, trainer.say).train


def cut(run: Run) -> Tensor:
    """Return the samples of a run, uint8 [N, 3, H, W], cut out of its samples.png, or the first of an evaluation."""
    kept = run.folder / "samples.png"
    if kept.exists():
        return cut_row(read(kept), run.config["data"]["image_size"])
    made = run.evaluation_file.parent / "images" if run.evaluation_file else run.folder
    files = sorted(made.rglob("*.png"))
    if not run.evaluation_file or not files:
        raise DataError(f"{run.folder} has no samples: inference.py makes some")
    return torch.stack([read(files[row]) for row in torch.linspace(0, len(files) - 1, 8).round().int().tolist()])


def cut_row(strip: Tensor, size: int) -> Tensor:
    """Cut a row of enlarged images, uint8 [3, H, W], into images of ``size`` pixels, uint8 [N, 3, size, size]."""
    shown = strip.shape[1] - 2 * PADDING  # pixels of an image as it stands there
    cells = strip[:, PADDING : PADDING + shown, PADDING:].unfold(2, shown, shown + PADDING)  # [3, shown, N, shown]
    return cells.permute(2, 0, 1, 3)[..., :: shown // size, :: shown // size]


def nearest(samples: Tensor, photos: ImageDataset) -> Tensor:
    """Return the rows of the ``NEAREST`` photos of each sample, [N, NEAREST], by box means (RGB, 8 x 8)."""
    ours = adaptive_avg_pool2d(samples.double(), BOXES).flatten(1)
    theirs = [box_means(photos, rows) for rows in pieces(len(photos), 4096)]
    return torch.cdist(ours, torch.cat(theirs)).topk(NEAREST, largest=False).indices
