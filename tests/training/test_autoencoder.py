"""The autoencoder family: what it learns, and how its reconstructions are judged."""

import json

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torchvision.io import read_image

import inference
import train
from metrics.base import PairOutcome
from metrics.pairs import PSNR
from metrics.registry import features_registry
from models.autoencoders.base import Posterior
from models.autoencoders.export import read_autoencoder
from models.autoencoders.kl import KLAutoencoder
from models.registry import autoencoders_registry
from tests.evaluation.conftest import Colours
from tests.helpers import error_of, trainer_of
from tests.runs import words, write_config
from training.losses.autoencoder import AutoencoderOutcome
from training.losses.registry import autoencoder_losses_registry
from training.reconstruction import beside_originals
from utils.images import to_float


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """An autoencoder of drawn dishes, trained for seven steps, and the folder of its study."""
    folder = tmp_path_factory.mktemp("studied")
    arguments = words(write_config(folder, "autoencoder"), folder / "runs")
    train.main(arguments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(features_registry.classes, "inception", Colours)
        metrics = ["train.val_metrics=[psnr,ssim,fid]", "metrics_args.fid.dims=64"]
        inference.main([*arguments, "train.checkpoint_path=latest", f"inference.out_dir={folder / 'out'}", *metrics])
    return folder, folder / "out"


@pytest.fixture
def trainer(studied):
    """The trainer with the weights of the run, ready for a study."""
    trainer = trainer_of(studied[0], "autoencoder", "train.checkpoint_path=latest")
    trainer.setup_inference()
    return trainer


def loss(name: str, outcome: AutoencoderOutcome) -> float:
    return autoencoder_losses_registry[name]()(outcome).item()


def outcome_of(posterior: Posterior) -> AutoencoderOutcome:
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return AutoencoderOutcome(images, images + torch.linspace(-0.5, 0.7, 8), posterior)


def test_the_kl_term_is_pytorch_s_divergence_from_the_standard_normal():
    """Summed over a latent, for each of the 192 numbers of an image."""
    torch.manual_seed(0)
    posterior = Posterior(torch.randn(4, 2, 4, 4), torch.randn(4, 2, 4, 4))
    q = Normal(posterior.mean, torch.exp(posterior.log_variance / 2))
    expected = kl_divergence(q, Normal(0.0, 1.0)).sum(dim=(1, 2, 3)).mean() / 192
    assert loss("kl", outcome_of(posterior)) == pytest.approx(expected.item(), rel=1e-5)


def test_the_kl_term_vanishes_at_the_standard_normal_only():
    zero = torch.zeros(4, 2, 4, 4)
    assert loss("kl", outcome_of(Posterior(zero, zero))) == 0
    assert loss("kl", outcome_of(Posterior(zero + 0.1, zero))) > 0
    assert loss("kl", outcome_of(Posterior(zero, zero - 0.1))) > 0


def test_reconstruction_losses_are_means_over_numbers():
    outcome, away = outcome_of(Posterior(torch.zeros(1))), torch.linspace(-0.5, 0.7, 8)
    assert loss("l1", outcome) == pytest.approx(away.abs().mean().item(), rel=1e-5)
    assert loss("l2", outcome) == pytest.approx(away.square().mean().item(), rel=1e-5)


class Plain(KLAutoencoder):
    """Knows no doubt."""

    def encode(self, x: torch.Tensor) -> Posterior:
        return Posterior(super().encode(x).mean)


def test_a_kl_term_without_a_posterior_is_one_line_before_the_first_step(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(autoencoders_registry.classes, "plain", Plain)
    line = error_of(capsys, tmp_path, "autoencoder", "train.model=plain", changes={"exp.check": True})
    assert "losses_coef.kl: this autoencoder draws no latents, it has no posterior: remove it" in line
    trainer_of(tmp_path, "autoencoder", "train.model=plain", "losses_coef.kl=null").setup()


def test_eight_pictures_are_learnt_by_heart(tmp_path):
    """The squared error falls to less than a quarter: 6 dB."""
    changes = {
        "dataset_args.num_images": 8,
        "train.steps": 60,
        "train.val_step": 60,
        "train.checkpoint_step": 60,
        "model_args.dropout": 0.0,
        "data.augmentations": [],
        "optimizer_args.lr": 0.01,
        "ema_args.halflife": 20,
    }
    trainer = trainer_of(tmp_path, "autoencoder", changes=changes)
    trainer.setup()
    before = psnr_of(trainer)
    trainer.training_loop()
    assert psnr_of(trainer) > before + 6


def psnr_of(trainer) -> float:
    images, metric = trainer.data.train.images_at(range(8)), PSNR()
    metric.update(PairOutcome(images, trainer.reconstruct_images(images)))
    return metric.compute()["psnr"]


def test_validation_judges_every_held_out_picture_with_the_averaged_weights(tmp_path):
    trainer = trainer_of(tmp_path, "autoencoder", changes={"data.dev_per_class": 1, "train.val_step": 7})
    trainer.setup()
    trainer.training_loop()
    logged = json.loads((trainer.run.path / "metrics.jsonl").read_text().splitlines()[-1])
    images = trainer.data.dev.images_at(range(10))
    with torch.no_grad():
        answer = trainer.ema.module(to_float(images)).images
    again = ((answer + 1) * 127.5).round().clamp(0, 255)
    mse = (images.double() - again.double()).square().mean(dim=(1, 2, 3))
    assert logged["val_psnr"] == pytest.approx((10 * torch.log10(255**2 / mse)).mean().item(), abs=1e-6)
    assert 0 < logged["val_ssim"] < 1
    assert trainer.networks["autoencoder"].training
    assert not trainer.average.training


def test_figures_of_sets_carry_their_size_in_training(tmp_path, monkeypatch):
    monkeypatch.setitem(features_registry.classes, "inception", Colours)
    changes = {"train.val_metrics": ["psnr", "fid"], "metrics_args.fid.dims": 64}
    trainer = trainer_of(tmp_path, "autoencoder", changes=changes)
    trainer.setup()
    assert trainer.validation.figures().keys() == {"val_test_psnr", "val_test_quick40_fid64"}


def test_the_grid_shows_each_original_with_its_reconstruction_on_its_right():
    originals = torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 3, 4, 4)
    grid = beside_originals(originals, originals + 100)
    line = grid[0, 3, 3::6]  # a pixel of each picture: 4 pixels and 2 between
    assert line.tolist() == [0, 100, 1, 101, 2, 102, 3, 103]


def test_the_study_writes_figures_with_their_origin(studied, trainer):
    record = json.loads((studied[1] / "metrics.json").read_text())
    assert record["results"].keys() == {"psnr", "ssim", "fid64"}
    origin = record["origin"]
    assert (origin["step"], origin["split"], origin["real_images"], origin["foreign_weights"]) == (7, "test", 40, False)
    assert (origin["real_images"], origin["fake_images"], origin["latent_shape"]) == (40, 40, [4, 8, 8])


def test_photos_of_the_data_stay_in_the_run_folder(studied):
    """``inference.out_dir`` may be a folder to publish."""
    folder, out = studied
    assert sorted(path.name for path in out.iterdir()) == ["autoencoder.safetensors", "metrics.json"]
    photos = folder / "runs" / "autoencoder" / "photos"
    assert [path.name for path in photos.iterdir()] == ["reconstructions_out.png"]


def test_the_grid_holds_the_pictures_and_what_the_network_makes_of_them(studied, trainer):
    grid = read_image(str(studied[0] / "runs" / "autoencoder" / "photos" / "reconstructions_out.png"))
    dataset = trainer.roles.build("dataset", split="val", image_size=16, on_bad_image="error")
    first = dataset.images_at([0])
    assert torch.equal(grid[:, 2:18, 2:18], first[0])
    assert torch.equal(grid[:, 2:18, 20:36], trainer.reconstruct_images(first)[0])


def test_the_exported_autoencoder_says_what_the_checkpoint_says(studied, trainer):
    network, described = read_autoencoder(studied[1] / "autoencoder.safetensors")
    images = torch.rand(3, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        assert torch.equal(network.eval()(images).images, trainer.average(images).images)
    assert (described["about"]["step"], described["about"]["split"]) == (7, "test")
    assert described["about"]["results"]["psnr"] > 0


def test_metrics_of_predictions_do_not_judge_reconstructions(tmp_path, capsys):
    line = error_of(capsys, tmp_path, "autoencoder", "train.val_metrics=[classification]")
    assert "does not judge pairs of images or sets of images" in line


def test_an_image_size_that_the_factor_does_not_divide_is_one_line(tmp_path, capsys):
    changes = {"model_args.channel_mult": [1, 1, 1, 1, 1, 1]}
    assert "16 is not a multiple of 32" in error_of(capsys, tmp_path, "autoencoder", changes=changes)
