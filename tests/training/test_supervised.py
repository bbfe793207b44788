"""The supervised family: what it learns, what it sees, and how its predictions are judged."""

import csv
import json

import pytest
import torch
from torch import Tensor, nn

import inference
import train
from models.classifiers.export import load_classifier
from models.classifiers.noisy import noisy_input
from models.registry import classifiers_registry
from tests.helpers import error_of, one_error_line, trainer_of, write_image_folder
from tests.runs import words, write_config
from training.losses.registry import supervised_losses_registry
from training.losses.supervised import SupervisedOutcome
from training.persistence import describe_file


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """A classifier of drawn dishes, trained for seven steps, and the folder of its study."""
    folder = tmp_path_factory.mktemp("studied")
    arguments = words(write_config(folder, "supervised"), folder / "runs")
    train.main(arguments)
    inference.main([*arguments, "train.checkpoint_path=latest", f"inference.out_dir={folder / 'out'}"])
    return folder, folder / "out"


@pytest.fixture
def trainer(studied):
    """The trainer with the weights of the run, ready for a study."""
    folder, _ = studied
    trainer = trainer_of(folder, "supervised", "train.checkpoint_path=latest")
    trainer.setup_inference()
    return trainer


def loss(logits: list[list[float]], labels: list[int], **arguments) -> float:
    outcome = SupervisedOutcome(torch.zeros(1, 1, 1, 1), torch.tensor(logits), torch.tensor(labels))
    return supervised_losses_registry["cross_entropy"](**arguments)(outcome).item()


def test_cross_entropy_is_the_mean_negative_logarithm_of_the_label_s_probability():
    logits = [[0.0, 1.0, 3.0], [2.0, 0.0, 0.0]]
    p = torch.tensor(logits).exp()
    expected = -(torch.log(p[0, 1] / p[0].sum()) + torch.log(p[1, 0] / p[1].sum())) / 2
    assert loss(logits, [1, 0]) == pytest.approx(expected.item())


def test_smoothed_labels_spread_their_share_over_all_classes():
    """0.7 of the loss of the label, and 0.3 of the mean loss of the three classes."""
    logits = [[0.0, 1.0, 3.0]]
    each = [loss(logits, [label]) for label in range(3)]
    assert loss(logits, [1], label_smoothing=0.3) == pytest.approx(0.7 * each[1] + 0.3 * sum(each) / 3)


def test_eight_pictures_are_learnt_by_heart(tmp_path):
    changes = {
        "dataset_args.num_images": 8,
        "train.steps": 60,
        "train.val_step": 60,
        "train.checkpoint_step": 60,
        "model_args.dropout": 0.0,
        "model_args.base_channels": 16,
        "data.augmentations": [],
        "optimizer_args.lr": 0.01,
    }
    trainer = trainer_of(tmp_path, "supervised", changes=changes)
    trainer.setup()
    trainer.training_loop()
    batch = trainer.data.train.__getitems__(range(8))
    logits = trainer.answer(batch.images, range(8))
    assert (logits.argmax(dim=1) == batch.labels).all()


def test_validation_judges_every_held_out_picture_with_the_averaged_weights(tmp_path):
    changes = {"data.dev_per_class": 1, "train.val_step": 7}
    trainer = trainer_of(tmp_path, "supervised", changes=changes)
    trainer.setup()
    trainer.training_loop()
    lines = (trainer.run.path / "metrics.jsonl").read_text().splitlines()
    logged = json.loads(lines[-1])
    assert logged["step"] == 7 and logged.keys() >= {"val_cross_entropy", "val_accuracy", "val_f1"}
    dev = trainer.data.dev
    assert len(dev) == 10
    batch = dev.__getitems__(range(10))
    with torch.no_grad():
        logits = trainer.ema.module(batch.images / 127.5 - 1)
    right = (logits.argmax(dim=1) == batch.labels).double().mean().item()
    assert logged["val_accuracy"] == pytest.approx(right)
    assert logged["val_cross_entropy"] == pytest.approx(nn.functional.cross_entropy(logits, batch.labels).item(), 1e-4)
    assert trainer.networks["classifier"].training and not trainer.average.training


def test_the_study_writes_figures_by_class_with_their_origin(studied):
    record = json.loads((studied[1] / "metrics.json").read_text())
    assert record["results"].keys() >= {"accuracy", "precision", "recall", "f1"}
    assert len(record["classes"]) == 10 and sum(row["images"] for row in record["classes"].values()) == 40
    f1s = [row["f1"] for row in record["classes"].values()]
    assert f1s == sorted(f1s, reverse=True) and sum(f1s) / 10 == pytest.approx(record["results"]["f1"])
    origin = record["origin"]
    assert (origin["step"], origin["split"], origin["real_images"], origin["foreign_weights"]) == (7, "test", 40, False)
    assert len(origin["checkpoint"]["sha256"]) == 64


