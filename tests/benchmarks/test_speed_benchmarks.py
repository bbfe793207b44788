"""Speeds are compared on the same work: what is claimed equal is equal, what is counted is counted right."""

import json
import sys
import time

import pytest
import torch
from torch import nn

from benchmarks import __main__ as bench
from benchmarks import judging, loading, measuring, stepping
from benchmarks.measuring import Place, Row, compared, contest, draw_images
from benchmarks.roofline import Roofline, training_pass, update_seconds
from datasets.packed import Packed
from metrics.features import FeatureSpec, load_network
from tests.helpers import write_image_folder
from training.check import count

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_image_folder(tmp_path_factory.mktemp("pictures") / "all", {"pie": 7, "soup": 13}, size=64)


def place_in(tmp_path, images) -> Place:
    return Place(CPU, images, tmp_path, rounds=2)


def test_contestants_take_turns_and_the_ratio_is_the_median_of_the_rounds():
    """A round that is slow for both has the ratio of the others: 3, where medians of the speeds would give 30 / 9."""
    order: list[str] = []
    speeds = {"a": iter([0, 30, 3, 60]), "b": iter([0, 10, 1, 9])}

    def contestant(name):
        return lambda: order.append(name) or next(speeds[name])

    (row,) = compared("work", {name: contestant(name) for name in "ab"}, rounds=3, unit="images/s")
    assert order == ["a", "b", "a", "b", "b", "a", "a", "b"]  # warm, then who begins changes
    assert row.ratio == 3 and row.speeds == {"a": 30, "b": 9} and row.rounds == 3
    assert row.low <= row.ratio <= row.high
    assert row.cells()[:3] == ["work", "a : b", "3.00"]


def test_each_other_contestant_has_a_row():
    rows = compared("work", {name: lambda: 1.0 for name in "abc"}, rounds=1, unit="")
    assert [(row.first, row.second, row.ratio) for row in rows] == [("a", "b", 1), ("a", "c", 1)]
    assert list(contest({"a": lambda: 2.0}, rounds=3).values()) == [[2.0] * 3]


def test_processor_time_leaves_out_what_others_do():
    """Sleeping is waiting for others; sums are our own."""
    asleep = measuring.timed(lambda: time.sleep(0.2), CPU)
    assert asleep < 0.1 < measuring.timed(lambda: [x.sin() for x in [torch.ones(2_000_000)] * 60], CPU)


def test_our_batches_are_torchvision_s_for_the_same_indices(pictures, tmp_path):
    """To the last bit but one: 127.5 divides here, 255 and 0.5 do there."""
    packed = Packed(str(pictures), 64, cache_dir=str(tmp_path))
    ours = list(loading.our_batches(packed, 6, seed=3, batch_size=8))
    theirs = list(loading.torchvision_batches(str(pictures), len(packed), 6, seed=3, workers=0, batch_size=8))
    assert len(ours) == len(theirs) == 6
    for a, b in zip(ours, theirs):
        assert a.shape == (8, 3, 64, 64) and a.dtype == b.dtype == torch.float32
        torch.testing.assert_close(a, b, rtol=0, atol=2e-7)
    other = next(loading.our_batches(packed, 1, seed=4, batch_size=8))
    assert not torch.allclose(other, ours[0])


@pytest.mark.slow
def test_pytorch_fid_s_network_sees_the_same_features(pictures, tmp_path):
    """With the benchmark's random weights: both sides do the same work."""
    judging.save_random_weights(tmp_path / "weights.pth")
    images = Packed(str(pictures), 64, cache_dir=str(tmp_path)).images_at([0, 9])
    ours = load_network(FeatureSpec(weights_path=str(tmp_path / "weights.pth")), CPU)(images)
    with torch.no_grad():
        (theirs,) = judging.their_network(tmp_path / "weights.pth", CPU)(images / 255)
    torch.testing.assert_close(ours, theirs.flatten(1), rtol=1e-3, atol=1e-4)
    assert ours.std() > 0.01


TINY = {"base_channels": 8, "channel_mult": [1, 2], "blocks_per_level": 1, "attention_resolutions": [], "patch": 4}
FOUR = {"steps": 4, "log_step": 4, "checkpoint_step": 4, "val_step": 4}


