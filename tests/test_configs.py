"""Every config in configs/ fits the code, and says what it is for."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import train
from models.autoencoders.export import export_autoencoder
from models.autoencoders.kl import KLAutoencoder
from models.classifiers.export import Description, export_classifier
from models.classifiers.resnet import ResNet
from training.launch import load_trainer
from training.trainers.registry import trainer_class
from utils.config import find, load_tree, read_file, read_yaml

ROOT = Path(__file__).parents[1]
SMALL = ROOT / "configs" / "experiments"  # those of the reports have a header of their own (tests/report)
STUDIES = [path for path in SMALL.rglob("*.yaml") if "of" in read_yaml(path)]  # train nothing
FILES = sorted(
    path for path in (ROOT / "configs").rglob("*.yaml") if path.parent.name != "base" and path not in STUDIES
)
EXPERIMENTS = [path for path in FILES if path.parent.name != "inference" and SMALL not in path.parents]
INFERENCE = [path for path in FILES if path.parent.name == "inference"]


@pytest.mark.parametrize("name", ["food101_kl", "food101_kl_cpu"])
def test_an_autoencoder_s_study_writes_beside_its_own_run(name):
    """Under its own name where the latent config looks for it; under another one not over it."""
    words = [f"exp.config_path={ROOT}/configs/inference/{name}.yaml"]
    assert load_tree(words)["inference"]["out_dir"] == f"runs/{name}/codec"
    other = load_tree([*words, "exp.run_name=mine", "exp.exp_dir=else where"])
    assert other["inference"]["out_dir"] == "else where/mine/codec"


@pytest.fixture(scope="module")
def tiny_food(tmp_path_factory):
    """A folder laid out as Food-101: three classes, a few noisy pictures."""
    root, rng = tmp_path_factory.mktemp("food"), np.random.default_rng(0)
    for split, count in (("train", 5), ("test", 2)):
        for label, name in enumerate(("bun", "roll", "tart")):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{label}{number}.png")
    return root


@pytest.fixture(scope="module")
def guide(tmp_path_factory):
    """A classifier of noisy pictures of these classes, as an export to guide by."""
    arguments = {"image_size": 64, "image_channels": 3, "num_classes": 3, "base_channels": 8, "noise_conditional": True}
    path = tmp_path_factory.mktemp("guide") / "classifier.safetensors"
    names = ["bun", "roll", "tart"]
    export_classifier(path, ResNet(**arguments), Description("resnet", arguments, names, {}))
    return path


def use_food(tiny_food: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make configs read the tiny folder and, for latent diffusion, an untrained autoencoder of 64x64 photos in it."""
    path, settings = tiny_food / "autoencoder.safetensors", {"base_channels": 8, "patch": 4, "channel_mult": [1]}
    if not path.exists():
        arguments = {"image_size": 64, "image_channels": 3, "latent_channels": 4, **settings}
        export_autoencoder(path, KLAutoencoder(**arguments), "kl_autoencoder", arguments, {})
    monkeypatch.setenv("FOOD101_DIR", str(tiny_food))
    monkeypatch.setenv("FOOD101_CODEC", str(path))


def small(file: Path) -> list[str]:
    """Return overrides that leave the model as it is and take the data down to the tiny folder."""
    words = [f"exp.config_path={file}", "exp.device=cpu", "train.val_metrics=[]"]
    words += ["dataset_args.classes=[bun,roll]"] if SMALL in file.parents else []
    return words if "quickstart" in file.stem else [*words, "data.dev_per_class=1"]


@pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda path: str(path.relative_to(ROOT / "configs")))
def test_the_config_builds_everything_and_stops_before_the_first_step(file, tiny_food, tmp_path, monkeypatch, capsys):
    use_food(tiny_food, monkeypatch)
    train.main([*small(file), "exp.check=True", f"exp.exp_dir={tmp_path}"])
    assert "nothing was written" in capsys.readouterr().out and not any(tmp_path.iterdir())


@pytest.mark.parametrize("file", INFERENCE, ids=lambda path: path.name)
def test_the_inference_config_builds_everything(file, tiny_food, guide, tmp_path, monkeypatch):
    """Networks, sampler and guidance; what the networks cost is the experiment's business."""
    use_food(tiny_food, monkeypatch)
    guided = find(load_tree([f"exp.config_path={file}"]), ["train", "guidance"]) == "classifier"
    words = [*small(file), f"exp.exp_dir={tmp_path}", *([f"train.guide_path={guide}"] if guided else [])]
    load_trainer(words).setup()
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(ROOT / "configs")))
def test_arguments_stand_beside_the_class_they_are_for(file):
    """Else another class, named on the command line, would inherit those of the schema's default."""
    tree = read_file(file)
    table = trainer_class(tree["exp"]["model_type"], "").role_table
    named = {role: find(tree, [entry.section, role]) for role, entry in table.items() if tree.get(f"{role}_args")}
    assert None not in named.values(), named


def test_another_class_from_the_command_line_inherits_no_arguments(tiny_food, monkeypatch):
    use_food(tiny_food, monkeypatch)
    for file, change in {"quickstart": "train.ema=power", "gan/food101_dcgan": "train.gen_optimizer=sgd"}.items():
        load_trainer([f"exp.config_path={ROOT}/configs/{file}.yaml", change]).check_config()


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(ROOT / "configs")))
def test_the_config_opens_with_question_command_and_cost(file):
    head = [line for line in file.read_text().splitlines() if line.startswith("#")]
    assert head == file.read_text().splitlines()[: len(head)]  # nothing before it
    command = re.search(r"python3 (train|inference)\.py exp\.config_path=(\S+)", "\n".join(head))
    assert command and ROOT / command[2].rstrip(")") == file
    assert any("Cost:" in line for line in head) or file.parent.name == "inference"


@pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda path: str(path.relative_to(ROOT / "configs")))
def test_every_experiment_has_its_inference_config_with_the_same_networks(file, tiny_food, monkeypatch):
    use_food(tiny_food, monkeypatch)
    run = load_tree([f"exp.config_path={file}"])["exp"].get("run_name", file.stem)
    twin = ROOT / "configs" / "inference" / f"{run}.yaml"
    if not twin.exists():  # one for the numbers, one for pictures
        twin = twin.with_stem(f"{run}_fid")
    ours, theirs = (load_tree([f"exp.config_path={path}"]) for path in (file, twin))
    for key in ("model_args", "generator_args", "denoiser_args", "codec_args", "data"):
        assert ours.get(key) == theirs.get(key), key
    trainers = [load_trainer([f"exp.config_path={path}"]) for path in (file, twin)]
    for trainer in trainers:
        trainer.check_config()
    assert trainers[0].run.path == trainers[1].run.path  # `latest` finds the training run's checkpoints
