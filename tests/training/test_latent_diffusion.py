"""Diffusion on the latents of a codec: from an autoencoder's training to pictures, and what goes wrong on the way."""

import copy
import json

import pytest
import torch

import inference
import train
from tests.codecs import write_autoencoder, write_diffusers_folder
from tests.crashes import Crash, assert_same, final_state, run
from tests.helpers import error_of, one_error_line, trainer_of
from tests.runs import words, write_config
from training import latents
from training.checkpoints import save_checkpoint
from utils.files import sha256_of
from utils.images import to_float

LATENT = {
    "train.codec": "autoencoder",
    "denoiser_args": {"sigma_data": 1.0},
    "model_args": {
        "base_channels": 8,
        "channel_mult": [1, 2],
        "blocks_per_level": 1,
        "attention_resolutions": [4],
        "class_tokens": 2,
        "token_dim": 8,
    },
}


def latent(path, **more) -> dict:
    return {**copy.deepcopy(LATENT), "codec_args": {"path": str(path)}, **more}


@pytest.fixture
def codec_file(tmp_path):
    path = tmp_path / "autoencoder.safetensors"
    write_autoencoder(path)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An autoencoder is trained, a diffusion model on its latents; then the autoencoder's file is gone."""
    folder = tmp_path_factory.mktemp("latent")
    study = ["train.checkpoint_path=latest", f"inference.out_dir={folder / 'codec'}"]
    autoencoder = words(write_config(folder, "autoencoder"), folder)
    train.main(autoencoder)
    inference.main([*autoencoder, *study])
    path = folder / "codec" / "autoencoder.safetensors"
    config = write_config(folder, "diffusion", latent(path))
    train.main(words(config, folder))
    digest = sha256_of(path)
    path.unlink()
    return folder, config, digest


def sample(trained, out, *more: str) -> dict:
    folder, config, _ = trained
    arguments = ["train.checkpoint_path=latest", f"inference.out_dir={out}", "inference.num_images=4"]
    given = {word.partition("=")[0] for word in more}
    inference.main([*words(config, folder), *(w for w in arguments if w.partition("=")[0] not in given), *more])
    return json.loads((out / "metrics.json").read_text())["origin"]


def test_pictures_come_from_the_checkpoint_alone(trained, tmp_path):
    """The autoencoder's file is gone; the record still says which it was, and how good."""
    origin = sample(trained, tmp_path / "out")
    files = sorted((tmp_path / "out" / "images").rglob("*.png"))
    assert len(files) == 4
    codec = origin["codec"]
    assert (codec["name"], codec["sha256"], codec["step"]) == ("autoencoder", trained[2], 7)
    assert codec["latent_std"] > 0
    assert codec["results"]["psnr"] > 0
    assert origin["foreign_weights"] is False


def test_an_exported_model_has_its_codec_too(trained, tmp_path):
    """bfloat16 has 8 bits: the codec's weights are rounded like the model's."""
    folder, config, _ = trained
    published = tmp_path / "published"
    study = ["train.checkpoint_path=latest", "inference.study=export", f"inference.out_dir={published}"]
    inference.main([*words(config, folder), *study])
    origin = sample(trained, tmp_path / "out", f"train.checkpoint_path={published}")
    assert origin["codec"]["sha256"] == trained[2]
    state = torch.load(folder / "diffusion" / "checkpoints" / "step_00000007.pt", weights_only=True)
    trainer = trainer_of_export(trained, published)
    for name, tensor in state["fixed"]["codec"]["weights"].items():
        torch.testing.assert_close(trainer.codec.network.state_dict()[name], tensor, rtol=2**-8, atol=0)


def trainer_of_export(trained, published):
    from training.launch import load_trainer

    trainer = load_trainer([*words(trained[1], trained[0]), f"train.checkpoint_path={published}"])
    trainer.setup_inference()
    return trainer


