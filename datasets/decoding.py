"""From an image file of any kind to uint8 RGB of one size."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"))
SIXTEEN_BIT = ("I", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow's modes of 16-bit grey


def is_image_name(name: str) -> bool:
    """Whether a file of this name is meant to be an image, by its suffix."""
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def read_image(path: Path, size: int) -> Image.Image:
    """Read an image file as RGB, ``size`` x ``size``: the shorter side is resized (Lanczos), the centre cropped.

    The camera's orientation is applied, transparency laid on white, colour profiles are ignored; of an animation it
    is the first frame. Raises ``ValueError`` when the file is no image, is cut short, or has over 89 million pixels.
    """
    try:
        with Image.open(path) as image:
            _refuse_bomb(image)
            image.draft(None, (2 * size, 2 * size))  # a large JPEG is decoded at no more than twice the size needed
            return ImageOps.fit(to_rgb(ImageOps.exif_transpose(image)), (size, size), Image.Resampling.LANCZOS)
    except Exception as error:  # Pillow's readers raise nearly everything: OSError, SyntaxError, struct.error, ...
        raise ValueError(f"{path} cannot be read as an image ({error})") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn an image of any Pillow mode into RGB of 8 bits; raises ``ValueError`` for floating-point pixels."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range")
    if image.mode in SIXTEEN_BIT:
        levels = np.asarray(image).clip(0, 65535) / 257  # 65535 is white
        image = Image.fromarray(levels.round().astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def _refuse_bomb(image: Image.Image) -> None:
    """Pillow warns at this limit and refuses at twice as much; here the limit is one."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit and image.width * image.height > limit:
        raise ValueError(f"{image.width} x {image.height} pixels, the limit is {limit:,} in all")
