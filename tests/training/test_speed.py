"""What a run tells of its speed, counted by hand; and what makes a step smaller changes nothing that it computes."""

import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

import train
from tests.helpers import error_of, trainer_of
from tests.runs import FAMILIES, words, write_config
from training.check import measure
from training.compiling import compile_in_place
from training.speed import PEAK_TFLOPS, Speedometer, looking, operations_per_image, peak_memory, peak_tflops

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "tensor_cores", "boost_ghz"),
    [("RTX 4090", 512, 2.52), ("RTX 4080", 304, 2.505), ("RTX 4070", 184, 2.475), ("RTX 4060", 96, 2.46),
     ("RTX 3090", 328, 1.695), ("RTX 3080", 272, 1.71), ("RTX 3070", 184, 1.725), ("RTX 3060", 112, 1.777)],
)  # fmt: skip
def test_peaks_of_geforce_cards_follow_from_cores_and_clock(name, tensor_cores, boost_ghz):
    """A tensor core makes 128 products and sums a clock in fp16, and half of that when it sums in float32."""
    assert PEAK_TFLOPS[name] == pytest.approx(tensor_cores * boost_ghz * 128 * 2 / 2 / 1e3, rel=0.005)


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H200", 989.4), ("NVIDIA H100 80GB HBM3", 989.4), ("NVIDIA H100 PCIe", 756.0), ("NVIDIA L40S", 362.0),
     ("NVIDIA L4", 121.0), ("Tesla T4", 65.0), ("NVIDIA A100-SXM4-80GB", 312.0), ("NVIDIA A100 80GB PCIe", 312.0),
     ("NVIDIA GeForce RTX 3060", 25.5), ("NVIDIA GeForce RTX 3060 Ti", 32.4), ("NVIDIA GeForce RTX 4070 Ti", 80.2)],
)  # fmt: skip
def test_a_card_of_the_table_is_known_by_its_name(name, peak):
    assert peak_tflops(name, torch.bfloat16) == peak
    assert peak_tflops(name, None) is None  # the table is of half precision


@pytest.mark.parametrize(
    "name",
    ["NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GeForce RTX 4070 SUPER", "NVIDIA GeForce RTX 4070 Ti SUPER",
     "NVIDIA GeForce RTX 3080 Ti", "NVIDIA GeForce RTX 4090 D", "NVIDIA L40", "NVIDIA T400", "NVIDIA H20",
     "NVIDIA A10G"],
)  # fmt: skip
def test_a_card_with_a_name_alike_is_not_taken_for_it(name):
    assert peak_tflops(name, torch.bfloat16) is None


def test_speed_is_told_in_operations_and_as_a_share_of_the_peak():
    told = Speedometer(operations=3e9, device=CPU, peak=0.6).read({"images_per_second": 100.0})
    assert (told["tflops"], told["share_of_peak"]) == (pytest.approx(0.3), pytest.approx(0.5))
    assert told["images_per_second"] == 100
    assert "share_of_peak" not in Speedometer(3e9, CPU).read({"images_per_second": 100.0})


def test_before_the_first_step_the_time_is_told_from_what_the_gpu_can_do():
    """1,000 images of 3.6 TFLOP on 1 TFLOP/s: an hour, at a quarter of it four."""
    told = Speedometer(operations=3.6e12, device=CPU, peak=1.0).forecast(1000)
    assert told.startswith("about 4:00:00 to the end if 25% of the GPU's peak is reached")
    assert Speedometer(operations=3.6e12, device=CPU).forecast(1000) is None


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells it there")
def test_peak_memory_on_a_cpu_is_what_linux_says():
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    assert peak_memory(CPU) == pytest.approx(1024 * int(line.split()[1]), rel=0.02)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_tells_its_operations_memory_and_waiting(family, tmp_path):
    train.main(words(write_config(tmp_path, family), tmp_path / "runs"))
    lines = [json.loads(line) for line in (tmp_path / "runs" / family / "timing.jsonl").read_text().splitlines()]
    laps = [line for line in lines if "images_per_second" in line]
    trainer = trainer_of(tmp_path, family)
    trainer.setup()
    operations = operations_per_image(trainer)
    for lap in laps:
        assert lap["tflops"] * 1e12 / lap["images_per_second"] == pytest.approx(operations)
        assert 0 <= lap["share_waiting_for_data"] < 1 and lap["peak_memory_gib"] > 0.1
    assert len(laps) == 4


