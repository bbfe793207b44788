"""Denoisers: what the network is asked, and what its answer means, against the papers' formulas."""

import inspect
import math

import pytest
import torch
from torch import Tensor, nn

from models.diffusion.denoisers import DDPMDenoiser, EDMDenoiser, FlowDenoiser, IDDPMDenoiser, VDenoiser
from models.diffusion.noise_tables import noise_table
from models.registry import denoisers_registry
from utils.batch import Condition
from utils.errors import ConfigError
from utils.schema import check_arguments

every_denoiser = pytest.mark.parametrize("name", denoisers_registry)


class Oracle(nn.Module):
    """A backbone that gives the answer it was told to give, and remembers the question.

    One that is asked for a variance as well, ``outputs`` 2, answers zeros there.
    """

    def __init__(self, answer: Tensor | None = None, outputs: int = 1):
        super().__init__()
        self.answer, self.outputs = answer, outputs

    def forward(self, x: Tensor, c_noise: Tensor, cond: Condition) -> Tensor:
        self.x, self.c_noise, self.cond = x, c_noise, cond
        answer = x if self.answer is None else self.answer
        return torch.cat([answer] + [torch.zeros_like(answer)] * (self.outputs - 1), dim=1)


def oracle_for(name: str) -> Oracle:
    return Oracle(outputs=denoisers_registry[name].outputs)


