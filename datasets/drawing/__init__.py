"""How the synthetic dataset's pictures are drawn: the tools (canvas), where a dish stands (scenes), the dishes."""
