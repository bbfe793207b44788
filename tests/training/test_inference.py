"""inference.py: images, a grid and numbers from a checkpoint."""

import json

import numpy as np
import pytest
import torch
from torchvision.io import read_image

import inference
import train
from metrics.registry import features_registry
from tests.evaluation.conftest import Colours
from tests.runs import GENERATIVE, words, write_config


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of each family that makes images, trained for seven steps."""
    folder = tmp_path_factory.mktemp("trained")
    configs = {family: write_config(folder, family) for family in GENERATIVE}
    for config in configs.values():
        train.main(words(config, folder))
    return folder, configs


def infer(trained, family: str, out, *more: str) -> list:
    folder, configs = trained
    arguments = words(configs[family], folder, "train.checkpoint_path=latest", f"inference.out_dir={out}", *more)
    inference.main(arguments)
    return sorted((out / "images").rglob("*.png"))


@pytest.mark.parametrize("family", GENERATIVE)
def test_an_image_depends_on_seed_and_number_not_on_the_batch_size(trained, family, tmp_path):
    first = infer(trained, family, tmp_path / "a", "data.val_batch_size=7")
    second = infer(trained, family, tmp_path / "b", "data.val_batch_size=40")
    other = infer(trained, family, tmp_path / "c", "exp.seed=1")
    assert len(first) == 40  # as many as the test set
    gaps = [(read_image(str(a)).int() - read_image(str(b)).int()).abs().max() for a, b in zip(first, second)]
    assert max(gaps) <= 1  # one grey level
    assert any(not torch.equal(read_image(str(a)), read_image(str(c))) for a, c in zip(first, other))


def test_the_generated_set_has_the_class_distribution_of_the_test_set(trained, tmp_path):
    files = infer(trained, "gan", tmp_path / "out")
    per_class = {folder.name: len(list(folder.iterdir())) for folder in (tmp_path / "out" / "images").iterdir()}
    assert len(per_class) == 10 and set(per_class.values()) == {4} and len(files) == 40


def test_only_the_classes_asked_for(trained, tmp_path):
    infer(trained, "gan", tmp_path / "out", "inference.classes=[pizza,sushi]", "inference.num_images=6")
    per_class = {folder.name: len(list(folder.iterdir())) for folder in (tmp_path / "out" / "images").iterdir()}
    assert per_class == {"pizza": 3, "sushi": 3}


def test_an_unknown_class_is_one_line_with_the_nearest_name(trained, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        infer(trained, "gan", tmp_path / "out", "inference.classes=[piza]")
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1 and "Did you mean 'pizza'?" in error


def test_a_metric_without_weights_is_status_3_and_the_images_stay(trained, tmp_path, capsys):
    missing = ["train.val_metrics=[fid]", f"metrics_args.fid.weights_path={tmp_path / 'nowhere.pth'}"]
    with pytest.raises(SystemExit) as stop:
        infer(trained, "gan", tmp_path / "out", *missing)
    assert stop.value.code == 3 and capsys.readouterr().err.count("\n") == 1
    assert len(list((tmp_path / "out" / "images").rglob("*.png"))) == 40


def test_an_earlier_study_is_not_overwritten(trained, tmp_path):
    first = infer(trained, "gan", tmp_path / "out", "inference.num_images=2")
    infer(trained, "gan", tmp_path / "out", "inference.num_images=4")
    assert len(first) == 2 and len(list((tmp_path / "out" / "images").rglob("*.png"))) == 2
    assert len(list((tmp_path / "out-2" / "images").rglob("*.png"))) == 4


def test_an_output_folder_that_is_a_file_is_one_line(trained, tmp_path, capsys):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(SystemExit) as stop:
        infer(trained, "gan", tmp_path / "taken")
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1 and "inference.out_dir" in error


def test_every_number_carries_its_origin(trained, tmp_path):
    infer(trained, "diffusion", tmp_path / "out", "exp.seed=5", "inference.num_images=3")
    origin = json.loads((tmp_path / "out" / "metrics.json").read_text())["origin"]
    assert (origin["step"], origin["training_images_seen"], origin["seed"], origin["images"]) == (7, 56, 5, 3)
    assert origin["training_seed"] == 42 and sum(origin["images_per_class"].values()) == 3
    assert origin["evaluations_per_image"] == 7  # Heun in 4 steps, the last without a correction
    assert len(origin["checkpoint"]["sha256"]) == 64 and origin["initial_weights"] == {"kind": "random"}


def test_a_checkpoint_of_another_family_is_refused(trained, tmp_path, capsys):
    folder, configs = trained
    file = folder / "gan" / "checkpoints" / "step_00000007.pt"
    with pytest.raises(SystemExit) as stop:
        inference.main(words(configs["diffusion"], folder, f"train.checkpoint_path={file}"))
    assert stop.value.code == 2 and "gan checkpoint" in capsys.readouterr().err


@pytest.fixture
def colours(monkeypatch):
    """Features that need no weights: mean colours."""
    monkeypatch.setitem(features_registry.classes, "inception", Colours)


def record_of(out) -> dict:
    return json.loads((out / "metrics.json").read_text())


METRICS = ["train.val_metrics=[fid]", "metrics_args.fid.dims=64"]


def test_several_seeds_give_mean_and_spread(trained, tmp_path, colours):
    infer(trained, "gan", tmp_path / "a", *METRICS, "inference.seeds=3", "exp.seed=5")
    infer(trained, "gan", tmp_path / "b", *METRICS, "exp.seed=6")
    record, second = record_of(tmp_path / "a"), record_of(tmp_path / "b")
    values = record["values"]["fid64"]
    assert len(set(values)) == 3
    assert record["results"]["fid64"] == pytest.approx(np.mean(values))
    assert record["std"]["fid64"] == pytest.approx(np.std(values, ddof=1))
    assert record["origin"]["sampling_seeds"] == [5, 6, 7]
    assert values[1] == pytest.approx(second["results"]["fid64"])  # seed 6 alone gives the same
    assert "std" not in second  # one seed has no spread


def test_settings_are_chosen_on_dev_and_the_record_says_so(tmp_path, colours, capsys):
    """And only on the dev set that the checkpoint's run held out: another one would be of images it has learnt."""
    config = write_config(tmp_path, "gan", {"data.dev_per_class": 2})
    train.main(words(config, tmp_path))
    run, dev = (tmp_path, {"gan": config}), [*METRICS, "inference.split=dev"]
    infer(run, "gan", tmp_path / "dev", *dev)
    assert record_of(tmp_path / "dev")["origin"]["split"] == "dev"
    assert record_of(tmp_path / "dev")["origin"]["real_images"] == 20
    wrong = {"data.dev_per_class=1": "set data.dev_per_class=2", "dataset_args.num_images=60": "trained on other files"}
    for change, fix in wrong.items():
        with pytest.raises(SystemExit):
            infer(run, "gan", tmp_path / "no", *dev, change)
        assert fix in capsys.readouterr().err


