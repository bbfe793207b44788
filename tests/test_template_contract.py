"""People come from the task's template: its names, its keys and its configs work here."""

import json
from copy import deepcopy

import pytest

import inference
import train
from datasets.registry import datasets_registry
from metrics.registry import metrics_registry
from models.registry import diffusion_models_registry, discs_registry, gens_registry
from tests.helpers import write_image_folder
from training.launch import load_trainer
from training.losses.registry import disc_losses_registry, gen_losses_registry, losses_registry
from training.registry import optimizers_registry
from training.trainers.registry import diffusion_trainers_registry, gan_trainers_registry
from utils.config import find, to_yaml

NAMES = [
    (datasets_registry, "base_dataset"),
    (metrics_registry, "fid"),
    (gens_registry, "base_gen"),
    (discs_registry, "base_disc"),
    (diffusion_models_registry, "base_diffusion"),
    (optimizers_registry, "adam"),
    (gen_losses_registry, "softplus_gen"),
    (disc_losses_registry, "softplus_disc"),
    (losses_registry, "mse"),
    (gan_trainers_registry, "base_gan_trainer"),
    (diffusion_trainers_registry, "base_diffusion_trainer"),
]
TRAIN = {
    "checkpoint_path": None,
    "val_metrics": [],
    "start_step": 0,
    "steps": 2,
    "log_step": 1,
    "checkpoint_step": 2,
    "val_step": 2,
}
COMMON = {
    "exp": {"exp_dir": "runs", "device": "cpu", "seed": 42, "use_wandb": False},
    "data": {"train_batch_size": 4, "val_batch_size": 32, "workers": 0},
}
DIFFUSION = {
    **COMMON,
    "exp": {**COMMON["exp"], "model_type": "diffusion"},
    "train": {"trainer": "base_diffusion_trainer", "model": "base_diffusion", "optimizer": "adam", **TRAIN},
    "model_args": {"hidden_dim": 32},
    "optimizer_args": {"lr": 1e-4, "betas": [0, 0.99]},
    "losses_coef": {"mse": 1.0},
    "losses_args": {"mse": {}},
}
GAN = {
    **COMMON,
    "exp": {**COMMON["exp"], "model_type": "gan"},
    "train": {
        "trainer": "base_gan_trainer",
        "generator": "base_gen",
        "discriminator": "base_disc",
        "gen_optimizer": "adam",
        "disc_optimizer": "adam",
        **TRAIN,
    },
    "generator_args": {"z_dim": 16, "hidden_dim": 16, "blocks_num": 4},
    "discriminator_args": {"hidden_dim": 16, "blocks_num": 4},
    "gen_optimizer_args": {"lr": 1e-4, "betas": [0, 0.99]},
    "disc_optimizer_args": {"lr": 1e-4, "betas": [0, 0.99]},
    "gen_losses": {"softplus_gen": 1.0},
    "disc_losses": {"softplus_disc": 1.0},
    "losses_args": {},
}
TEMPLATES = {"diffusion": DIFFUSION, "gan": GAN}
SAMPLED = {"diffusion": "denoiser", "gan": "generator"}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Photos of another size than the model's, in class folders."""
    root = tmp_path_factory.mktemp("images")
    write_image_folder(root / "train", {"pie": 4, "soup": 3}, size=24, seed=0)
    write_image_folder(root / "val", {"pie": 2, "soup": 2}, size=24, seed=1)
    return root


def template(folder, images, family: str, **train_keys) -> list[str]:
    """Write a template config and return the words of its command."""
    tree = deepcopy(TEMPLATES[family])
    tree["exp"]["exp_dir"] = str(folder / "runs")
    tree["data"] |= {f"input_{split}_dir": str(images / split) for split in ("train", "val")}
    tree["train"] |= train_keys
    (folder / f"{family}.yaml").write_text(to_yaml(tree))
    return [f"exp.config_path={folder / family}.yaml"]


@pytest.mark.parametrize(("registry", "name"), NAMES, ids=[name for _, name in NAMES])
def test_the_template_s_names_exist(registry, name):
    assert name in registry