def test_training_costs_what_a_forward_and_a_backward_pass_are_counted_to_cost(tmp_path):
    """But for the first convolution, whose input needs no gradient, and attention, whose slopes cost five products."""
    trainer = trainer_of(tmp_path, "diffusion", "train.label_dropout=0")
    trainer.setup()
    run = trainer.example_passes(batch_size=8)["denoiser"]
    both, _ = measure(lambda: run().sum().backward(), trainer.networks["denoiser"])
    assert operations_per_image(trainer) == pytest.approx(both / 8, rel=0.03)


def test_a_gan_s_step_costs_what_is_counted(tmp_path):
    """Without penalties. Two discriminator moves on 8 images each, then the generator's: 16 images a step."""
    changes = {"disc_losses": {"softplus_disc": 1.0}, "losses_args": {}, "train.disc_steps": 2, "train.compile": "off"}
    trainer = trainer_of(tmp_path, "gan", changes=changes)
    trainer.setup()
    trainer.open_run()
    trainer.images_seen = trainer.images_per_step
    step, _ = measure(trainer.train_step, trainer.networks["discriminator"])
    assert operations_per_image(trainer) == pytest.approx(step / 16, rel=0.03)


@pytest.mark.parametrize("family", FAMILIES)
def test_counting_leaves_the_networks_as_they_are(family, tmp_path):
    """Batch statistics and spectral norms move in a pass in training; not in a look."""
    trainer = trainer_of(tmp_path, family)
    trainer.setup()
    before = {name: {k: v.clone() for k, v in net.state_dict().items()} for name, net in trainer.networks.items()}
    operations_per_image(trainer)
    for name, network in trainer.networks.items():
        assert all(torch.equal(value, before[name][key]) for key, value in network.state_dict().items())
        assert network.training


class Halves(nn.Module):
    def forward(self, x):
        return x.relu() / 2


def test_a_look_does_not_compile():
    network = Halves()
    compiled = []
    network.compile(backend=lambda graph, inputs: compiled.append(graph) or graph)
    with looking({"net": network}):
        network(torch.ones(1, 2))
        assert not network.training
    assert compiled == [] and network.training
    network(torch.ones(1, 2))
    assert len(compiled) == 1


def test_what_the_compiler_makes_is_kept_in_the_cache_folder_unless_the_user_names_another(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    for named, expected in ((None, "/somewhere/mise/compiled"), ("/mine", "/mine")):
        monkeypatch.setenv("MISE_CACHE", "/somewhere/mise")
        if named:
            monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", named)
        else:
            monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
        compile_in_place({}, "on", CPU)
        assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == expected


def kept_bytes_and_state(tmp_path, *overrides: str) -> tuple[int, dict]:
    """Run four steps. Returns the bytes that a pass keeps for the backward pass, and the weights after them."""
    trainer = trainer_of(tmp_path, "diffusion", f"exp.run_name=with_{len(overrides)}", *overrides)
    trainer.setup()
    trainer.open_run()
    trainer.networks["denoiser"].train()
    _, kept = measure(trainer.example_passes(batch_size=4)["denoiser"], trainer.networks["denoiser"])
    for _ in range(4):
        trainer.images_seen += 8
        trainer.train_step()
        trainer.step += 1
    return kept, trainer.networks["denoiser"].state_dict()


def test_recomputing_keeps_less_and_learns_the_same_bits(tmp_path):
    """With dropout, whose draws are made again."""
    kept, plain = kept_bytes_and_state(tmp_path)
    less, recomputed = kept_bytes_and_state(tmp_path, "train.recompute=true")
    assert less < kept / 2
    assert all(torch.equal(plain[name], recomputed[name]) for name in plain)


def test_recomputing_where_no_block_can_is_an_error_with_the_way_out(tmp_path, capsys):
    line = error_of(capsys, tmp_path, "gan", "train.recompute=true")
    assert "train.recompute is set, but these networks have no blocks that can: use train.accumulate=2" in line