def test_a_run_that_crashed_goes_on_without_the_codec_s_file_and_ends_in_the_same_bits(codec_file, tmp_path):
    config = write_config(tmp_path, "diffusion", {**latent(codec_file), "losses_coef": {"fragile_mse": 1.0}})
    run(config, tmp_path / "unbroken")
    with pytest.raises(Crash):
        run(config, tmp_path / "broken", crash_at=5)
    codec_file.unlink()
    run(config, tmp_path / "broken")
    assert_same(final_state(tmp_path / "unbroken", "diffusion"), final_state(tmp_path / "broken", "diffusion"))


def test_a_new_run_from_a_checkpoint_has_its_codec(trained):
    """With the very scale, not one measured anew."""
    folder, _, digest = trained
    file = folder / "diffusion" / "checkpoints" / "step_00000006.pt"
    changes = latent("gone", **{"dataset_args.num_images": 30})
    trainer = trainer_of(folder, "diffusion", f"train.checkpoint_path={file}", changes=changes)
    trainer.setup()
    kept = torch.load(file, weights_only=True)["fixed"]["codec"]
    assert (trainer.codec.std, trainer.codec.origin["sha256"]) == (kept["std"], digest)


def a_step(trainer):
    """Return the micro-batch and the outcome of the first step."""
    trainer.setup()
    trainer.open_run()
    (micro,) = trainer.micro_batches()
    outcome = trainer.denoise(micro, trainer.updaters["denoiser"].wrapped)
    trainer.loggers.close()
    trainer.run.close()
    return micro, outcome


def test_by_default_the_model_learns_the_very_images(tmp_path):
    micro, outcome = a_step(trainer_of(tmp_path, "diffusion"))
    assert outcome.clean is micro.images


def test_with_a_codec_the_model_learns_latents_that_need_no_random_numbers(codec_file, tmp_path):
    trainer = trainer_of(tmp_path, "diffusion", changes=latent(codec_file))
    micro, outcome = a_step(trainer)
    assert outcome.clean.shape == outcome.noise.shape == (8, 4, 8, 8)
    assert outcome.clean.dtype == torch.float32
    assert not outcome.clean.requires_grad
    assert torch.equal(outcome.clean, trainer.codec.encode(micro.images))
    assert not any(parameter.requires_grad for parameter in trainer.codec.parameters())


def test_latents_of_images_that_were_not_measured_have_unit_variance_too(codec_file, tmp_path, monkeypatch):
    monkeypatch.setattr(latents, "MEASURED", 20)
    changes = latent(codec_file, **{"dataset_args.num_images": 120})
    trainer = trainer_of(tmp_path, "diffusion", changes=changes)
    trainer.setup()
    others = [row for row in range(120) if row not in torch.linspace(0, 119, 20).round().long().tolist()]
    encoded = trainer.codec.encode(to_float(trainer.data.train.images_at(others)))
    assert encoded.std().item() == pytest.approx(1, abs=0.05)
    assert abs(trainer.codec.std - 1) > 0.2  # there was something to scale


def test_pretrained_weights_of_others_are_named_in_the_record(tmp_path):
    network = write_diffusers_folder(tmp_path / "vae")
    changes = latent(tmp_path / "vae", **{"train.codec": "diffusers_autoencoder_kl", "train.steps": 1})
    arguments = words(write_config(tmp_path, "diffusion", changes), tmp_path / "runs")
    train.main(arguments)
    out = tmp_path / "out"
    inference.main([*arguments, "train.checkpoint_path=latest", f"inference.out_dir={out}", "inference.num_images=2"])
    origin = json.loads((out / "metrics.json").read_text())["origin"]
    foreign = origin["foreign_weights"]["codec"]
    assert foreign["sha256"] == sha256_of(tmp_path / "vae")
    assert foreign["allowed_by_the_task"].startswith("yes")
    state = torch.load(tmp_path / "runs" / "diffusion" / "checkpoints" / "step_00000001.pt", weights_only=True)
    assert_same(dict(state["fixed"]["codec"]["weights"]), dict(network.state_dict()))


# ---- What does not fit.


def test_an_autoencoder_for_other_images_is_one_line(tmp_path, capsys):
    for name, settings, said in (
        ("size", {"size": 32}, "is for images of 32 pixels and 3 channels, the data has 16 and 3"),
        ("channels", {"channels": 1}, "is for images of 16 pixels and 1 channels, the data has 16 and 3"),
    ):
        write_autoencoder(tmp_path / name, **settings)
        assert said in error_of(capsys, tmp_path, "diffusion", changes=latent(tmp_path / name))