@pytest.mark.parametrize("family", TEMPLATES)
def test_a_template_config_trains_unchanged_and_draws_from_its_checkpoint(family, tmp_path, images):
    words = template(tmp_path, images, family)
    train.main(words)
    run = tmp_path / "runs" / family
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged] == [1, 2, 2]  # losses, and a look at the end
    assert set(losses_of(family)) <= logged[0].keys()
    checkpoint = run / "checkpoints" / "step_00000002.pt"
    inference.main([*words, f"train.checkpoint_path={checkpoint}", f"inference.out_dir={tmp_path / 'out'}"])
    made = sorted(path.relative_to(tmp_path / "out" / "images").parts[0] for path in (tmp_path / "out").rglob("0*.png"))
    assert made == ["pie", "pie", "soup", "soup"]  # as the validation folder has them


def losses_of(family: str) -> list[str]:
    sections = ("losses_coef", "gen_losses", "disc_losses")
    return [name for section in sections for name in TEMPLATES[family].get(section, {})]


@pytest.mark.parametrize("family", TEMPLATES)
def test_every_key_of_the_template_is_accepted(family, tmp_path, images):
    """What it sets is what the trainer reads, the metric's name included."""
    trainer = load_trainer(template(tmp_path, images, family, val_metrics=["fid"]))
    trainer.check_config()
    config = trainer.config
    assert (config.exp.seed, config.exp.model_type, config.train.trainer) == (42, family, f"base_{family}_trainer")
    assert config.data.input_train_dir == str(images / "train")
    assert config.train.val_metrics == ["fid"]
    assert config.train.checkpoint_path is None
    for key in ("steps", "log_step", "checkpoint_step", "val_step", "start_step"):
        assert getattr(config.train, key) == TRAIN[key]
    for role, arguments in TEMPLATES[family].items():
        if role.endswith("_args") and role != "losses_args":
            assert getattr(config, role) == arguments


def test_a_template_diffusion_config_gets_ddpm_and_ddim_with_fifty_steps(tmp_path, images):
    trainer = load_trainer(template(tmp_path, images, "diffusion"))
    trainer.setup()
    assert trainer.roles.name("denoiser") == "ddpm"
    assert trainer.roles.name("sampler") == "ddim"
    assert len(trainer.sampling_levels) == 50 + 1  # the last one is 0
    assert find(trainer.describe_sampling(), ["evaluations_per_image"]) == 50


@pytest.mark.parametrize(("words", "length"), [((), 1000), (("model_args.num_steps=60",), 60)])
def test_the_denoiser_s_table_is_as_long_as_the_template_s_num_steps(tmp_path, images, words, length):
    trainer = load_trainer([*template(tmp_path, images, "diffusion"), *words])
    trainer.setup()
    assert len(trainer.networks["denoiser"].table) == length


def test_the_same_number_in_both_places_is_fine(tmp_path, images):
    words = ["model_args.num_steps=60", "denoiser_args.num_steps=60"]
    trainer = load_trainer([*template(tmp_path, images, "diffusion"), *words])
    trainer.setup()
    assert len(trainer.networks["denoiser"].table) == 60


def test_two_different_numbers_are_an_error(tmp_path, images, capsys):
    words = ["model_args.num_steps=60", "denoiser_args.num_steps=70"]
    with pytest.raises(SystemExit) as stopped:
        train.main([*template(tmp_path, images, "diffusion"), *words])
    assert stopped.value.code == 2
    assert "model_args.num_steps=60 and denoiser_args.num_steps=70 differ: keep one" in capsys.readouterr().err


@pytest.mark.parametrize("family", TEMPLATES)
def test_training_takes_exactly_its_steps_and_leaves_networks_in_train_mode(family, tmp_path, images):
    """The template took one update too many, and never came back from validation to train mode."""
    trainer = load_trainer(template(tmp_path, images, family))
    trainer.setup()
    trainer.training_loop()
    assert trainer.step == 2
    assert all(network.training for network in trainer.networks.values())
    optimizers = [updater.optimizer for updater in trainer.updaters.values()]
    assert {int(state["step"]) for optimizer in optimizers for state in optimizer.state.values()} == {2}
    assert not trainer.average.training
    assert SAMPLED[family] == trainer.averaged
