"""docs/models.md says what the code says, and the zoo's rows are what they promise to be."""

import pytest

from models.diffusion.unet import UNet
from report.models import PAGE, ROOT, configs, costs, costs_of, page, registered
from report.zoo import rows_of_the_zoo
from training.launch import load_trainer
from utils.config import load_tree


def test_the_page_is_up_to_date():
    """Counts, papers, proofs and the zoo; python3 -m report.models writes it."""
    assert PAGE.read_text() == page()


def test_it_has_a_row_for_every_config_and_every_network():
    text = PAGE.read_text()
    for name in [str(file.relative_to(ROOT / "configs").with_suffix("")) for file in configs()]:
        assert f"\n| `{name}` |" in text
    for name in [*registered(), *rows_of_the_zoo()]:
        assert f"\n| `{name}` |" in text


def test_counts_are_those_of_layers_written_out():
    """DCGAN's discriminator of the CPU config at 64 by 64: 4 by 4 convolutions 3, 32, 64, 128, 256 channels wide."""
    widths, sizes = [3, 32, 64, 128, 256], [32, 16, 8, 4]
    weights = [16 * a * b for a, b in zip(widths, widths[1:])] + [16 * 256]
    _, found = costs(f"exp.config_path={ROOT / 'configs' / 'gan' / 'food101_dcgan_cpu.yaml'}")
    assert found.network == "discriminator"
    assert found.multiply_adds == sum(weight * size**2 for weight, size in zip(weights, [*sizes, 1]))
    norms, labels = 2 * (64 + 128 + 256), 102 * 256  # one of the 102 classes is the null class
    assert found.parameters == sum(weights) + norms + labels


def test_latent_diffusion_is_counted_on_the_latents_of_the_codec_that_its_header_names(monkeypatch):
    """food101_kl halves 64 by 64 twice and gives 4 channels; its file is not opened, wherever it is."""
    monkeypatch.setenv("FOOD101_CODEC", "nowhere")
    words = f"exp.config_path={ROOT / 'configs' / 'diffusion' / 'food101_latent.yaml'}"
    network = UNet(16, 4, 101, **load_tree([words])["model_args"])
    assert costs(words)[0].parameters == sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", rows_of_the_zoo())
def test_a_row_of_the_zoo_is_small(name):
    row = rows_of_the_zoo()[name]
    assert 16 <= load_trainer(row.words).config.data.image_size <= 64
    assert max(cost.parameters for cost in costs_of(row)) <= 3e6
