"""A wrong command ends with one line that names the key and the fix, exit status 2, no traceback and no run folder."""

from dataclasses import fields, is_dataclass
from typing import get_type_hints

import pytest
import torch

import train
from tests.helpers import error_of, one_error_line
from tests.runs import words, write_config
from training.launch import load_trainer
from training.trainers.registry import FAMILIES, trainer_class

FAMILY_NAMES = sorted(FAMILIES)


def schema_of(family: str) -> type:
    return trainer_class(family, "").schema


def sections_of(family: str) -> dict[str, type]:
    return {key: hint for key, hint in get_type_hints(schema_of(family)).items() if is_dataclass(hint)}


def roles_of(family: str) -> dict[str, str]:
    """Name the config key of every role, by role."""
    return {role: f"{entry.section}.{role}" for role, entry in trainer_class(family, "").role_table.items()}


every_section = pytest.mark.parametrize(
    ("family", "name"), [(family, name) for family in FAMILY_NAMES for name in sections_of(family)]
)
every_role = pytest.mark.parametrize(
    ("family", "role"), [(family, role) for family in FAMILY_NAMES for role in roles_of(family)]
)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_every_misspelt_section(capsys, tmp_path, family):
    for field in fields(schema_of(family)):
        line = error_of(capsys, tmp_path, family, f"{field.name}z.a=1")
        assert line == f"error: {field.name}z is not a config key. Did you mean '{field.name}'?"


@every_section
def test_every_misspelt_key_of_a_section(capsys, tmp_path, family, name):
    for field in fields(sections_of(family)[name]):
        line = error_of(capsys, tmp_path, family, f"{name}.{field.name}z=1")
        assert line == f"error: {name}.{field.name}z is not a config key. Did you mean '{field.name}'?"


@every_section
def test_every_key_that_holds_something_of_another_type(capsys, tmp_path, family, name):
    for field in fields(sections_of(family)[name]):
        if field.name in ("config_path", "exp_dir", "device", "model_type", "trainer"):
            continue  # the first three are on the command line already; the other two choose the schema
        line = error_of(capsys, tmp_path, family, f"{name}.{field.name}={{a: 1}}")
        assert line.startswith(f'error: {name}.{field.name}={{"a": 1}}: it should be ')


@every_role
def test_every_role_that_names_an_unknown_class(capsys, tmp_path, family, role):
    registry = trainer_class(family, "").role_table[role].registry
    line = error_of(capsys, tmp_path, family, f"{roles_of(family)[role]}=zzz")
    known = ", ".join(sorted(registry))
    assert line == f"error: {roles_of(family)[role]}: 'zzz' is no {registry.kind}. Known: {known}."


@every_role
def test_every_role_with_an_argument_that_its_class_does_not_take(capsys, tmp_path, family, role):
    line = error_of(capsys, tmp_path, family, f"{role}_args.nonsense=1")
    key = roles_of(family)[role].removeprefix("train.")
    if getattr(load_trainer(words(write_config(tmp_path, family), tmp_path)).config.train, key, "") is None:
        assert line == f"error: {role}_args is set but train.{role} names no class: name one"
    else:
        assert line.startswith(f"error: {role}_args.nonsense is not a config key")