def test_the_trainer_s_steps_are_those_of_its_loop(pictures, tmp_path):
    """Weights after four steps are the same bits as after a run of four."""
    sections = {"train": FOUR, "model_args": TINY, "data": {"train_batch_size": 4}}
    stepped = stepping.experiment(place_in(tmp_path, pictures), str(tmp_path), "exp.run_name=steps", **sections)
    told = stepping.run_steps(stepped, 4)
    assert told["images_per_second"] > 0 and told["tflops"] > 0
    looped = stepping.experiment(place_in(tmp_path, pictures), str(tmp_path), "exp.run_name=loop", **sections)
    looped.run.close()
    looped.training_loop()
    ours, theirs = (trainer.networks["denoiser"].state_dict() for trainer in (stepped, looped))
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_the_bare_loop_trains_the_trainer_s_own_modules(pictures, tmp_path):
    trainer = stepping.experiment(place_in(tmp_path, pictures), str(tmp_path))
    weights = [p.clone() for p in trainer.networks["denoiser"].parameters()]
    average = [p.clone() for p in trainer.average.parameters()]
    stepping.bare_loop(trainer, trainer.feed.batches)(2)
    assert any(not torch.equal(a, b) for a, b in zip(weights, trainer.networks["denoiser"].parameters()))
    assert any(not torch.equal(a, b) for a, b in zip(average, trainer.average.parameters()))


def meta_roofline(module: nn.Module, shape: tuple[int, ...], flops: float, bandwidth: float) -> Roofline:
    mode = Roofline(flops, bandwidth, bytes_per_number=2)
    with mode:
        module.to("meta")(torch.empty(shape, device="meta"))
    return mode


def test_an_operation_takes_the_larger_of_its_arithmetic_and_its_traffic():
    """A convolution of 3 to 8 channels, 3 by 3, on 4 images of 16 by 16: 2 * 4 * 256 * 8 * 27 operations."""
    conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    operations, moved = 2 * 4 * 256 * 8 * 27, 2 * (4 * 3 * 256 + 8 * 27 + 4 * 8 * 256)
    assert meta_roofline(conv, (4, 3, 16, 16), 1e6, 1e12).seconds(fused=False) == pytest.approx(operations / 1e6)
    slow_memory = meta_roofline(conv, (4, 3, 16, 16), 1e15, 1e3)
    assert slow_memory.seconds(fused=False) == pytest.approx(moved / 1e3)
    assert slow_memory.operations == operations


def test_what_is_done_number_by_number_is_free_when_it_is_fused():
    """A SiLU reads 100 numbers and writes as many; views cost nothing."""
    mode = meta_roofline(nn.Sequential(nn.SiLU(), nn.Flatten()), (5, 4, 5), 1e12, 1e3)
    assert mode.seconds(fused=False) == pytest.approx(2 * 100 * 2 / 1e3)
    assert mode.seconds(fused=True) == 0


def test_a_backward_pass_costs_two_forward_ones_and_the_update_its_traffic():
    network = UnconditionalConv()
    mode = Roofline(1e12, 1e12, 2)
    training_pass(network.to("meta"), 4, mode)
    forward = 2 * 4 * 64 * 64 * 3 * 27
    assert mode.operations == forward * 3 - forward  # the images need no gradient
    assert update_seconds(nn.Linear(9, 10), 1e3) == 100 * 40 / 1e3


class UnconditionalConv(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x, c_noise, cond):
        return self.conv(x)


def test_the_command_prints_a_table_keeps_the_rows_and_names_what_is_not_installed(tmp_path, monkeypatch, capsys):
    draw_images(tmp_path / "dishes", 20, size=64)

    def missing(place):
        raise ModuleNotFoundError("No module named 'peer'", name="peer")

    def broken(place):
        raise RuntimeError("what went wrong")

    monkeypatch.setitem(bench.BENCHMARKS, "diffusers", missing)
    monkeypatch.setitem(bench.BENCHMARKS, "start", broken)
    monkeypatch.setitem(bench.BENCHMARKS, "data", lambda place: [Row("data", "a", "b", 11.0, unit="images/s")])
    out = tmp_path / "new" / "rows.json"
    words = ["run=[packing,start,diffusers,data]", f"images={tmp_path / 'dishes'}", "rounds=1", f"out={out}"]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *words, "device=cpu"])
    bench.main()
    printed = capsys.readouterr()
    assert "diffusers: peer is not here: pip install -r requirements-bench.txt" in printed.out
    assert "what went wrong" in printed.err
    table = printed.out.splitlines()[-3:]
    assert table[0].split()[:3] == ["what", "who", "ratio"] and table[1].startswith("packing") and "11.00" in table[2]
    kept = json.loads(out.read_text())["benchmarks"]
    assert {name: [row["what"] for row in one["rows"]] for name, one in kept.items()} == {
        "packing": ["packing 101,000 images"], "data": ["data"]
    }  # fmt: skip


