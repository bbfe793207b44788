"""What docs/scaling.md says of several GPUs is what the command computes."""

import re
from pathlib import Path

import pytest

from benchmarks.estimate import untrained
from benchmarks.scaling import CONFIGS, SHOWN, bytes_a_step, sent

PAGE = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()


@pytest.mark.parametrize("config", SHOWN)
def test_the_page_has_the_bytes_of_the_preset(config):
    (row,) = re.findall(rf"^\| `{config}` \| (\d+) \|", PAGE, re.MULTILINE)
    assert int(row) == round(bytes_a_step(untrained(str(CONFIGS / f"{config}.yaml"))) / 1e6)


def test_a_discriminator_is_averaged_as_often_as_it_moves(config="gan/food101_sngan"):
    trainer = untrained(str(CONFIGS / f"{config}.yaml"))
    numbers = {name: sum(p.numel() for p in net.parameters()) for name, net in trainer.networks.items()}
    assert bytes_a_step(trainer) == 4 * (numbers["generator"] + 5 * numbers["discriminator"])


def test_what_a_gpu_of_a_ring_sends():
    """Of two each sends its half and then the sum of the other; of many each sends nearly all of it twice."""
    assert sent(100, 1) == 0 and sent(100, 2) == 100 and sent(100, 8) == 175