def test_the_confusion_counts_are_a_table_whose_diagonal_is_the_accuracy(studied):
    with open(studied[1] / "confusion.csv", newline="") as file:
        head, *rows = csv.reader(file)
    counts = torch.tensor([[int(cell) for cell in row[1:]] for row in rows])
    assert [row[0] for row in rows] == head[1:] == sorted(head[1:])
    assert counts.sum(dim=1).tolist() == [4] * 10  # the test split has four of each dish
    accuracy = json.loads((studied[1] / "metrics.json").read_text())["results"]["accuracy"]
    assert counts.diagonal().sum().item() / 40 == pytest.approx(accuracy)


def test_the_study_says_which_classes_are_best_and_worst_and_what_they_are_taken_for(studied, capsys):
    folder, out = studied
    inference.main([*words(folder / "supervised.yaml", folder / "runs"), "train.checkpoint_path=latest"])
    said = capsys.readouterr().out
    for name, row in json.loads((out / "metrics.json").read_text())["classes"].items():
        taken = f"{row['mostly_taken_for']} ({row['times']})" if "times" in row else ""
        assert f"{name:24} {row['f1']:6.3f} {row['precision']:9.3f} {row['recall']:6.3f}  {taken}".rstrip() in said


def test_the_exported_classifier_says_what_the_checkpoint_says(studied, trainer):
    exported = load_classifier(studied[1] / "classifier.safetensors")
    assert exported.class_names == trainer.facts.class_names and exported.image_size == 16
    images = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    assert torch.equal(exported(images), trainer.answer(images, range(5)))
    about = exported.about
    assert (about["step"], about["split"]) == (7, "test") and 0 <= about["results"]["accuracy"] <= 1


def test_a_checkpoint_opens_as_plain_values_and_knows_the_class_names(studied):
    path = studied[0] / "runs" / "supervised" / "checkpoints" / "step_00000007.pt"
    state = torch.load(path, weights_only=True)
    assert state["model_type"] == "supervised" and len(state["facts"]["class_names"]) == 10


def test_without_a_test_split_there_is_nothing_to_judge(tmp_path, capsys):
    """The dev set was enough to train; and it can be judged by."""
    write_image_folder(tmp_path / "images", {"pie": 6, "soup": 6})
    folder = {"data.dataset": "base_dataset", "data.input_train_dir": str(tmp_path / "images"), "dataset_args": {}}
    config = write_config(tmp_path, "supervised", {**folder, "data.dev_per_class": 2, "data.train_batch_size": 4})
    train.main(words(config, tmp_path / "runs"))
    capsys.readouterr()
    study = words(config, tmp_path / "runs", "train.checkpoint_path=latest", f"inference.out_dir={tmp_path / 'out'}")
    assert "data.input_val_dir is missing" in one_error_line(capsys, inference.main, study)
    inference.main([*study, "inference.split=dev"])
    origin = json.loads((tmp_path / "out" / "metrics.json").read_text())["origin"]
    assert (origin["split"], origin["real_images"]) == ("dev", 4)


def test_a_single_class_is_refused(tmp_path, capsys):
    write_image_folder(tmp_path / "images", {"pie": 6})
    folder = {"data.dataset": "base_dataset", "data.input_train_dir": str(tmp_path / "images"), "dataset_args": {}}
    assert "a classifier needs two classes or more, not 1" in error_of(capsys, tmp_path, "supervised", changes=folder)


# ---- The noisy classifier.


class Recorder(nn.Module):
    """A classifier that keeps what it was shown."""

    def __init__(self, image_size: int, image_channels: int, num_classes: int, noise_conditional: bool = False):
        super().__init__()
        self.to_logits = nn.Linear(image_channels, num_classes)
        self.seen: list[tuple] = []

    def forward(self, x: Tensor, c_noise: Tensor | None = None) -> Tensor:
        self.seen.append((x, c_noise))
        return self.to_logits(x.mean(dim=(2, 3)))


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.setitem(classifiers_registry.classes, "recorder", Recorder)
    return {"train.model": "recorder", "model_args": {}, "data.augmentations": []}


def shown(tmp_path, changes: dict) -> tuple[Tensor, Tensor | None, Tensor]:
    """Return what the classifier of a trainer is shown in the first step, and the clean pictures."""
    trainer = trainer_of(tmp_path, "supervised", changes=changes)
    trainer.setup()
    trainer.open_run()
    (micro,) = trainer.micro_batches()
    trainer.classify(micro, trainer.networks["classifier"])
    trainer.loggers.close()
    trainer.run.close()
    return *trainer.networks["classifier"].seen[-1], micro.images


def test_without_levels_the_classifier_sees_clean_pictures(tmp_path, recorder):
    x, c_noise, clean = shown(tmp_path, recorder)
    assert torch.equal(x, clean) and c_noise is None


