"""What a model or a sampler cannot take is one line that names the setting; checked over whole registries."""

import pytest
import torch

import inference
import train
from models.diffusion.denoisers import DDPMDenoiser
from models.registry import (
    autoencoders_registry,
    classifiers_registry,
    diffusion_models_registry,
    discs_registry,
    gens_registry,
)
from sampling.registry import guidance_registry, samplers_registry, sampling_levels_registry
from tests.helpers import error_of, one_error_line, write_image_folder
from tests.runs import FAMILIES, words, write_config
from utils.batch import Condition
from utils.errors import ConfigError
from utils.seeding import ImageRng

NETWORKS = {
    "generator": gens_registry,
    "discriminator": discs_registry,
    "diffusion": diffusion_models_registry,
    "classifier": classifiers_registry,
    "autoencoder": autoencoders_registry,
}
SIZES = [1, 2, 3, 4, 6, 7, 8, 9, 12, 16, 18, 20, 24, 33]


def answer(kind: str, network, size: int):
    """Run a network on one picture of its size, or make one."""
    x, cond = torch.randn(2, 3, size, size), Condition(labels=torch.tensor([0, 1]))
    if kind == "generator":
        return network(torch.randn(2, network.z_dim), cond)
    if kind == "discriminator":
        return network(x, cond)
    if kind == "autoencoder":
        return network(x).images
    return network(x, torch.zeros(2), cond) if kind == "diffusion" else network(x, torch.zeros(2))


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, known in NETWORKS.items() for name in known])
def test_a_network_takes_an_image_size_or_names_it_in_its_refusal(kind, name):
    """Whatever the constructor lets pass must work; what it refuses it must call ``image_size``."""
    cls, taken = NETWORKS[kind][name], []
    classes = {} if kind == "autoencoder" else {"num_classes": 3}
    for size in SIZES:
        try:
            network = cls(image_size=size, image_channels=3, **classes, **cls.smallest)
        except ConfigError as error:
            assert f"image_size {size}" in str(error) or "attention" in str(error), str(error)
            continue
        made = answer(kind, network, size)
        assert made.isfinite().all()
        assert kind not in ("generator", "diffusion", "autoencoder") or made.shape == (2, 3, size, size)
        taken.append(size)
    assert 16 in taken and not {1, 7, 9, 33} & set(taken)


class Still(torch.nn.Module):
    """A backbone that answers half of what it sees."""

    def forward(self, x, c_noise, cond):
        return 0.5 * x


@pytest.mark.parametrize("levels", sampling_levels_registry)
@pytest.mark.parametrize("name", samplers_registry)
@pytest.mark.parametrize("steps", [1, 2])
def test_one_step_is_enough_for_every_sampler_and_its_cost_is_told(name, levels, steps):
    """None of them needs a past: those of higher order fall back to first order for want of one."""

    class Counting(Still):
        calls = 0

        def forward(self, *inputs):
            Counting.calls += 1
            return super().forward(*inputs)

    denoiser, rng = DDPMDenoiser(Counting()), ImageRng(0, range(2))
    sigmas = sampling_levels_registry[levels](steps=steps).levels(denoiser)
    assert len(sigmas) == steps + 1 and sigmas[0] > sigmas[-1] == 0
    sampler = samplers_registry[name]()
    images = sampler(denoiser, rng.randn((3, 4, 4)), Condition(), sigmas, rng)
    assert images.isfinite().all()
    assert Counting.calls == sampler.evaluations(steps)


@pytest.mark.parametrize("levels", sampling_levels_registry)
@pytest.mark.parametrize("steps", [0, -1])
def test_fewer_steps_than_one_are_refused(capsys, tmp_path, levels, steps):
    words = [f"train.sampling_levels={levels}", f"sampling_levels_args.steps={steps}"]
    line = error_of(capsys, tmp_path, "diffusion", *words)
    assert f"sampling_levels_args.steps={steps}: it should be greater than or equal to 1" in line


@pytest.mark.parametrize("key", ["train.val_sampling_steps", "inference.num_images", "inference.seeds"])
def test_counts_of_nothing_are_refused(capsys, tmp_path, key):
    assert f"{key}=0: it should be greater" in error_of(capsys, tmp_path, "diffusion", f"{key}=0")


