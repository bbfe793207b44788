"""The reports: what stands in them is what the logs say."""

import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import inference
import train
from datasets.image_folder import ImageFolder
from evaluation.floor import Spread
from report.build import main
from report.figures import MOST_POINTS
from report.photos import nearest
from report.records import Run, differences, find_experiments
from report.wording import comparison, value
from tests.helpers import one_error_line, write_image_folder
from tests.runs import GENERATIVE, words, write_config

FID = "fid_colours"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def built(kept, experiments_folder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("built")
    parts = out / "diffusion" / "parts"
    parts.mkdir(parents=True)
    (parts / "failures.md").write_text("Plain got {{plain.fid_colours}}, real photos {{floor.fid_colours}}.")
    (parts / "ru.md").write_text("# Кратко\n\nИтог: {{wide.fid_colours}}.")
    main([f"runs={kept}", f"out={out}", f"configs={experiments_folder}"])
    return out


def results(kept: Path, name: str, metric: str) -> list[float]:
    files = [kept / name / f"seed{seed}" / "metrics.json" for seed in range(2)]
    return [json.loads(file.read_text())["results"][metric] for file in files]


def same(cell: str, values: list[float]) -> bool:
    """Tell whether a cell says mean and standard deviation of ``values``, to the last digit that it gives."""
    found = re.fullmatch(r"([\d.]+) ± ([\d.]+)", cell)
    if not found:
        return False
    mean, std = np.mean(values), np.std(values, ddof=1)
    half = 0.501 * 10.0 ** -len(found[1].partition(".")[2])  # of the last digit
    return abs(float(found[1]) - mean) <= half and abs(float(found[2]) - std) <= half <= max(0.06 * std, 0.51)


@pytest.mark.parametrize("name", ["plain", "wide"])
def test_the_numbers_of_a_page_are_mean_and_deviation_of_the_logs(kept, built, name):
    page = (built / "diffusion" / "README.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith(f"| [{name}]("))
    cells = [cell.strip() for cell in row.split("|")]
    found = results(kept, name, FID)
    assert any(same(cell, found) for cell in cells)
    analyses = json.loads((kept / name / "seed0" / "metrics.json").read_text())["analyses"]
    assert f"{np.mean(found) - analyses['floor']['results'][FID]['mean']:.4g}" in cells  # the excess


def test_a_hand_written_part_takes_its_numbers_from_the_logs_and_says_that_it_is_one(kept, built):
    page = (built / "diffusion" / "README.md").read_text()
    assert same(re.search(r"Plain got ([^,]+),", page)[1], results(kept, "plain", FID))
    assert "*By hand.*" in page.partition("## What did not work")[2][:40]
    assert "Итог: " in (built / "diffusion" / "SUMMARY.ru.md").read_text()


def test_a_number_that_no_log_knows_is_one_line(kept, experiments_folder, tmp_path, capsys):
    (tmp_path / "diffusion" / "parts").mkdir(parents=True)
    (tmp_path / "diffusion" / "parts" / "intro.md").write_text("{{plain.fdi}}")
    line = one_error_line(capsys, main, [f"runs={kept}", f"out={tmp_path}", f"configs={experiments_folder}"])
    assert "intro.md" in line and "plain.fdi" in line


def test_the_chain_and_what_was_modified_come_from_headers_and_configs(built):
    page = (built / "diffusion" / "README.md").read_text()
    assert "**Hypothesis:** wider is better, or not" in page and "**Conclusion:** as expected" in page
    assert "| `model_args.base_channels` | `8` | `16` |" in page
    assert "base_channels: 8" in page.partition("Its parameters")[2] or "base_channels: 16" in page
    assert f"{FID} beside plain: difference" in page


def test_families_have_pages_of_their_own(built):
    diffusion, gan = ((built / family / "README.md").read_text() for family in GENERATIVE)
    assert "dcgan" not in diffusion and "### dcgan" in gan and "### plain" not in gan


def test_a_sampling_study_shows_every_variant_and_its_cost(kept, built):
    page = (built / "diffusion" / "README.md").read_text().partition("### steps")[2]
    few = [json.loads((kept / "steps" / f"seed{seed}" / "few.json").read_text()) for seed in range(2)]
    found = [it["results"][FID] for it in few]
    row = next(line for line in page.splitlines() if "few" in line and line.startswith("|"))
    assert any(same(cell.strip(), found) for cell in row.split("|"))
    assert f"| {few[0]['origin']['evaluations_per_image']} |" in row and "against the dev split" in page
    assert "figures/steps.svg" in page  # by cost: the variants take 2 and 4 evaluations


def test_every_figure_has_axes_with_units_and_every_link_of_a_page_leads_somewhere(built):
    for family in GENERATIVE:
        for file in (built / family / "figures").glob("*.svg"):
            texts = [node.text or "" for node in ElementTree.parse(file).iter(f"{SVG}text")]
            unit = "no unit", "a share", "grey levels", "thousands"
            assert sum(any(word in text for word in unit) for text in texts) >= 1, file
            assert not any(path.get("d", "").count("L") > MOST_POINTS for path in ElementTree.parse(file).iter())
        page = (built / family / "README.md").read_text()
        for target in re.findall(r"\]\(([^)#]+)\)", page):
            assert target == "parts/" or (built / family / target).exists(), target


def test_the_html_needs_no_other_file_and_holds_both_galleries(built):
    page = (built / "diffusion" / "report.html").read_text()
    sources = re.findall(r'src="([^"]*)"', page)
    assert sources and all(source.startswith("data:image/") for source in sources)
    assert len(set(sources)) == len(sources)  # what comes again is linked to
    for name in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{name}"' in page, name
    gallery = page.rpartition(">Gallery<")[2]
    assert "diffusion: " in gallery and "gan: dcgan" in gallery and "Кратко" in gallery


def test_the_same_logs_make_the_same_pages(kept, built, experiments_folder, tmp_path):
    shutil.copytree(built / "diffusion" / "parts", tmp_path / "diffusion" / "parts")
    main([f"runs={kept}", f"out={tmp_path}", f"configs={experiments_folder}"])
    for name in ("figures/all.svg", "figures/wide.svg"):
        assert (tmp_path / "diffusion" / name).read_bytes() == (built / "diffusion" / name).read_bytes()


def test_a_students_own_run_folders_make_a_report_unprepared(tmp_path, colours_judge):
    config = write_config(
        tmp_path,
        "diffusion",
        {"train.val_metrics": ["fid"], "train.val_num_images": 20, "metrics_args": {"fid": {"network": "colours"}}},
    )
    train.main(words(config, tmp_path / "runs", "exp.run_name=mine"))
    inference.main(words(config, tmp_path / "runs", "exp.run_name=mine", "train.checkpoint_path=latest"))
    main([f"runs={tmp_path / 'runs'}", f"out={tmp_path / 'report'}"])
    page = (tmp_path / "report" / "diffusion" / "README.md").read_text()
    found = json.loads(next((tmp_path / "runs").rglob("metrics.json")).read_text())["results"][FID]
    assert f"{found:.4g}" in page and "grid of mine" in page


def test_a_run_that_was_never_judged_has_its_curves_all_the_same(tmp_path):
    train.main(words(write_config(tmp_path, "gan"), tmp_path / "runs"))
    main([f"runs={tmp_path / 'runs'}", f"out={tmp_path / 'report'}"])
    assert (tmp_path / "report" / "gan" / "figures" / "gan.svg").exists()
    assert "Nothing was judged" in (tmp_path / "report" / "gan" / "README.md").read_text()


@pytest.mark.parametrize("name", ["metrics.jsonl", "timing.jsonl", "environment.jsonl"])
def test_a_missing_log_is_one_line(kept, tmp_path, capsys, name):
    shutil.copytree(kept / "plain", tmp_path / "runs" / "plain")
    (tmp_path / "runs" / "plain" / "seed1" / name).unlink()
    line = one_error_line(capsys, main, [f"runs={tmp_path / 'runs'}", f"out={tmp_path / 'report'}"])
    assert f"seed1/{name}" in line


def test_a_folder_without_runs_is_one_line(tmp_path, capsys):
    assert "no run folders" in one_error_line(capsys, main, [f"runs={tmp_path}", f"out={tmp_path}"])


def test_photos_lie_apart_from_what_is_committed(kept, experiments_folder, tmp_path):
    main([f"runs={kept}", f"out={tmp_path}", f"configs={experiments_folder}", "photos=True"])
    assert {path.name for path in (tmp_path / "diffusion" / "photos").iterdir()} == {
        "README.md", "report.html", "nearest.png", "real.png",
    }  # fmt: skip
    ignored = (Path(__file__).parents[2] / ".gitignore").read_text().splitlines()
    assert "/report/*/photos/" in ignored


def test_a_curve_is_counted_in_images_and_time_over_all_starts(kept, tmp_path):
    run = find_experiments(kept)["plain"].runs[0]
    assert [at for at, _ in run.curves["val_quick8_fid_colours"]] == [16, 32]  # steps 2 and 4 of 8 images
    seconds = [{"step": 1, "seconds": 5.0}, {"step": 2, "seconds": 9.0}, {"step": 3, "seconds": 2.0}]
    (tmp_path / "timing.jsonl").write_text("".join(json.dumps(line) + "\n" for line in seconds))
    assert Run(tmp_path, {}).seconds == 11.0


def test_what_two_configs_differ_in():
    ours, theirs = {"exp": {"seed": 1}, "train": {"a": 1, "b": None}}, {"exp": {"seed": 2}, "train": {"a": 2}, "c": 3}
    assert differences(ours, theirs) == [("c", 3, None), ("train.a", 2, 1)]


def test_a_difference_is_held_against_the_spread_over_seeds():
    far, near = Spread((3.0, 3.2)), Spread((1.0, 1.2))
    assert "+2" in comparison(far, near) and "more than seeds explain" in comparison(far, near)
    assert "no more than seeds explain" in comparison(Spread((1.05, 1.25)), near)
    assert "one seed only" in comparison(Spread((3.0,)), near)
    assert value(Spread((1.0, 1.2))) == "1.10 ± 0.14" and value(None) == "–"


def test_the_nearest_photo_of_a_training_photo_is_itself(tmp_path):
    folder = write_image_folder(tmp_path / "photos", {"a": 9, "b": 9})
    photos = ImageFolder(str(folder), 16)
    assert nearest(photos.images_at([4, 11]), photos)[:, 0].tolist() == [4, 11]


def test_a_missing_library_is_one_line_with_the_fix(kept, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("report.build.LIBRARIES", ("matplotlib", "no_such_library"))
    line = one_error_line(capsys, main, [f"runs={kept}", f"out={tmp_path}"])
    assert "no_such_library" in line and "pip install -r requirements-report.txt" in line and "matplotlib" not in line
