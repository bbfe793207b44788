"""The study of a likelihood: from a checkpoint to bits per dimension."""

import json

import pytest

import inference
import train
from tests.helpers import error_of, one_error_line
from tests.runs import words, write_config
from tests.training.test_bound_losses import IDDPM

STEPS = 5
CHANGES = {
    **IDDPM,
    "sampling_levels_args": {"steps": STEPS},
    "dataset_args": {"num_images": 12},
    "train.steps": 2,
    "train.val_step": 2,
}


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """The words of a command for the newest checkpoint of a run with a learned variance."""
    folder = tmp_path_factory.mktemp("likelihood")
    arguments = words(write_config(folder, "diffusion", CHANGES), folder / "runs")
    train.main(arguments)
    return [*arguments, "train.checkpoint_path=latest", "inference.study=bits_per_dim"]


def study(arguments, out, *more: str) -> dict:
    inference.main([*arguments, f"inference.out_dir={out}", *more])
    return json.loads((out / "metrics.json").read_text())


def test_the_bound_is_the_sum_of_its_parts_and_they_are_the_sums_of_the_terms(arguments, tmp_path, capsys):
    record = study(arguments, tmp_path)
    results, origin = record["results"], record["origin"]
    parts = [results[f"bits_per_dim_{part}"] for part in ("prior", "steps", "decoder")]
    assert results["bits_per_dim"] == pytest.approx(sum(parts)) and min(parts) > 0 < results["bits_per_dim_se"]
    head, *lines = (tmp_path / "terms.csv").read_text().splitlines()
    terms = [float(line.split(",")[1]) for line in lines]
    assert head == "sigma,bits_per_dim" and len(terms) == STEPS
    assert (terms[0], sum(terms[1:])) == pytest.approx((parts[2], parts[1]), rel=1e-6)
    assert (origin["real_images"], origin["steps"], origin["split"]) == (12, STEPS, "test")
    assert origin["variance"] == "learned" and len(origin["checkpoint"]["sha256"]) == 64
    assert "bits_per_dim_decoder" in capsys.readouterr().out


def test_it_depends_on_the_seed_and_not_on_the_batch_size(arguments, tmp_path):
    """To the rounding of a network that sees batches of other sizes."""
    few = "inference.num_images=5"
    first, second, third = (
        study(arguments, tmp_path / name, few, *more)["results"]["bits_per_dim"]
        for name, more in (("a", ["data.val_batch_size=2"]), ("b", []), ("c", ["exp.seed=1"]))
    )
    assert first == pytest.approx(second, rel=1e-5)
    assert abs(third - first) > 1e-4 * first


def test_who_has_no_chain_of_steps_has_no_bound(capsys, tmp_path):
    """A GAN has no such study; a model of continuous levels is told which denoisers have one."""
    line = error_of(capsys, tmp_path, "gan", "inference.study=bits_per_dim")
    assert line == "error: inference.study: 'bits_per_dim' is no study. Known: export, sample."
    edm = words(write_config(tmp_path, "diffusion", {"train.steps": 1}), tmp_path / "runs")
    train.main(edm)
    capsys.readouterr()
    edm += ["train.checkpoint_path=latest", "inference.study=bits_per_dim"]
    line = one_error_line(capsys, inference.main, edm)
    assert "train.denoiser=edm has none: it is for ddpm, iddpm and v" in line
