"""The same command again continues a run, and ends in the same bits."""

import re

import pytest
import torch
from torchvision.io import write_png

import train
from tests.crashes import Crash, Fragile, assert_same, final_state, run
from tests.runs import FAMILIES, words, write_config
from training.launch import load_trainer

FRAGILE = {
    "autoencoder": {"losses_coef": {"fragile_l1": 1.0, "kl": 1e-6}},
    "diffusion": {"losses_coef": {"fragile_mse": 1.0}},
    "gan": {"gen_losses": {"fragile_softplus": 1.0}},
    "supervised": {
        "losses_coef": {"fragile_cross_entropy": 1.0},
        "losses_args": {"fragile_cross_entropy": {"label_smoothing": 0.1}},
    },
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("crash_at", [5, 7])
def test_a_run_that_crashed_and_went_on_ends_in_the_same_bits(family, crash_at, tmp_path):
    """Checkpoints at 3 and 6 fall between two log steps, and the crash comes after steps that are logged already."""
    config = write_config(tmp_path, family, {**FRAGILE[family], "train.val_metrics": []})
    run(config, tmp_path / "unbroken")
    with pytest.raises(Crash):
        run(config, tmp_path / "broken", crash_at)
    run(config, tmp_path / "broken")
    assert_same(final_state(tmp_path / "unbroken", family), final_state(tmp_path / "broken", family))
    logs = [(tmp_path / name / family / "metrics.jsonl").read_text() for name in ("unbroken", "broken")]
    assert logs[0] == logs[1]
    assert [line.split(",")[0] for line in logs[0].splitlines()] == [f'{{"step": {step}' for step in (2, 4, 4, 6, 7, 7)]


def test_a_run_whose_minutes_are_over_saves_and_goes_on_in_the_same_bits(tmp_path, capsys):
    """Before a notebook's limit: after 0.6 seconds, which the fourth step outlasts however fast the machine is."""
    config = write_config(tmp_path, "diffusion", FRAGILE["diffusion"])
    run(config, tmp_path / "unbroken")
    capsys.readouterr()
    run(config, tmp_path / "stopped", slow_at=4, more="train.stop_after_minutes=0.01")
    stopped = int(re.search(r"step (\d) of 7: the same command goes on from here", capsys.readouterr().out)[1])
    assert stopped <= 4
    saved = [path.stem for path in (tmp_path / "stopped" / "diffusion" / "checkpoints").glob("*.pt")]
    assert stopped == 0 or f"step_{stopped:08d}" in saved
    run(config, tmp_path / "stopped")
    assert Fragile.calls == 7 - stopped
    assert_same(final_state(tmp_path / "unbroken", "diffusion"), final_state(tmp_path / "stopped", "diffusion"))


def test_every_average_goes_on_too(tmp_path):
    """The power EMA has several, and a snapshot of each at every checkpoint."""
    config = write_config(tmp_path, "diffusion", {**FRAGILE["diffusion"], "train.ema": "power", "ema_args": {}})
    run(config, tmp_path / "unbroken")
    with pytest.raises(Crash):
        run(config, tmp_path / "broken", crash_at=5)
    run(config, tmp_path / "broken")
    assert_same(final_state(tmp_path / "unbroken", "diffusion"), final_state(tmp_path / "broken", "diffusion"))
    files = [sorted((tmp_path / name / "diffusion" / "ema").iterdir()) for name in ("unbroken", "broken")]
    assert len(files[0]) == 6
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_resumed_run_really_starts_from_the_checkpoint(family, tmp_path, capsys):
    """The number of steps taken says so: a run that had silently started again would also end in the same bits."""
    config = write_config(tmp_path, family, FRAGILE[family])
    with pytest.raises(Crash):
        run(config, tmp_path, crash_at=7)
    run(config, tmp_path)
    assert Fragile.calls == 1  # only the seventh step was left to do
    assert "continuing at step 6" in capsys.readouterr().out


def test_the_same_command_after_the_end_says_finished_and_changes_nothing(tmp_path, capsys):
    config = write_config(tmp_path, "diffusion")
    run(config, tmp_path)
    files = {path: path.read_bytes() for path in (tmp_path / "diffusion").rglob("*.pt")}
    metrics = (tmp_path / "diffusion" / "metrics.jsonl").read_text()
    capsys.readouterr()
    run(config, tmp_path)
    assert "step 7 of 7: finished" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in files} == files
    assert (tmp_path / "diffusion" / "metrics.jsonl").read_text() == metrics