OVERRIDES: list[tuple[str, str, tuple[str, ...]]] = [
    # family, overrides, what the line must say
    ("diffusion", "exp.model_type=difusion", ("exp.model_type", "Did you mean 'diffusion'?")),
    ("diffusion", "exp.model_type=3", ("exp.model_type=3", "a name")),
    ("diffusion", "train.trainer=base_difusion_trainer", ("train.trainer", "Did you mean 'base_diffusion_trainer'?")),
    ("gan", "train.trainer=base_diffusion_trainer", ("train.trainer", "no GAN trainer", "base_gan_trainer")),
    ("diffusion", "train.val_metrics=[fdi]", ("train.val_metrics", "Did you mean 'fid'?")),
    ("diffusion", "train.val_metrics=fid", ("train.val_metrics", "list")),
    ("diffusion", "metrics_args.fdi.dims=64", ("metrics_args", "Did you mean 'fid'?")),
    ("diffusion", "metrics_args.fid.dmis=64", ("metrics_args.fid.dmis", "Did you mean 'dims'?")),
    ("diffusion", "metrics_args.fid.dims=100", ("metrics_args.fid: dims=100", "64, 192, 768 or 2048")),
    ("diffusion", "losses_coef.msee=1", ("losses_coef", "Did you mean 'mse'?")),
    ("diffusion", "losses_coef.edm=much", ("losses_coef.edm", "number")),
    ("diffusion", "losses_coef.edm=-1", ("losses_coef.edm=-1", "greater than 0")),
    ("diffusion", "losses_args.edm.p=1", ("losses_args.edm.p", "takes none, remove it")),
    ("diffusion", "losses_args.mse.p=1", ("losses_args.mse", "no loss of that name is used: remove it")),
    ("gan", "gen_losses.softplus=1", ("gen_losses", "Did you mean 'softplus_gen'?")),
    ("gan", "gen_losses.hinge_disc=1", ("gen_losses", "no generator loss", "hinge_gen")),
    ("gan", "disc_losses=null", ("disc_losses is empty", "name a loss, such as disc_losses.")),
    ("gan", "losses_args.r1.intervall=2", ("losses_args.r1.intervall", "Did you mean 'interval'?")),
    ("gan", "losses_args.r1.interval=0", ("losses_args.r1.interval=0", "greater than or equal to 1")),
    ("gan", "losses_args.r1.until=2", ("losses_args.r1.until=2", "less than or equal to 1")),
    ("gan", "disc_losses.softplus_disc=null", ("r1: each skips steps", "computed at every step")),
    ("diffusion", "losses_coef.edm_uncertainty=1", ("edm_uncertainty needs", "denoiser_args.uncertainty_channels=64")),
    (
        "diffusion",
        "train.denoiser=ddpm train.levels=table levels_args=null train.sampling_levels=respaced "
        "sampling_levels_args=null losses_coef.edm_uncertainty=1",
        ("edm_uncertainty needs", "train.denoiser=edm"),
    ),
    ("gan", "train.disc_steps=0", ("train.disc_steps=0", "greater than or equal to 1")),
    (
        "gan",
        "train.disc_augment=diffaugment disc_augment_args.policy=[colour]",
        ("disc_augment_args.policy.0", "'color', 'translation' or 'cutout'"),
    ),
    (
        "gan",
        "train.schedule=cosine schedule_args.warmup=0.5 schedule_args.until=0.2",
        ("schedule_args", "until=0.2", "warmup=0.5"),
    ),
    ("diffusion", "inference.study=smaple", ("inference.study", "Did you mean 'sample'?")),
    ("diffusion", "data.augmentations=[horizontal_flap]", ("data.augmentations", "Did you mean 'horizontal_flip'?")),
    (
        "diffusion",
        "data.augmentations=[random_shift] augmentations_args.random_shift.reach=1.0",
        ("augmentations_args.random_shift.reach=1.0", "less than 1"),
    ),
    ("diffusion", "augmentations_args.random_shift.reach=0.1", ("augmentations_args.random_shift", "add it there")),
    ("gan", "train.model=unet", ("train.model is not a config key", "generator")),
    ("diffusion", "train.steps=many", ('train.steps="many"', "integer")),
    ("diffusion", "train.steps=1.5", ("train.steps=1.5", "integer")),
    ("diffusion", "train.steps=true", ("train.steps=true", "integer")),
    ("diffusion", "train.steps=0", ("train.steps=0", "greater than or equal to 1")),
    ("diffusion", "train.label_dropout=1.5", ("train.label_dropout=1.5", "less than or equal to 1")),
    ("diffusion", "train.amp=fp8", ('train.amp="fp8"', "'auto', 'bf16', 'fp16' or 'off'")),
    ("diffusion", "train.amp=fp16", ("train.amp=fp16 needs a GPU", "train.amp=off")),
    ("diffusion", "optimizer_args.lr=-1", ("optimizer_args.lr=-1", "greater than 0")),
    ("diffusion", "optimizer_args.lr=fast", ('optimizer_args.lr="fast"', "number")),
    ("diffusion", "optimizer_args.lr=.inf", ("optimizer_args.lr=Infinity", "finite")),
    ("diffusion", "optimizer_args.betas=[0,0.9,1]", ("optimizer_args", "betas", "two numbers in [0, 1)")),
    ("diffusion", "model_args.base_channels=7", ("model_args", "base_channels must be even")),
    ("diffusion", "model_args.num_classes=3", ("model_args.num_classes", "remove it")),
    ("diffusion", "model_args.out_channels=6", ("model_args.out_channels", "remove it")),
    ("diffusion", "model_args.token_dim=64", ("model_args: token_dim", "class_tokens is 0: remove it")),
    ("diffusion", "model_args=3", ("model_args=3", "a section")),
    (
        "diffusion",
        "train.codec=autoencoder codec_args.path=no/such train.sampler=ddim",
        ("train.sampler=ddim", "train.codec=autoencoder", "sampler_args.clip=false"),
    ),
    (
        "diffusion",
        "train.codec=autoencoder codec_args.path=no/such train.sampler=ddpm sampler_args.clip=false",
        ("no/such",),
    ),
    ("diffusion", "train.model=base_diffusion", ("model_args", "hidden_dim", "missing: set it")),
    ("diffusion", "train.levels=table", ("levels_args", "train.levels=lognormal")),
    ("diffusion", "train.sampling_levels=respaced", ("sampling_levels_args", "take 'karras'")),
    ("diffusion", "dataset_args.num_images=0", ("dataset_args.num_images=0", "greater than or equal to 1")),
    ("diffusion", "data.image_size=17", ("data.image_size 17", "multiple of 2")),
    ("diffusion", "data.dev_per_class=40", ("lower data.dev_per_class",)),
    ("diffusion", "train.freeze=[head]", ("train.freeze", "'head'", "backbone.")),
    ("diffusion", "train.start_step=3", ("train.start_step", "train.checkpoint_path", "nothing to start from")),
    ("diffusion", "train.accumulate=3", ("data.train_batch_size=8", "train.accumulate=3", "choose a multiple")),
    ("diffusion", "train.guidance=cfg train.label_dropout=0", ("train.guidance=cfg", "train.label_dropout=0.1")),
    ("diffusion", "data.conditional=false", ("train.label_dropout hides labels", "set it to 0")),
    ("diffusion", "train.guidance=cfg data.conditional=false", ("guidance", "unconditional", "leave guidance out")),
    ("diffusion", "train.guidance=classifier", ("guidance_args", "'classifier' needs one", "train.guide_path=FILE")),
    ("diffusion", "train.guide_path=no/such", ("train.guide_path is set, but train.guidance=None", "remove it")),
    ("diffusion", "train.guidance=cfg train.guide_path=no/such", ("train.guidance=cfg asks no other: remove it",)),
    (
        "diffusion",
        "train.guidance=classifier train.guide_path=no/such",
        ("train.guide_path=no/such: there is no such classifier", "the study `classify`"),
    ),
    ("supervised", "inference.num_images=3", ("inference.num_images is not a config key",)),
    ("diffusion", "train.checkpoint_path=no/such.pt", ("train.checkpoint_path=no/such.pt", "no checkpoint: name one")),
    ("diffusion", "train.init_from=no/such.pt", ("train.init_from=no/such.pt", "no checkpoint: name one")),
    ("diffusion", "data.dataset=packed", ("data.input_train_dir is missing", "reads a folder")),
    ("diffusion", "data.input_train_dir=here", ("data.input_train_dir", "reads no folder: remove it")),
    (
        "diffusion",
        "data.dataset=packed data.input_train_dir=no/such",
        ("data.input_train_dir: no/such is not a folder",),
    ),
    ("diffusion", "exp.run_name=../out", ("exp.run_name=../out", "exp.exp_dir")),
    ("diffusion", "exp.run_name=/out", ("exp.run_name=/out", "exp.exp_dir")),
    ("diffusion", "exp.run_name=..", ("exp.run_name=..", "exp.exp_dir")),
    ("gan", "train.val_metrics=[classification]", ("train.val_metrics", "sets of images", "a gan model", "fid, kid")),
    ("supervised", "train.val_metrics=[fid]", ("'fid' does not judge predictions", "these do: classification")),
    ("supervised", "inference.study=sample", ("inference.study", "no study of a classifier", "classify")),
    ("supervised", "losses_coef.mse=1", ("losses_coef", "no supervised loss", "cross_entropy")),
    ("supervised", "losses_args.cross_entropy.label_smoothing=2", ("label_smoothing=2", "less than or equal to 1")),
    ("supervised", "data.conditional=false", ("data.conditional=false hides the labels", "remove it")),
    ("supervised", "train.levels=table", ("levels_args", "train.levels=lognormal")),
    ("supervised", "model_args.noise_conditional=true", ("model_args.noise_conditional", "remove it")),
    ("supervised", "model_args.channel_mult=[]", ("model_args", "channel_mult is empty")),
    (
        "supervised",
        "data.image_size=18",
        ("data.image_size 18", "multiple of 4", "patch 2 with the 2 levels of channel_mult"),
    ),
    # What is wrong with the words themselves.
    ("diffusion", "train.steps", ("'train.steps' is not an override", "section.key=value")),
    ("diffusion", "--steps=3", ("'--steps=3' is not an override", "section.key=value")),
    ("diffusion", "train..steps=3", ("'train..steps=3' is not an override", "section.key=value")),
    ("diffusion", "train.steps=[3", ("'train.steps=[3' cannot be read",)),
    ("diffusion", "train.steps=3 train.steps=4", ("train.steps is given twice", "keep one")),
    ("diffusion", "train.steps=${nothing}", ("interpolation", "nothing")),
    ("diffusion", "train.steps=null", ("train.steps is missing", "train.steps=...")),
    ("diffusion", "train=null", ("train is missing",)),
    ("diffusion", "trian=null", ("trian is not a config key", "Did you mean 'train'?")),
    ("diffusion", "train.max_grad_nrom=null", ("train.max_grad_nrom", "Did you mean 'max_grad_norm'?")),
]