def test_with_levels_it_sees_unit_noise_of_the_level_that_it_is_told(tmp_path, recorder):
    """(x sqrt(1 + sigma^2) - clean) / sigma is standard normal noise, with sigma = exp(4 c_noise)."""
    x, c_noise, clean = shown(tmp_path, {**recorder, "train.levels": "lognormal"})
    sigma = (4 * c_noise).exp().view(-1, 1, 1, 1)
    noise = (x * (1 + sigma**2).sqrt() - clean) / sigma
    assert len(set(c_noise.tolist())) == 8
    assert noise.mean().abs() < 0.05 and noise.std().item() == pytest.approx(1, abs=0.05)  # of 6,144 numbers


def test_what_a_noisy_classifier_is_shown_has_the_size_of_clean_pictures():
    clean, noise = torch.randn(2, 1000, 1, 8, 8)
    sigma = torch.logspace(-3, 3, 1000)
    x, c_noise = noisy_input(clean + sigma.view(-1, 1, 1, 1) * noise, sigma)
    assert x.std().item() == pytest.approx(1, abs=0.02)
    assert torch.allclose(c_noise, sigma.log() / 4)


def test_a_noisy_classifier_is_judged_with_the_same_noise_every_time(tmp_path):
    trainer = trainer_of(tmp_path, "supervised", "train.levels=lognormal")
    trainer.setup()
    first = trainer.validation.figures()
    assert first == trainer.validation.figures()


@pytest.fixture(scope="module")
def noisy_classifier(tmp_path_factory):
    """The exported classifier of a run with noise levels."""
    folder = tmp_path_factory.mktemp("noisy")
    arguments = words(write_config(folder, "supervised"), folder / "runs", "train.levels=lognormal")
    train.main(arguments)
    inference.main([*arguments, "train.checkpoint_path=latest", f"inference.out_dir={folder / 'out'}"])
    return folder / "out" / "classifier.safetensors"


# As configs/diffusion/food101_adm: attention at all sizes, adaptive norm, blocks that resample, a learned variance.
ADM = {
    "train.denoiser": "iddpm",
    "train.levels": "table",
    "train.sampler": "ddpm",
    "train.sampling_levels": "respaced",
    "train.label_dropout": 0.0,
    "model_args.attention_resolutions": [16, 8],
    "model_args.head_channels": 8,
    "model_args.scale_shift_norm": True,
    "model_args.resblock_updown": True,
    "losses_coef": {"mse": 1.0, "vlb_variance": 0.001},
}


@pytest.mark.parametrize("changes", [{}, ADM], ids=["edm", "adm"])
def test_a_diffusion_model_is_guided_by_an_exported_noisy_classifier(tmp_path, noisy_classifier, changes):
    """Another picture than without guidance, and the record says by which file it was guided."""
    arguments = words(write_config(tmp_path, "diffusion", changes), tmp_path / "runs")
    train.main(arguments)
    guided = ["train.guidance=classifier", f"train.guide_path={noisy_classifier}", "guidance_args.scale=20"]
    pictures = []
    for name, more in (("plain", []), ("guided", guided)):
        out = tmp_path / name
        words_of_study = ["train.checkpoint_path=latest", f"inference.out_dir={out}", "inference.num_images=2"]
        inference.main([*arguments, *words_of_study, *more])
        pictures.append((out / "grid.png").read_bytes())
    assert pictures[0] != pictures[1]
    origin = json.loads((tmp_path / "guided" / "metrics.json").read_text())["origin"]
    assert origin["guidance"] == {"name": "classifier", "scale": 20.0}
    assert origin["guide"] == describe_file(noisy_classifier)


def test_a_classifier_that_cannot_guide_this_model_is_one_line(tmp_path, capsys, studied, noisy_classifier):
    """It knows no noise, or other classes."""
    guided = "train.guidance=classifier"
    plain = f"train.guide_path={studied[1] / 'classifier.safetensors'}"
    assert "was trained on clean pictures" in error_of(capsys, tmp_path, "diffusion", guided, plain)
    write_image_folder(tmp_path / "images", {"pie": 8, "soup": 8})
    folder = {"data.dataset": "base_dataset", "data.input_train_dir": str(tmp_path / "images"), "dataset_args": {}}
    noisy = f"train.guide_path={noisy_classifier}"
    assert "names other classes" in error_of(capsys, tmp_path, "diffusion", guided, noisy, changes=folder)


def test_levels_for_a_classifier_that_cannot_be_told_the_noise_are_refused(tmp_path, capsys, recorder, monkeypatch):
    class Deaf(nn.Module):
        def __init__(self, image_size: int, image_channels: int, num_classes: int):
            super().__init__()

    monkeypatch.setitem(classifiers_registry.classes, "deaf", Deaf)
    changes = {"train.model": "deaf", "model_args": {}, "train.levels": "lognormal"}
    assert "deaf cannot be told the noise: remove it" in error_of(capsys, tmp_path, "supervised", changes=changes)