@pytest.mark.parametrize("name", guidance_registry)
def test_guidance_of_an_unconditional_model(capsys, tmp_path, name):
    """Those that guide towards a label say so at once; autoguidance needs none, and works."""
    changes = {"data.conditional": False, "train.label_dropout": 0.0}
    config = write_config(tmp_path, "diffusion", changes)
    train.main(words(config, tmp_path, "train.steps=1"))
    checkpoint = tmp_path / "diffusion" / "checkpoints" / "step_00000001.pt"
    guided = ["train.checkpoint_path=latest", f"train.guidance={name}", "inference.num_images=2"]
    guided += ["train.label_dropout=0.1"] if name == "cfg" else [f"train.guide_path={checkpoint}"]
    arguments = words(config, tmp_path, *guided)
    capsys.readouterr()
    if name == "auto":
        inference.main(arguments)
    else:
        line = one_error_line(capsys, inference.main, arguments)
        assert f"train.guidance={name} needs a model with classes: this one is unconditional" in line


@pytest.fixture(scope="module")
def two_kinds(tmp_path_factory):
    """A folder of two classes, one of three, and for each family a checkpoint of the two."""
    root = tmp_path_factory.mktemp("two_kinds")
    for seed, split in enumerate(("train", "test")):
        write_image_folder(root / "two" / split, {"pie": 8, "soup": 8}, seed=seed)
        write_image_folder(root / "three" / split, {"pie": 8, "soup": 8, "tart": 8}, seed=seed)
    for family in FAMILIES:
        folders = [f"data.input_train_dir={root}/two/train", f"data.input_val_dir={root}/two/test"]
        train.main(words(*config_of(root, family), *folders, "train.steps=1", "exp.run_name=two"))
    train.main(words(*config_of(root, "gan"), *three(root), "exp.check=True"))  # finds leaks with a progress bar
    return root


def config_of(root, family: str):
    """Write the family's config; return it and its folder of runs."""
    changes = {"data.dataset": "base_dataset", "dataset_args": None, "data.train_batch_size": 4}
    return write_config(root, family, changes), root / family


def three(root) -> list[str]:
    return [f"data.input_train_dir={root}/three/train", f"data.input_val_dir={root}/three/test"]


def checkpoint(root, family: str):
    return root / family / "two" / "checkpoints" / "step_00000001.pt"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("key", ["train.checkpoint_path", "train.init_from"])
def test_training_from_a_checkpoint_of_fewer_classes_than_the_data(two_kinds, capsys, family, key):
    arguments = words(*config_of(two_kinds, family), *three(two_kinds))
    line = one_error_line(capsys, train.main, [*arguments, f"{key}={checkpoint(two_kinds, family)}"])
    assert "is of a model with num_classes 2, and the data's is 3" in line
    assert "train.init_from" in line or "exp.run_name" in line


@pytest.mark.parametrize("family", FAMILIES)
def test_going_on_in_a_run_of_other_classes(two_kinds, capsys, family):
    arguments = words(*config_of(two_kinds, family), *three(two_kinds))
    line = one_error_line(capsys, train.main, [*arguments, "exp.run_name=two", "train.steps=2"])
    assert "num_classes 2, and the data's is 3" in line and "exp.run_name=NAME" in line


@pytest.mark.parametrize("family", FAMILIES)
def test_judging_a_checkpoint_by_data_of_other_classes(two_kinds, capsys, family):
    arguments = words(*config_of(two_kinds, family), *three(two_kinds))
    arguments += [f"train.checkpoint_path={checkpoint(two_kinds, family)}"]
    line = one_error_line(capsys, inference.main, arguments)
    assert "num_classes 2, and the data's is 3" in line and "data.input_val_dir" in line


def test_a_guide_of_other_classes(two_kinds, capsys):
    config, runs = config_of(two_kinds, "diffusion")
    train.main(words(config, runs, *three(two_kinds), "train.steps=1", "exp.run_name=three"))
    capsys.readouterr()
    guide = ["train.guidance=auto", f"train.guide_path={checkpoint(two_kinds, 'diffusion')}"]
    arguments = words(config, runs, "exp.run_name=three", "train.checkpoint_path=latest", *guide)
    assert "num_classes 2, and the data's is 3" in one_error_line(capsys, inference.main, arguments)
