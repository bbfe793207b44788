"""The baseline that every model must beat: a Gaussian fitted to the training pixels, full covariance, no learning.

Training files that show a test photo are left out.

    python3 -m benchmarks.gaussian_baseline train=DIR test=DIR [key=value ...]

Draws as many images as the test folder holds and judges them against it. dims=2048 and weights=FILE choose FID's
features (see metrics_args.fid), size=64 pixels a side, seed=0, out=FILE.png writes a grid of the first 64.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from datasets.packed import Packed
from datasets.splits import drop_leaks
from metrics.features import ImageSet
from metrics.fid import FID
from metrics.judge import Judge
from metrics.kid import KID
from utils.command import command_of
from utils.images import image_grid, to_float, to_uint8, write_png
from utils.schema import NonNegativeInt, PositiveInt, section
from utils.seeding import generator_for


@section
class Settings:
    """What the command takes."""

    train: str
    test: str
    dims: Literal[64, 192, 768, 2048] = 2048
    weights: str | None = None
    size: PositiveInt = 64
    seed: NonNegativeInt = 0
    out: str | None = None


@command_of(Settings)
def main(settings: Settings) -> None:
    judge = Judge({"fid": FID(settings.dims, settings.weights), "kid": KID()}, default_device())
    judge.prepare()
    test = Packed(settings.test, settings.size)
    kept, leaks = drop_leaks(Packed(settings.train, settings.size), test)
    real, train = ImageSet.of(test), ImageSet.of(kept, batch_size=2048)
    images = to_uint8(gaussian_samples(train.batches(), real.count, settings.seed))
    if settings.out:
        write_png(image_grid(images[:64]), Path(settings.out).expanduser())
    results = judge.evaluate(real, images.split(256))
    fitted = {"train_images": train.count, "left_out": len(leaks), "seed": settings.seed}
    print(json.dumps({**results, **fitted, **judge.provenance()}, indent=2))


def gaussian_samples(batches: Iterable[Tensor], count: int, seed: int) -> Tensor:
    """Draw ``count`` images from the Gaussian with the mean and covariance of uint8 images [N, C, H, W].

    mean + sum_i z_i (x_i - mean) / sqrt(n - 1) with z_i ~ N(0, 1) has exactly these moments, so no covariance is ever
    formed: one pass over the images. Returns float32 [count, C, H, W], 0 is mid-grey and +-1 the ends of the range.
    """
    total: Tensor | float = 0.0  # sum of x_i
    noise: Tensor | float = 0.0  # sum of z_i, [count, 1]
    mixed: Tensor | float = 0.0  # sum of z_i x_i, [count, C * H * W]
    seen = 0
    for images in batches:
        x = to_float(images).flatten(1)
        z = torch.randn(len(x), count, generator=generator_for(seed, "gaussian", seen))
        total, noise, mixed = total + x.sum(0), noise + z.sum(0)[:, None], mixed + z.T @ x
        seen += len(x)
    mean = total / seen
    samples = mean + (mixed - noise * mean) / max(seen - 1, 1) ** 0.5
    return samples.unflatten(1, images.shape[1:])


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    main()
