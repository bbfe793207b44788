"""What the tests of benchmarks share."""

from tests.fid_weights import random_weights, torch_home  # noqa: F401