def test_a_checkpoint_that_was_trained_on_every_image_has_no_dev_set(trained, tmp_path, colours, capsys):
    for per_class in (0, 2):
        with pytest.raises(SystemExit):
            infer(trained, "gan", tmp_path / "no", *METRICS, "inference.split=dev", f"data.dev_per_class={per_class}")
        assert "held out no dev set" in capsys.readouterr().err


def test_a_look_at_the_test_split_is_counted_wherever_it_is_written(trained, tmp_path, colours):
    for name in ("a", "b", "c"):
        infer(trained, "gan", tmp_path / name, *METRICS)
    infer(trained, "gan", tmp_path / "d", *METRICS)
    before, *later = (record_of(tmp_path / name)["origin"]["earlier_evaluations"] for name in "abcd")
    assert later == [before + 1, before + 2, before + 3]


def test_the_floor_stands_beside_the_value(trained, tmp_path, colours, capsys):
    arguments = ["inference.analyses=[floor,memorisation,per_class]", "metrics_args.floor.draws=2"]
    infer(trained, "gan", tmp_path / "out", *METRICS, *arguments, "dataset_args.num_images=90")
    record, told = record_of(tmp_path / "out"), capsys.readouterr().out
    excess = record["results"]["fid64"] - record["analyses"]["floor"]["results"]["fid64"]["mean"]
    assert f"{excess:.4g}" in told and "excess" in told
    assert (tmp_path / "out" / "photos" / "nearest_training_images.png").exists()
    assert set(record["analyses"]) == {"floor", "memorisation", "per_class"}


def test_metrics_and_analyses_share_one_pass_over_the_generated_images(trained, tmp_path, monkeypatch):
    seen = []

    class Counting(Colours):
        def forward(self, images):
            seen.append(len(images))
            return super().forward(images)

    monkeypatch.setitem(features_registry.classes, "inception", Counting)
    monkeypatch.setenv("MISE_CACHE", str(tmp_path / "cache"))
    analyses = ["inference.analyses=[per_class]", "inference.seeds=2"]
    infer(trained, "gan", tmp_path / "out", *METRICS, *analyses, "exp.seed=9")
    assert sum(seen) == 40 + 2 * 40  # the reference, and the images of each seed
    assert "per_class" in record_of(tmp_path / "out")["analyses"]