def test_a_unet_too_deep_for_the_latents_says_that_they_are_meant(codec_file, tmp_path, capsys):
    changes = latent(codec_file, **{"model_args.channel_mult": [1, 1, 1, 1, 1]})
    line = error_of(capsys, tmp_path, "diffusion", changes=changes)
    assert "8 is not a multiple of 16" in line
    assert "the images are the codec's latents, 4 channels of 8x8" in line


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train.codec": "autoencoder"}, "codec_args.path is missing"),
        ({"codec_args": {"path": "x"}}, "codec_args.path is not a config key: IdentityCodec takes none, remove it"),
        (
            latent("no/such.file"),
            "codec_args: path=no/such.file: there is no such autoencoder; the study `reconstruct`",
        ),
        ({"train.codec": "autoencodr"}, "train.codec: 'autoencodr' is no codec. Did you mean 'autoencoder'?"),
        (
            latent("x", **{"train.guidance": "classifier", "train.guide_path": "y"}),
            "train.guidance=classifier knows images, not the latents of train.codec",
        ),
    ],
)
def test_a_codec_that_cannot_be_had_is_one_line(changes, said, tmp_path, capsys):
    assert said in error_of(capsys, tmp_path, "diffusion", changes=changes)


def test_a_checkpoint_of_another_codec_is_one_line(trained, tmp_path, capsys):
    pixels = {"train.codec": "identity", "codec_args": {}}
    config = write_config(tmp_path, "diffusion", {**latent("gone"), **pixels})
    line = one_error_line(capsys, inference.main, [*words(config, trained[0]), "train.checkpoint_path=latest"])
    assert "was trained with train.codec=autoencoder, not identity" in line


def test_a_checkpoint_from_before_there_were_codecs_is_one_on_pixels(tmp_path, capsys):
    arguments = words(write_config(tmp_path, "diffusion"), tmp_path, "train.steps=1")
    train.main(arguments)
    file = tmp_path / "diffusion" / "checkpoints" / "step_00000001.pt"
    state = torch.load(file, weights_only=True)
    del state["fixed"], state["checksum"]
    save_checkpoint(state, tmp_path / "old.pt")
    study = [f"train.checkpoint_path={tmp_path / 'old.pt'}", f"inference.out_dir={tmp_path / 'out'}"]
    inference.main([*arguments, *study, "inference.num_images=2"])
    assert len(list((tmp_path / "out" / "images").rglob("*.png"))) == 2
    other = ["train.codec=autoencoder", "codec_args.path=gone"]
    line = one_error_line(capsys, inference.main, [*arguments, *study, *other])
    assert "was trained with train.codec=identity, not autoencoder" in line


def test_a_likelihood_of_latents_is_none_of_images(trained, capsys):
    folder, config, _ = trained
    study = ["train.checkpoint_path=latest", "inference.study=bits_per_dim"]
    line = one_error_line(capsys, inference.main, [*words(config, folder), *study])
    assert "bounds the likelihood of images, not that of latents" in line


def test_a_guide_on_another_codec_is_one_line(tmp_path, capsys):
    """Both are of the same shapes: it would guide through latents that mean something else."""
    for seed, name in enumerate(("first", "second")):
        write_autoencoder(tmp_path / "autoencoder", seed=seed)
        config = write_config(tmp_path, "diffusion", latent(tmp_path / "autoencoder", **{"train.steps": 1}))
        train.main([*words(config, tmp_path), f"exp.run_name={name}"])
    guide = tmp_path / "first" / "checkpoints" / "step_00000001.pt"
    guided = ["exp.run_name=second", "train.guidance=auto", f"train.guide_path={guide}"]
    more = ["train.checkpoint_path=latest", f"inference.out_dir={tmp_path / 'out'}"]
    line = one_error_line(capsys, inference.main, [*words(config, tmp_path), *guided, *more])
    assert "has another codec than this model" in line
