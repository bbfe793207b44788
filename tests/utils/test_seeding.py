"""Random numbers are a function of what they are for."""

import torch

from utils.seeding import ImageRng, derive_seed, generator_for

PARTS = [(0,), (1,), (0, 0), (0, 1), (1, 0), ("a",), ("a", 1), (1, "a"), ("a", "b"), ("ab",), (-1,), (11,), (1, 1), ()]


def test_different_parts_give_different_seeds_of_63_bits():
    seeds = {derive_seed(*parts) for parts in PARTS}
    assert len(seeds) == len(PARTS)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_do_not_depend_on_the_process():
    """Python's own hash of a word does; a resumed run would then draw other numbers. BLAKE2b of '1/order/2'."""
    from hashlib import blake2b

    expected = int.from_bytes(blake2b(b"1/order/2", digest_size=8).digest(), "little") // 2
    assert derive_seed(1, "order", 2) == expected


def test_a_generator_is_a_function_of_its_parts():
    draws = [torch.rand(4, generator=generator_for(3, "noise", step)) for step in (5, 5, 6)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_an_image_draws_the_same_in_any_batch():
    together = ImageRng(7, range(6))
    first, second = together.randn((3, 4)), together.randn((2,))
    for batch in ([0, 1, 2], [3], [5, 4]):
        some = ImageRng(7, batch)
        assert torch.equal(some.randn((3, 4)), first[batch])
        assert torch.equal(some.randn((2,)), second[batch])


def test_images_seeds_and_purposes_are_independent():
    """Of 4000 numbers from each stream, correlations stay within five standard errors, 5 / sqrt(4000)."""
    rngs = [ImageRng(0, [0, 1]), ImageRng(1, [0]), ImageRng(0, [0], purpose="other")]
    streams = torch.cat([rng.randn((4000,)) for rng in rngs])
    off_diagonal = torch.corrcoef(streams) - torch.eye(4)
    assert off_diagonal.abs().max() < 5 / 4000**0.5


def test_the_numbers_are_standard_normal():
    numbers = ImageRng(0, range(40)).randn((10, 100)).flatten()  # standard errors: 0.005 and 0.0035
    assert numbers.dtype == torch.float32
    assert abs(numbers.mean()) < 0.025
    assert abs(numbers.std() - 1) < 0.018