def test_an_unknown_analysis_is_one_line(trained, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        infer(trained, "gan", tmp_path / "out", "inference.analyses=[flor]")
    assert stop.value.code == 2 and "Did you mean 'floor'?" in capsys.readouterr().err


def test_an_analysis_that_misses_something_is_told_at_once_and_takes_nothing_with_it(
    trained, tmp_path, colours, capsys
):
    arguments = ["inference.analyses=[class_fidelity,floor]", "metrics_args.floor.draws=2"]
    with pytest.raises(SystemExit) as stop:
        infer(trained, "gan", tmp_path / "out", *METRICS, *arguments, "dataset_args.num_images=90")
    told, record = capsys.readouterr(), record_of(tmp_path / "out")
    assert stop.value.code == 3 and told.err.count("\n") == 1 and "class_fidelity needs a classifier" in told.err
    assert told.out.index("class_fidelity is left out") < told.out.index("images and grid.png are in")
    assert "fid64" in record["results"] and set(record["analyses"]) == {"floor"}


def test_without_training_images_the_reason_is_the_true_one(trained, tmp_path, colours, capsys):
    arguments = ["inference.analyses=[floor]", "data.dev_per_class=1000"]
    with pytest.raises(SystemExit) as stop:
        infer(trained, "gan", tmp_path / "out", *METRICS, *arguments)
    assert stop.value.code == 3 and "dev_per_class" in capsys.readouterr().err


def test_as_many_images_as_the_test_set_are_judged_however_they_are_asked_for(trained, tmp_path, colours, capsys):
    infer(trained, "gan", tmp_path / "all", *METRICS, "inference.num_images=40")
    infer(trained, "gan", tmp_path / "default", *METRICS)
    assert record_of(tmp_path / "all")["results"] == record_of(tmp_path / "default")["results"]
    assert record_of(tmp_path / "all")["origin"]["split"] == "test"


def test_other_numbers_of_images_are_pictures_not_a_result(trained, tmp_path, colours, capsys):
    infer(trained, "gan", tmp_path / "few", *METRICS, "inference.num_images=20")
    assert "not judged: metrics need 40 images" in capsys.readouterr().out
    assert record_of(tmp_path / "few")["results"] == {}


@pytest.mark.parametrize("more", ["inference.analyses=[floor]", "inference.seeds=5"])
def test_what_adds_to_metrics_is_not_ignored_without_any(trained, tmp_path, capsys, more):
    with pytest.raises(SystemExit) as stop:
        infer(trained, "gan", tmp_path / "out", "train.val_metrics=[]", more)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1 and "without metrics judges nothing" in error


def test_an_early_checkpoint_of_the_run_guides_the_last(trained, tmp_path):
    folder, _ = trained
    early = folder / "diffusion" / "checkpoints" / "step_00000003.pt"
    guided = ["train.guidance=auto", f"train.guide_path={early}", "inference.num_images=3"]
    with_guide = infer(trained, "diffusion", tmp_path / "a", *guided)
    alone = infer(trained, "diffusion", tmp_path / "b", "inference.num_images=3")
    assert any(a.read_bytes() != b.read_bytes() for a, b in zip(with_guide, alone))
    assert record_of(tmp_path / "a")["origin"]["evaluations_per_image"] == 14  # twice the 7 of Heun in 4 steps


def test_a_guide_that_is_not_there_is_one_line(trained, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        infer(trained, "diffusion", tmp_path / "a", "train.guidance=auto", "train.guide_path=nowhere.pt")
    error = capsys.readouterr().err
    assert stop.value.code == 2 and "train.guide_path=nowhere.pt: there is no such file" in error


def test_truncation_draws_images_of_a_style_generator_together_and_stands_in_the_record(tmp_path):
    """Less variety: at psi 0.3 the pictures of one class differ less than at 1; the origin says which it was."""
    network = {"mapping_layers": 2, "base_channels": 8, "max_channels": 16}
    players = {"train.generator": "stylegan2", "generator_args": {"z_dim": 8, "w_dim": 8, **network}}
    config = write_config(tmp_path, "gan", players)
    train.main(words(config, tmp_path))
    spread, origin = {}, {}
    for psi in (0.3, 1.0):
        more = [f"inference.truncation={psi}", "inference.classes=[pizza]", "inference.num_images=8"]
        files = infer((tmp_path, {"gan": config}), "gan", tmp_path / str(psi), *more)
        spread[psi] = torch.stack([read_image(str(file)).float() for file in files]).std(dim=0).mean().item()
        origin[psi] = json.loads((tmp_path / str(psi) / "metrics.json").read_text())["origin"]["truncation"]
    assert spread[0.3] < 0.7 * spread[1.0]
    assert origin == {0.3: 0.3, 1.0: 1.0}


def test_truncation_of_a_generator_without_w_is_one_line(trained, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        infer(trained, "gan", tmp_path / "out", "inference.truncation=0.5")
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error == "error: inference.truncation needs train.generator=stylegan or stylegan2, not dcgan\n"
