"""What is handed in passes whole, and each thing that is broken in it fails with its fix."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from report import check
from report.repository import KEYS
from tests.handed_in import commit
from tests.helpers import write_image_folder

FAST = "only=[configs,checkpoints,reports,repository]"


def lines_of(capsys, root: Path, *words: str) -> tuple[int, list[str]]:
    """Run the command; return its exit status and what it said of the points, the failed ones first."""
    with pytest.raises(SystemExit) as stopped:
        check.main([f"root={root}", *words])
    said = capsys.readouterr().out.splitlines()
    return stopped.value.code, [line for line in said if line.startswith("FAILED")]


def test_what_is_complete_passes_and_the_rest_is_told(handed_in, capsys):
    with pytest.raises(SystemExit) as stopped:
        check.main([f"root={handed_in}", FAST])
    said = capsys.readouterr().out
    assert stopped.value.code == 0 and "FAILED" not in said
    for by_hand in ("private", "collaborators", "form"):
        assert by_hand in said


def break_config(fork: Path) -> None:
    path = fork / "configs" / "gan.yaml"
    path.write_text(path.read_text().replace("steps: 2", "stpes: 2"))


def swap_families(fork: Path) -> None:
    shutil.copy(fork / "configs" / "diffusion.yaml", fork / "configs" / "gan.yaml")


def touch_weights(fork: Path) -> None:
    path = fork / "checkpoints" / "gan" / "model.json"
    path.write_text(path.read_text().replace('"step": 2', '"step": 3'))


def other_steps(fork: Path) -> None:
    path = fork / "configs" / "inference" / "diffusion.yaml"
    path.write_text(path.read_text().replace("steps: 4", "steps: 5"))


def leak_key(fork: Path) -> None:
    (fork / "notes.txt").write_text("WANDB_" + "API_KEY=" + "0123456789abcdef" * 2 + "01234567\n")
    commit(fork)


def add_photo(fork: Path) -> None:
    (fork / "report" / "real.jpg").write_bytes(b"a photo")
    commit(fork)


def take_photo_out_again(fork: Path) -> None:
    add_photo(fork)
    (fork / "report" / "real.jpg").unlink()
    commit(fork)


def add_dataset(fork: Path) -> None:
    write_image_folder(fork / "report" / "data", {"pizza": 101}, size=4)
    commit(fork)


def picture_elsewhere(fork: Path) -> None:
    write_image_folder(fork / "pictures", {"pizza": 1}, size=4)
    commit(fork)


def add_run(fork: Path) -> None:
    (fork / "run.pt").write_bytes(b"weights")
    commit(fork)


def link_to_nothing(fork: Path) -> None:
    with open(fork / "report" / "gan" / "README.md", "a") as file:
        file.write("\n![curve](curves/loss.svg) [paper](https://example.org/paper)\n")


def leave_for_later(fork: Path) -> None:
    with open(fork / "report" / "gan" / "README.md", "a") as file:
        file.write("\nTODO: the numbers\n")


def lose(name: str):
    return lambda fork: (fork / name).unlink()


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (break_config, "train.stpes is not a config key. Did you mean 'steps'?"),
        (swap_families, "its exp.model_type is diffusion: name a config of gan"),
        (lose("checkpoints/gan/model.json"), "holds no exported model"),
        (lose("checkpoints/gan/model-00001-of-00001.safetensors"), "missing or damaged"),
        (lose("checkpoints/gan/metrics.json"), "there is no metrics.json of it: evaluate it"),
        (touch_weights, "evaluate it again"),
        (other_steps, "put that into the config"),
        (lose("report/gan/README.md"), "report.build writes it"),
        (link_to_nothing, "these files are missing: curves/loss.svg"),
        (leave_for_later, "it still says TODO"),
        (leak_key, "notes.txt (a key of W&B or another service)"),
        (add_photo, "report/real.jpg"),
        (take_photo_out_again, "no photos in git's history: git rm"),
        (add_dataset, "report/data/pizza/ (101 pictures)"),
        (picture_elsewhere, "pictures/pizza/000.png"),
        (add_run, "run.pt"),
    ],
)
def test_what_is_broken_fails_with_its_fix(broken, told, fork, capsys):
    broken(fork)
    status, failed = lines_of(capsys, fork, FAST)
    assert status == 1 and any(told in line for line in failed), failed


def test_a_section_that_is_missing_is_named(fork, capsys):
    path = fork / "report" / "gan" / "README.md"
    path.write_text(path.read_text().replace("## Ideas not tried", "## Thoughts"))
    assert lines_of(capsys, fork, "only=[reports]") == (
        1,
        ["FAILED  gan: report/gan/README.md has every section: it lacks ideas not tried"],
    )


def test_a_student_who_hands_in_one_family_is_asked_for_one(fork, capsys):
    path = fork / "report" / "submission.yaml"
    text = path.read_text()
    path.write_text(text[text.index("gan:") :])
    shutil.rmtree(fork / "report" / "diffusion")
    assert lines_of(capsys, fork, "only=[configs,checkpoints,reports]") == (0, [])


def test_a_part_that_there_is_not_is_no_success(fork):
    with pytest.raises(SystemExit) as stop:
        check.main([f"root={fork}", "only=[checkpoint]"])
    assert stop.value.code == 2


def test_a_folder_that_is_no_repository_is_told_so(fork, capsys):
    shutil.rmtree(fork / ".git")
    status, (line,) = lines_of(capsys, fork, "only=[repository]")
    assert status == 1 and "git init" in line


def test_the_python_version_must_be_stated(fork, capsys):
    (fork / "README.md").write_text("nothing\n")
    status, (line,) = lines_of(capsys, fork, "only=[requirements]", "install=skip")
    assert status == 1 and "write 'Python 3.x'" in line


@pytest.mark.parametrize(
    "key",
    [
        "wandb_" + "api_key: '" + "f0" * 20 + "'",
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        "gh" + "p_" + "a1B2" * 9,
        "hf" + "_" + "abcDEF0123" * 3,
        "AKIA" + "ABCDEFGH01234567",
    ],
)
def test_keys_are_known_by_their_look(key):
    assert any(pattern.search(f"x = 1\n{key}\n") for pattern in KEYS.values())


@pytest.mark.parametrize("text", ["api_key = os.environ['WANDB_API_KEY']", "sha256: " + "f0" * 32, "token: the_word"])
def test_what_only_looks_like_a_key_is_none(text):
    assert not any(pattern.search(text) for pattern in KEYS.values())


@pytest.mark.slow
def test_both_commands_run_in_a_fresh_clone(handed_in, tmp_path, capsys):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(handed_in), str(clone)], check=True)
    assert lines_of(capsys, clone, "only=[commands]") == (0, [])
    (clone / "checkpoints" / "gan" / "model.json").unlink()
    status, (line,) = lines_of(capsys, clone, "only=[commands]")
    assert status == 1 and "holds no exported model" in line
    assert json.loads((handed_in / "checkpoints" / "gan" / "model.json").read_text())["step"] == 2  # left as it was