@pytest.fixture
def clean() -> Tensor:
    return torch.rand(16, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def noise() -> Tensor:
    return torch.randn(16, 3, 4, 4, generator=torch.Generator().manual_seed(1))


def levels_of(denoiser) -> Tensor:
    """Return 16 noise levels over the whole range, float32."""
    return torch.logspace(math.log10(denoiser.sigma_min), math.log10(denoiser.sigma_max), 16)


def image_shaped(sigma: Tensor) -> Tensor:
    return sigma.view(-1, 1, 1, 1)


@every_denoiser
def test_a_network_that_hits_the_target_denoises_perfectly(name, clean, noise):
    oracle = oracle_for(name)
    denoiser = denoisers_registry[name](oracle)
    sigma = levels_of(denoiser)
    oracle.answer = denoiser.target(clean, noise, sigma)
    x = clean + image_shaped(sigma) * noise
    prediction = denoiser.predict(x, sigma)
    rounding = 4 * torch.finfo(torch.float32).eps * x.abs().max()  # of x itself, which reaches sigma_max
    torch.testing.assert_close(prediction.denoised, clean, rtol=0, atol=max(rounding.item(), 1e-6))
    assert torch.equal(prediction.output, oracle.answer)
    assert torch.equal(denoiser(x, sigma), prediction.denoised)


@every_denoiser
def test_an_error_in_the_output_is_an_error_in_the_image(name, clean, noise):
    """So no denoiser passes the test above by ignoring its network."""
    oracle = oracle_for(name)
    denoiser = denoisers_registry[name](oracle)
    sigma = torch.ones(16)
    oracle.answer = denoiser.target(clean, noise, sigma) + 0.1
    assert (denoiser(clean + noise, sigma) - clean).abs().min() > 0.02


@every_denoiser
def test_precision_ends_at_the_denoiser(name, clean):
    denoiser = denoisers_registry[name](nn.Module())
    convolution = nn.Conv2d(3, 3 * denoiser.outputs, 1)
    denoiser.backbone.forward = lambda x, c_noise, cond: convolution(x)
    sigma = torch.ones(16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prediction = denoiser.predict(clean, sigma)
    assert prediction.denoised.dtype == prediction.output.dtype == torch.float32
    assert (prediction.output - denoiser.predict(clean, sigma).output).abs().max() > 1e-4, "autocast was not at work"
    for wrong in (torch.bfloat16, torch.float64):
        with pytest.raises(AssertionError, match="denoisers take float32"):
            denoiser(clean.to(wrong), sigma.to(wrong))


@every_denoiser
def test_the_backbone_is_told_float_noise_and_always_a_condition(name, clean):
    oracle, labels = oracle_for(name), torch.arange(16)
    denoiser = denoisers_registry[name](oracle)
    denoiser(clean, torch.ones(16))
    assert oracle.c_noise.shape == (16,) and oracle.c_noise.dtype == torch.float32
    assert oracle.cond == Condition()
    denoiser(clean, torch.ones(16), Condition(labels=labels))
    assert oracle.cond.labels is labels


@every_denoiser
def test_range_and_table_agree(name):
    denoiser = denoisers_registry[name](Oracle())
    assert 0 < denoiser.sigma_min < denoiser.sigma_max < math.inf
    if denoiser.table is not None:
        assert (denoiser.table.diff() > 0).all()
        assert [denoiser.sigma_min, denoiser.sigma_max] == denoiser.table[[0, -1]].tolist()


@every_denoiser
def test_settings_are_not_stored_in_checkpoints(name):
    denoiser = denoisers_registry[name](nn.Linear(2, 2))
    assert set(denoiser.state_dict()) == set(dict(denoiser.named_parameters()))


@every_denoiser
def test_settings_are_plain_annotated_arguments(name):
    parameters = inspect.signature(denoisers_registry[name]).parameters.values()
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD and p.annotation is not p.empty for p in parameters)


def test_a_table_denoiser_has_1000_steps_unless_told():
    assert len(DDPMDenoiser(Oracle()).table) == len(VDenoiser(Oracle(), num_steps=None).table) == 1000
    assert len(DDPMDenoiser(Oracle(), num_steps=50).table) == 50
    torch.testing.assert_close(DDPMDenoiser(Oracle()).table, noise_table("linear", 1000).float())
    torch.testing.assert_close(VDenoiser(Oracle()).table, noise_table("cosine", 1000).float())


def test_a_table_denoiser_tells_the_index_of_the_nearest_level_on_the_log_scale():
    denoiser = DDPMDenoiser(Oracle(), num_steps=100)
    assert denoiser.c_noise(denoiser.table).tolist() == list(range(100))
    between = torch.logspace(-3, 3, 997)  # beyond both ends, too
    nearest = (between.log()[:, None] - denoiser.table.log()[None, :]).abs().argmin(1)
    assert torch.equal(denoiser.c_noise(between), nearest.float())


@pytest.mark.parametrize("kind", [DDPMDenoiser, VDenoiser])
def test_a_table_denoiser_shows_the_variance_preserving_image(kind, clean, noise):
    """sqrt(abar) clean + sqrt(1 - abar) noise, Ho et al. 2020, equation 4."""
    oracle, T = Oracle(), 1000
    denoiser = kind(oracle, T, "linear")
    abar = (1 - torch.linspace(1e-4, 0.02, T, dtype=torch.float64)).cumprod(0)
    steps = torch.linspace(0, T - 1, 16).long()
    denoiser(clean + image_shaped(denoiser.table[steps]) * noise, denoiser.table[steps])
    a = image_shaped(abar[steps].float())
    torch.testing.assert_close(oracle.x, a.sqrt() * clean + (1 - a).sqrt() * noise, rtol=1e-5, atol=1e-5)
    assert torch.equal(oracle.c_noise, steps.float())


def test_ddpm_is_asked_for_the_noise_itself(clean, noise):
    assert DDPMDenoiser(Oracle()).target(clean, noise, torch.ones(16)) is noise


def test_iddpm_reads_the_noise_and_the_variance_from_the_two_halves_of_the_channels(clean, noise):
    """v = (r + 1) / 2; the image is DDPM's, and so is what the network is asked. 4000 steps of the cosine table."""
    oracle, sigma = Oracle(torch.cat([noise, noise.roll(1)], dim=1)), torch.linspace(0.1, 9, 16)
    denoiser, plain = IDDPMDenoiser(oracle), DDPMDenoiser(Oracle(noise), 4000, "cosine")
    prediction, expected = denoiser.predict(clean, sigma), plain.predict(clean, sigma)
    assert torch.equal(prediction.output, noise) and torch.equal(prediction.denoised, expected.denoised)
    torch.testing.assert_close(prediction.variance_fraction, (noise.roll(1) + 1) / 2)
    assert expected.variance_fraction is None
    assert torch.equal(oracle.x, plain.backbone.x) and torch.equal(oracle.c_noise, plain.backbone.c_noise)
    torch.testing.assert_close(denoiser.table, noise_table("cosine", 4000).float())


def test_v_is_noise_at_the_clean_end_and_minus_clean_at_the_noisy_end(clean, noise):
    denoiser = VDenoiser(Oracle())
    torch.testing.assert_close(denoiser.target(clean, noise, torch.full((16,), 1e-6)), noise, rtol=0, atol=1e-5)
    torch.testing.assert_close(denoiser.target(clean, noise, torch.full((16,), 1e6)), -clean, rtol=0, atol=1e-5)


def test_a_flow_shows_the_point_on_the_straight_path_and_a_thousand_times_its_time(clean, noise):
    oracle = Oracle()
    t = torch.linspace(0.01, 0.99, 16)
    sigma = t / (1 - t)
    denoiser = FlowDenoiser(oracle)
    denoiser(clean + image_shaped(sigma) * noise, sigma)
    path = (1 - image_shaped(t)) * clean + image_shaped(t) * noise
    torch.testing.assert_close(oracle.x, path, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(oracle.c_noise, 1000 * t, rtol=1e-5, atol=0)


def test_the_target_of_a_flow_is_the_velocity_of_the_path(clean, noise):
    def path(t: float) -> Tensor:
        return (1 - t) * clean + t * noise

    velocity = FlowDenoiser(Oracle()).target(clean, noise, torch.ones(16))
    torch.testing.assert_close(path(0.75) - path(0.25), 0.5 * velocity)


@pytest.mark.parametrize("sigma", [0.002, 0.1, 0.5, 3.0, 80.0])
def test_edm_gives_the_network_unit_variance_to_see_and_to_predict(sigma):
    """Karras et al. 2022, equations 114 and 115, for data of standard deviation sigma_data."""
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 256, 1, 32, 32, generator=generator)
    clean = 0.5 * clean
    oracle, level = Oracle(), torch.full((256,), sigma)
    denoiser = EDMDenoiser(oracle)
    denoiser(clean + sigma * noise, level)
    five_sigma = 5 * math.sqrt(2 / clean.numel())
    assert oracle.x.var().item() == pytest.approx(1, abs=five_sigma)
    assert denoiser.target(clean, noise, level).var().item() == pytest.approx(1, abs=five_sigma)
    torch.testing.assert_close(oracle.c_noise, torch.full((256,), math.log(sigma) / 4))


def test_edm_is_table_1(clean, noise):
    """D = c_skip x + c_out F(c_in x; c_noise), and the target (clean - c_skip x) / c_out, in float64 by hand."""
    oracle, sigma_data = Oracle(noise.roll(1)), 0.7
    denoiser = EDMDenoiser(oracle, sigma_data)
    sigma = levels_of(denoiser)
    s, c, n, F = image_shaped(sigma.double()), clean.double(), noise.double(), noise.roll(1).double()
    x = c + s * n
    c_skip = sigma_data**2 / (s**2 + sigma_data**2)
    c_out = s * sigma_data / (sigma_data**2 + s**2) ** 0.5
    D = denoiser(x.float(), sigma)
    torch.testing.assert_close(D, (c_skip * x + c_out * F).float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(oracle.x, (x / (s**2 + sigma_data**2) ** 0.5).float(), rtol=1e-5, atol=1e-5)
    target = denoiser.target(clean, noise, sigma)
    torch.testing.assert_close(target, ((c - c_skip * x) / c_out).float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "build, message",
    [
        (
            lambda: check_arguments(EDMDenoiser, {"sigma_data": 0}, "denoiser_args", ["backbone"]),
            r"_args\.sigma_data\b",
        ),
        (lambda: EDMDenoiser(Oracle(), sigma_min=90), "sigma_min must lie between 0 and sigma_max: 90 and 80"),
        (lambda: FlowDenoiser(Oracle(), sigma_min=0), "sigma_min must lie between 0 and sigma_max"),
    ],
)
def test_a_wrong_setting_is_named(build, message):
    with pytest.raises(ConfigError, match=message):
        build()
