"""From noise to images: the levels to step through, the steps, and guidance. Importing this fills the registries."""

from sampling import guidance, levels, samplers  # noqa: F401
