"""The gallery: the best diffusion model beside the best GAN, class by class, and the way from noise to image."""

from pathlib import Path

import torch
from torch import Tensor

from report.keeping import COLUMNS, PADDING, ROWS, read, save
from report.material import Material
from report.winner import WAY
from report.wording import image, joined
from utils.images import NAME_WIDTH

SHOWN = 4  # images of a class, of each model
GAP = 24  # pixels between the models


def gallery(material: Material) -> str:
    """Show the best model of this family and of the other; nothing where no grid was kept."""
    rest = Material("others", material.folder, material.others, {})
    models = sorted(filter(None, (material.best, rest.best)), key=lambda it: it.family)
    grids = {f"{it.family}: {it.name}": grid for it in models if (grid := it.runs[0].picture("grid"))}
    ways = [way for it in models if (way := it.runs[0].picture("way"))]
    return joined([
        side_by_side(material, grids) or one_by_one(material, grids),
        *(joined([WAY, image("from noise to image", way, material.folder)]) for way in ways),
    ])  # fmt: skip


def side_by_side(material: Material, grids: dict[str, Path]) -> str:
    """Put two kept grids of the same classes into one picture; nothing where they are not such grids."""
    kept = [read(path) for path in grids.values()]
    if len(kept) < 2 or any(column_width(grid) is None for grid in kept) or kept[0].shape != kept[1].shape:
        return ""
    end = NAME_WIDTH + PADDING + SHOWN * column_width(kept[0])
    gap = torch.full((3, kept[0].shape[1], GAP), 255, dtype=torch.uint8)
    path = material.folder / "figures" / "gallery.png"
    save(torch.cat([kept[0][:, :, :end], gap, kept[1][:, :, NAME_WIDTH:end]], dim=2), path)
    left, right = grids
    text = f"Class by class, the first {SHOWN} images of each. Left: **{left}**. Right: **{right}**."
    return joined([text, image(f"{left} beside {right}, by class", path, material.folder)])


def one_by_one(material: Material, grids: dict[str, Path]) -> str:
    shown = [(f"**{name}**", image(f"{name}, by class", path, material.folder)) for name, path in grids.items()]
    return joined([text for pair in shown for text in pair])


def column_width(grid: Tensor) -> int | None:
    """Return the pixels from one image to the next in a grid, uint8 [3, H, W], that ``keep_run`` wrote with names."""
    width, rest = divmod(grid.shape[2] - NAME_WIDTH - PADDING, COLUMNS)
    return None if rest or grid.shape[1] % (width + PADDING) or grid.shape[1] > ROWS * (width + PADDING) else width
