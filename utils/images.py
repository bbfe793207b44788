"""The one image convention: datasets and files hold uint8 in [0, 255], models see float in [-1, 1]. Both ways round."""

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.utils import make_grid

from utils.checks import check_rows, described

NAME_WIDTH = 170  # pixels for the names beside a labelled grid


def to_float(images: Tensor) -> Tensor:
    """Turn uint8 [..., H, W] in [0, 255] into float32 in [-1, 1]."""
    if images.dtype != torch.uint8:
        raise ValueError(f"to_float takes uint8 images, not {described(images)}")
    return images.to(torch.float32).div_(127.5).sub_(1)  # in place: twice as fast on a CPU


def to_uint8(images: Tensor) -> Tensor:
    """Turn float [..., H, W] in [-1, 1] into uint8: rounded to the nearest grey level, and clamped."""
    if not images.is_floating_point():
        raise ValueError(f"to_uint8 takes float images, not {described(images)}")
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def write_png(image: Tensor, path: Path) -> None:
    """Write a uint8 image [C, H, W] as PNG. Raises ``OSError`` where it cannot: torchvision's says nothing then."""
    if image.ndim != 3 or image.shape[0] not in (1, 3) or image.dtype != torch.uint8 or image.numel() == 0:
        raise ValueError(f"a uint8 image [1 or 3, H, W] is wanted, not {described(image)}")
    pixels = to_hwc(image)
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path, "PNG")


def image_grid(images: Tensor, columns: int | None = None, padding: int = 2) -> Tensor:
    """Lay uint8 images [N, C, H, W] out row by row on white. Returns uint8 [C, H', W']; about square by default."""
    if images.ndim != 4 or images.numel() == 0 or images.dtype != torch.uint8:
        raise ValueError(f"image_grid takes uint8 images [N, C, H, W] with N >= 1, not {described(images)}")
    columns = columns or math.ceil(math.sqrt(len(images)))
    return make_grid(images.cpu(), nrow=columns, padding=padding, pad_value=255)


def to_hwc(image: Tensor):
    """Turn a uint8 tensor [C, H, W] into the array [H, W, C] that image libraries take."""
    return image.permute(1, 2, 0).contiguous().cpu().numpy()


def labelled_grid(rows: list[tuple[str, Tensor]], scale: int = 1) -> Tensor:
    """Lay uint8 images [N, C, H, W] out, one row a name, with the names in a column on the left.

    ``scale`` enlarges the pixels. Returns uint8 [3, H', W'].
    """
    if not rows:
        raise ValueError("labelled_grid takes a name and its images, or more of them: there is none")
    lines = [line_of(images, scale) for _, images in rows]
    width = max(line.shape[2] for line in lines)
    sheet = Image.new("RGB", (NAME_WIDTH + width, sum(line.shape[1] for line in lines)), "white")
    pen, top = ImageDraw.Draw(sheet), 0
    font = font_for([name for name, _ in rows])
    for (name, _), line in zip(rows, lines):
        pen.text((NAME_WIDTH - 6, top + line.shape[1] // 2), name.replace("_", " ")[:24], "black", font, anchor="rm")
        sheet.paste(Image.fromarray(to_hwc(line)), (NAME_WIDTH, top))
        top += line.shape[1]
    return torch.from_numpy(np.array(sheet)).permute(2, 0, 1).contiguous()


def font_for(names: list[str], size: int = 13) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font, which knows Latin letters, or one of the system's where a name has others."""
    if not all(name.isascii() for name in names):
        for file in ("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "arialuni.ttf", "Arial.ttf"):
            with suppress(OSError):
                return ImageFont.truetype(file, size)
    return ImageFont.load_default(size)


def line_of(images: Tensor, scale: int) -> Tensor:
    """Lay images [N, C, H, W] side by side, in colour. Returns uint8 [3, H', W']."""
    images = images.cpu().expand(-1, 3, -1, -1) if images.shape[1] == 1 else images.cpu()
    images = images.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    return image_grid(images, columns=len(images))


def class_grid(images: Tensor, labels: Tensor, class_names: Sequence[str], rows: int = 20, columns: int = 8) -> Tensor:
    """Lay out some images [N, C, H, W] of up to ``rows`` classes, evenly chosen and named; uint8 [3, H', W']."""
    check_rows(labels, len(images), "labels", integer=True)
    if int(labels.min()) < 0 or int(labels.max()) >= len(class_names):
        raise ValueError(f"labels are 0 to {len(class_names) - 1}, not {int(labels.min())} to {int(labels.max())}")
    present = labels.unique()
    shown = present[torch.linspace(0, len(present) - 1, min(rows, len(present))).round().long()]
    return labelled_grid([(class_names[label], images[labels == label][:columns]) for label in shown])
