"""Randomness as a function of what it is for, never of history.

Every random number that training draws comes from (seed, purpose, step) for the whole global batch, of which a process
takes its slice; every number that sampling draws comes from (seed, image index). So nothing has to be saved to resume
exactly, two processes draw what one would, and the same seed gives the same image whatever the batch size. Layers that
draw by themselves (dropout) are seeded for each micro-batch: exact when resuming, but another cut of the batch draws
other numbers.
"""

from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor


def derive_seed(*parts: int | str) -> int:
    """Mix the parts, in order, into a seed of 63 bits. Different parts give independent seeds."""
    digest = blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator_for(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a fresh generator on ``device`` whose stream is a function of the parts alone."""
    return torch.Generator(device).manual_seed(derive_seed(*parts))


class ImageRng:
    """One random stream an image: image ``i`` of ``seed`` draws the same numbers in any batch.

    Drawn on the CPU, so that a seed means the same picture on every device.
    """

    def __init__(self, seed: int, indices: Sequence[int], purpose: str = "sample"):
        self.generators = [generator_for(seed, purpose, int(index)) for index in indices]

    def randn(self, shape: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
        """Draw float32 standard normal numbers [N, *shape], row i from image i's own stream."""
        rows = [torch.randn(tuple(shape), generator=generator) for generator in self.generators]
        return torch.stack(rows).to(device)