@pytest.fixture
def counted(monkeypatch, tmp_path):
    """The command with two small benchmarks that count their calls; ``run(words)`` returns the table's rows."""
    calls = dict.fromkeys(("data", "packing"), 0)

    def measure(name):
        calls[name] += 1
        return [Row(name, "a", "b", float(calls[name]))]

    for name in calls:
        monkeypatch.setitem(bench.BENCHMARKS, name, lambda place, name=name: measure(name))

    def run(capsys, *words):
        monkeypatch.setattr(sys, "argv", ["benchmarks", *words, f"images={tmp_path}", f"out={tmp_path}/rows.json"])
        bench.main()
        return [line.split()[0::4] for line in capsys.readouterr().out.split("\n\n")[-1].splitlines()[1:]]

    return run


def test_a_later_call_keeps_what_earlier_ones_measured_and_goes_on_where_it_is_asked_to(counted, capsys, tmp_path):
    assert counted(capsys, "run=[data]", "device=cpu") == [["data", "1.00"]]
    assert counted(capsys, "run=[packing]", "device=cpu") == [["packing", "1.00"]]
    assert set(json.loads((tmp_path / "rows.json").read_text())["benchmarks"]) == {"data", "packing"}
    assert counted(capsys, "run=[data,packing]", "go_on=true", "device=cpu") == [["data", "1.00"], ["packing", "1.00"]]
    assert counted(capsys, "run=[data]", "device=cpu") == [["data", "2.00"]]  # asked for: measured again


def test_the_rows_of_another_machine_do_not_stay(counted, capsys, tmp_path):
    (tmp_path / "rows.json").write_text(json.dumps({"machine": {"gpu": "another"}, "benchmarks": {"data": {}}}))
    assert counted(capsys, "run=[packing]", "go_on=true", "device=cpu") == [["packing", "1.00"]]
    assert set(json.loads((tmp_path / "rows.json").read_text())["benchmarks"]) == {"packing"}


def test_when_the_minutes_are_over_nothing_new_begins(counted, capsys):
    assert counted(capsys, "run=[data]", "minutes=1e-9", "device=cpu") == []


def test_a_variant_that_fails_leaves_the_others_their_rows(tmp_path, monkeypatch, capsys):
    def against_default(place, what, build, name):
        if name == "bf16":
            raise RuntimeError("what went wrong")
        return [Row(what, name, "default", 1.0)]

    monkeypatch.setattr(stepping, "against_default", against_default)
    rows = stepping.variants(place_in(tmp_path, tmp_path))
    assert [row.first for row in rows] == ["channels_last", "bf16, channels_last", "fused Adam", "recompute"]
    assert "step, bf16 has failed" in capsys.readouterr().out


def test_presets_that_gpus_are_measured_with_are_those_of_the_configs(pictures, tmp_path):
    """As ``place.gpu`` builds them, but on the CPU: the diffusion model's own numbers of parameters, and the GAN's."""
    place = place_in(tmp_path, pictures)
    model = {"model_args": stepping.preset(stepping.MAIN)["model_args"]}
    denoiser = stepping.experiment(place, str(tmp_path), **model).networks["denoiser"]
    assert f"{count(denoiser) / 1e6:.1f}" == "33.4"
    gan = stepping.gan_experiment(place, str(tmp_path), "exp.run_name=gan", "train.channels_last=true")
    assert {name: f"{count(net) / 1e6:.1f}" for name, net in gan.networks.items()} == {
        "generator": "9.4", "discriminator": "9.3"
    }  # fmt: skip
    assert gan.config.train.channels_last and gan.images_per_step == 256
