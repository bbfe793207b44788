"""Samplers and tables against diffusers' schedulers: same network, same noise, same images to 1e-4.

diffusers is imported inside the tests: it is a development dependency, and slow to load.
"""

import pytest
import torch
from torch import Tensor, nn

from models.diffusion.denoisers import DDPMDenoiser, FlowDenoiser, IDDPMDenoiser, VDenoiser
from models.diffusion.noise_tables import noise_table
from sampling.samplers import DDIMSampler, DDPMSampler, DPMPlusPlus2MSampler, EulerSampler
from utils.seeding import ImageRng

T = 1000
BETAS = {
    "linear": {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
}


class Network(nn.Module):
    """The noise as if trained on data of width 0.5, around a mean that wobbles with the image and the step."""

    def __init__(self):
        super().__init__()
        self.table = noise_table("linear", T).float()

    def forward(self, x_t: Tensor, c_noise: Tensor, cond=None) -> Tensor:
        sigma = self.table[c_noise.long()].view(-1, 1, 1, 1)
        mean = 0.3 * torch.sin(3 * x_t.roll(1, -1) + sigma.log())
        return sigma * (x_t * (1 + sigma**2).sqrt() - mean) / (sigma**2 + 0.25)


class LearnsVariance(nn.Module):
    """The network above, and beside its noise a variance that wobbles with the image, from below -1 to above 1."""

    def __init__(self):
        super().__init__()
        self.noise = Network()

    def forward(self, x_t: Tensor, c_noise: Tensor, cond=None) -> Tensor:
        r = 1.3 * torch.sin(5 * x_t + c_noise.view(-1, 1, 1, 1) / 100)
        return torch.cat([self.noise(x_t, c_noise), r], dim=1)


class Velocity(nn.Module):
    """Any velocity that depends on the image and on the time, 0 to 1000."""

    def forward(self, x_t: Tensor, c_noise: Tensor, cond=None) -> Tensor:
        return x_t + torch.sin(3 * x_t.roll(1, -1) + c_noise.view(-1, 1, 1, 1) / 100)


def schedulers(name: str, schedule: str, **settings):
    return getattr(pytest.importorskip("diffusers"), name)(num_train_timesteps=T, **BETAS[schedule], **settings)


def start() -> tuple[Tensor, ImageRng]:
    rng = ImageRng(0, range(3))
    return rng.randn((3, 8, 8)), rng


def theirs(scheduler, network: nn.Module, **settings) -> Tensor:
    """Sample with a diffusers scheduler: the same start noise, and each image's own generator."""
    x, rng = start()
    for t in scheduler.timesteps:
        output = network(x, torch.full((len(x),), float(t)))
        x = scheduler.step(output, t, x, generator=rng.generators, **settings).prev_sample
    return x


def ours(sampler, denoiser, timesteps: Tensor) -> Tensor:
    noise, rng = start()
    levels = torch.cat([denoiser.table.double()[timesteps.long()], torch.zeros(1, dtype=torch.float64)])
    return sampler(denoiser, noise, None, levels, rng)


@pytest.mark.parametrize("schedule", BETAS)
def test_noise_tables(schedule):
    """Their betas are float32: abar may differ by one rounding a step, about 1e-7, and by 1e-5 of itself at the end."""
    abar = schedulers("DDPMScheduler", schedule).alphas_cumprod.double()
    table = DDPMDenoiser(nn.Identity(), T, schedule).table.double()
    torch.testing.assert_close(1 / (1 + table**2), abar, rtol=3e-5, atol=0)
    torch.testing.assert_close(table**2 / (1 + table**2), 1 - abar, rtol=0, atol=1e-6)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("steps", [50, T])
def test_ddpm(steps, variance, clip):
    scheduler = schedulers("DDPMScheduler", "linear", variance_type=f"fixed_{variance}", clip_sample=clip)
    scheduler.set_timesteps(steps)
    images = ours(DDPMSampler(variance, clip), DDPMDenoiser(Network(), T), scheduler.timesteps)
    torch.testing.assert_close(images, theirs(scheduler, Network()), rtol=0, atol=1e-4)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("steps", [50, T])
def test_ddpm_with_a_learned_variance(steps, clip):
    """With 50 of 1000 steps the range of the variance is that of the longer steps, in both."""
    scheduler = schedulers("DDPMScheduler", "linear", variance_type="learned_range", clip_sample=clip)
    scheduler.set_timesteps(steps)
    images = ours(DDPMSampler(clip=clip), IDDPMDenoiser(LearnsVariance(), T, "linear"), scheduler.timesteps)
    expected = theirs(scheduler, LearnsVariance())
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-4)
    fixed = ours(DDPMSampler("small", clip), IDDPMDenoiser(LearnsVariance(), T, "linear"), scheduler.timesteps)
    assert (fixed - expected).abs().max() > 0.01


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [10, 50])
def test_ddim(steps, eta, clip):
    """Spacing "trailing": with "linspace" their steps do not lead from one timestep to the next (their issue 12633)."""
    scheduler = schedulers("DDIMScheduler", "linear", timestep_spacing="trailing", clip_sample=clip)
    scheduler.set_timesteps(steps)
    images = ours(DDIMSampler(eta, clip), DDPMDenoiser(Network(), T), scheduler.timesteps)
    expected = theirs(scheduler, Network(), eta=eta, use_clipped_model_output=True)
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("steps", [10, 50])
def test_dpmpp_2m(steps):
    scheduler = schedulers("DPMSolverMultistepScheduler", "linear", final_sigmas_type="zero")
    scheduler.set_timesteps(steps)
    images = ours(DPMPlusPlus2MSampler(), DDPMDenoiser(Network(), T), scheduler.timesteps)
    torch.testing.assert_close(images, theirs(scheduler, Network()), rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", ["DDIMScheduler", "DPMSolverMultistepScheduler"])
@pytest.mark.parametrize("steps", [10, 50])
def test_v_prediction_with_the_cosine_table(steps, name):
    """The largest sigma is 20,000: there a predicted noise loses the image in float32, a predicted v does not."""
    ddim = name == "DDIMScheduler"
    settings = {"clip_sample": False, "timestep_spacing": "trailing"} if ddim else {"final_sigmas_type": "zero"}
    scheduler = schedulers(name, "cosine", prediction_type="v_prediction", **settings)
    scheduler.set_timesteps(steps)
    sampler = DDIMSampler(clip=False) if ddim else DPMPlusPlus2MSampler()
    images = ours(sampler, VDenoiser(Velocity(), T, "cosine"), scheduler.timesteps)
    torch.testing.assert_close(images, theirs(scheduler, Velocity()), rtol=0, atol=1e-4)


def test_euler_along_a_rectified_flow():
    scheduler = pytest.importorskip("diffusers").FlowMatchEulerDiscreteScheduler(num_train_timesteps=T)
    scheduler.set_timesteps(20)  # their "sigma" is the time t of the flow
    noise, rng = start()
    time = scheduler.sigmas.double()
    time[0] = 1 - 1e-6  # sigma = t / (1 - t) is infinite at the start
    images = EulerSampler()(FlowDenoiser(Velocity()), noise, None, time / (1 - time), rng)
    torch.testing.assert_close(images, theirs(scheduler, Velocity()), rtol=0, atol=1e-4)
