"""Random numbers hashed from a latent: the hash itself, its distribution, and that it is a function."""

import numpy as np
import pytest
import scipy.stats
import torch

from models.layers.hashed import hashed_normal, hashed_uniform, pcg, seeds_of


def latents(count: int = 64, dim: int = 16) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(0))


def test_the_hash_is_pcg_in_32_bit_arithmetic():
    """As the paper's listing has it, in numpy's unsigned integers, which wrap by themselves."""
    words = np.random.default_rng(0).integers(0, 2**32, 1000, dtype=np.uint32)
    words[:3] = 0, 1, 2**32 - 1
    state = words * np.uint32(747796405) + np.uint32(2891336453)
    word = ((state >> ((state >> np.uint32(28)) + np.uint32(4))) ^ state) * np.uint32(277803737)
    expected = (word >> np.uint32(22)) ^ word
    assert pcg(torch.from_numpy(words.astype(np.int64))).tolist() == expected.tolist()
    assert [pcg(int(word)) for word in words[:10]] == expected[:10].tolist()


def test_a_seed_follows_every_bit_of_its_latent_and_their_order():
    z = latents(1)
    others = [z.nextafter(torch.full_like(z, 9.0)), z.flip(1), -z, z.roll(1, 1)]
    assert len({int(seeds_of(other)) for other in [z, *others]}) == 5
    assert torch.equal(seeds_of(z.clone()), seeds_of(z))


def test_latents_have_seeds_of_their_own():
    assert len(set(seeds_of(latents(5000)).tolist())) == 5000


def test_the_numbers_are_uniform_and_normal():
    """Kolmogorov and Smirnov, on 200,000 numbers: with the true distribution a p below 1e-4 is one in 10,000."""
    seeds = seeds_of(latents(200))
    uniform = hashed_uniform(seeds, 0, (1000,)).flatten().numpy()
    normal = hashed_normal(seeds, 0, (1000,)).flatten().numpy()
    assert scipy.stats.kstest(uniform, "uniform").pvalue > 1e-4
    assert scipy.stats.kstest(normal, "norm").pvalue > 1e-4
    assert uniform.min() >= 0 and uniform.max() < 1 and np.isfinite(normal).all()


@pytest.mark.parametrize("other", ["the next place", "the next row", "the next image", "another purpose"])
def test_numbers_are_independent_of_their_neighbours(other):
    """Correlations of 64 images of 32 by 32, of the numbers and of their squares, are within five standard errors."""
    seeds = seeds_of(latents())
    x, second = hashed_normal(seeds, 0, (32, 32)), hashed_normal(seeds, 1, (32, 32))
    pairs = {
        "the next place": (x[..., 1:], x[..., :-1]),
        "the next row": (x[:, 1:], x[:, :-1]),
        "the next image": (x[1:], x[:-1]),
        "another purpose": (x, second),
    }
    a, b = (part.flatten().double() for part in pairs[other])
    for one, two in ((a, b), (a.square(), b.square())):
        correlation = torch.corrcoef(torch.stack([one, two]))[0, 1].item()
        assert abs(correlation) < 5 / len(a) ** 0.5


def test_an_image_draws_the_same_numbers_in_any_batch():
    z = latents(8)
    together = hashed_normal(seeds_of(z), 0, (3, 5))
    for i in range(8):
        assert torch.equal(hashed_normal(seeds_of(z[i : i + 1]), 0, (3, 5))[0], together[i])
