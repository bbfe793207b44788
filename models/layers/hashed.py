"""Random numbers that are a function of a latent: a hash where other networks would ask a stream of random numbers.

The same latent draws the same numbers in any batch, process or device, compiled or not, in training or after it.

The hash is pcg of Mark Jarzynski, Marc Olano 2020, "Hash Functions for GPU Rendering", Journal of Computer Graphics
Techniques 9(3): 32 bits into 32, here in the lower half of int64, where neither product overflows.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

MASK = 0xFFFFFFFF
Words = TypeVar("Words", int, Tensor)  # 0 to 2^32 - 1; a tensor of them is int64


def pcg(words: Words) -> Words:
    """Return the hash of each word."""
    state = (words * 747796405 + 2891336453) & MASK
    word = (((state >> ((state >> 28) + 4)) ^ state) * 277803737) & MASK
    return (word >> 22) ^ word


def seeds_of(z: Tensor) -> Tensor:
    """Turn the bits of latents z [N, Z], float32, into a word each, int64 [N]."""
    bits = z.detach().float().contiguous().view(torch.int32).long() & MASK
    place = pcg(torch.arange(z.shape[1], device=z.device))  # [Z] so that the order counts
    return pcg((bits + place) & MASK).sum(dim=1) & MASK


def hashed_bits(seeds: Tensor, purpose: int, shape: Sequence[int]) -> Tensor:
    """Return 23 random bits, int64 [N, *shape], for each seed [N]; another ``purpose`` gives others."""
    keys = pcg((seeds + pcg(purpose)) & MASK)  # [N]
    places = pcg(torch.arange(math.prod(shape), device=seeds.device))
    return (pcg((places + keys[:, None]) & MASK) >> 9).view(len(seeds), *shape)


def hashed_uniform(seeds: Tensor, purpose: int, shape: Sequence[int]) -> Tensor:
    """Draw uniform numbers in [0, 1), float32 [N, *shape], for seeds [N]."""
    return hashed_bits(seeds, purpose, shape).float() / 2**23


def hashed_normal(seeds: Tensor, purpose: int, shape: Sequence[int]) -> Tensor:
    """Draw standard normal numbers, float32 [N, *shape], for seeds [N]: none is beyond 5.3."""
    symmetric = (hashed_bits(seeds, purpose, shape).float() + 0.5) / 2**22 - 1  # in (-1, 1), exact
    return symmetric.erfinv() * math.sqrt(2)