@pytest.mark.parametrize(("family", "overrides", "said"), OVERRIDES, ids=[f"{f}: {o}" for f, o, _ in OVERRIDES])
def test_one_line_names_the_key_and_the_fix(capsys, tmp_path, family, overrides, said):
    line = error_of(capsys, tmp_path, family, *overrides.split())
    assert [part for part in said if part not in line] == [], line


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("gpu", "is not a device: use auto, cpu, cuda or cuda:0"),
        ("meta", "is not supported: use exp.device=cpu"),
        ("mps", "use exp.device=cpu"),
        ("cuda", "use exp.device=cpu"),
        ("cuda:7", ""),
    ],
)
def test_a_device_that_is_not_here(capsys, tmp_path, device, said):
    if torch.cuda.is_available() and device == "cuda":
        pytest.skip("it is here")
    arguments = words(write_config(tmp_path, "gan"), tmp_path / "runs")
    line = one_error_line(capsys, train.main, [*arguments[:-1], f"exp.device={device}"])
    assert f"exp.device={device}" in line
    assert said in line


def test_a_table_length_for_a_denoiser_without_a_table(capsys, tmp_path):
    changes = {"train.model": "base_diffusion", "model_args": {"hidden_dim": 32, "num_steps": 77}}
    line = error_of(capsys, tmp_path, "diffusion", changes=changes)
    assert line == "error: model_args.num_steps is a table's length, train.denoiser=edm has none: remove it"


def test_two_table_lengths_are_one_too_many(capsys, tmp_path):
    changes = {"train.model": "base_diffusion", "model_args": {"hidden_dim": 32, "num_steps": 20}, "levels_args": None}
    overrides = ["train.denoiser=ddpm", "denoiser_args.num_steps=30"]
    line = error_of(capsys, tmp_path, "diffusion", *overrides, changes=changes)
    assert "model_args.num_steps=20 and denoiser_args.num_steps=30 differ: keep one" in line