def test_more_steps_continue_a_finished_run(tmp_path, capsys):
    config = write_config(tmp_path, "gan")
    train.main(words(config, tmp_path))
    capsys.readouterr()
    train.main(words(config, tmp_path, "train.steps=9"))
    assert "train.steps was 7, is 9: schedules go by the new length from here on" in capsys.readouterr().out
    assert (tmp_path / "gan" / "checkpoints" / "step_00000009.pt").exists()


def test_fewer_steps_than_are_done_say_that_nothing_is_trained(tmp_path, capsys):
    config = write_config(tmp_path, "gan")
    train.main(words(config, tmp_path))
    capsys.readouterr()
    train.main(words(config, tmp_path, "train.steps=5"))
    out = capsys.readouterr().out
    assert "train.steps=5 has been passed: nothing is trained, raise it to go on" in out
    assert "schedules" not in out


def test_another_config_in_the_same_folder_is_refused_with_both_ways_out(tmp_path, capsys):
    config = write_config(tmp_path, "gan")
    train.main(words(config, tmp_path))
    with pytest.raises(SystemExit) as stop:
        train.main(words(config, tmp_path, "gen_optimizer_args.lr=0.001"))
    message = capsys.readouterr().err
    assert stop.value.code == 2 and message.count("\n") == 1
    for part in ("gen_optimizer_args.lr", "0.0002", "0.001", "exp.run_name=", "train.checkpoint_path="):
        assert part in message


def test_a_new_run_can_start_from_a_checkpoint_of_another(tmp_path):
    config = write_config(tmp_path, "diffusion")
    train.main(words(config, tmp_path))
    file = tmp_path / "diffusion" / "checkpoints" / "step_00000006.pt"
    more = ["exp.run_name=second", f"train.checkpoint_path={file}", "train.start_step=6", "optimizer_args.lr=0.01"]
    trainer = load_trainer(words(config, tmp_path, *more))
    trainer.setup()
    trainer.open_run()
    assert trainer.step == 6
    saved = torch.load(file, weights_only=True)
    assert_same(
        trainer.updaters["denoiser"].optimizer.state_dict()["state"],
        saved["updaters"]["denoiser"]["optimizer"]["state"],
    )
    trainer.loggers.close()
    trainer.run.close()


def test_init_from_takes_weights_only(tmp_path):
    config = write_config(tmp_path, "diffusion")
    train.main(words(config, tmp_path))
    file = tmp_path / "diffusion" / "checkpoints" / "step_00000007.pt"
    trainer = load_trainer(words(config, tmp_path, "exp.run_name=second", f"train.init_from={file}"))
    trainer.setup()
    assert_same(
        dict(trainer.networks["denoiser"].state_dict()),
        dict(torch.load(file, weights_only=True)["networks"]["denoiser"]),
    )
    assert trainer.step == 0 and not trainer.updaters["denoiser"].optimizer.state


def test_frozen_parameters_do_not_move_and_all_others_do(tmp_path):
    config = write_config(tmp_path, "gan")
    trainer = load_trainer(words(config, tmp_path, "train.freeze=[generator.layers.0]"))
    trainer.setup()
    before = {name: parameter.clone() for name, parameter in trainer.networks["generator"].named_parameters()}
    trainer.training_loop()
    for name, parameter in trainer.networks["generator"].named_parameters():
        assert torch.equal(parameter, before[name]) == name.startswith("layers.0"), name


def test_a_picture_that_breaks_in_a_worker_is_one_line_too(tmp_path, capsys):
    """PyTorch hands a worker's error on inside its traceback."""
    for name in ("bun", "roll"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(8):
            picture = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)
            write_png(picture, str(tmp_path / "images" / name / f"{number}.png"))
    (tmp_path / "images" / "bun" / "3.png").write_bytes(b"no picture")
    folder = {"data.dataset": "base_dataset", "data.input_train_dir": str(tmp_path / "images"), "dataset_args": {}}
    config = write_config(tmp_path, "gan", {**folder, "data.workers": 1, "train.steps": 2})
    with pytest.raises(SystemExit) as stop:
        train.main(words(config, tmp_path))
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code == 2 and "3.png" in error and "data.on_bad_image=skip" in error and "Traceback" not in error
