"""The losses of the variational bound: their values by hand, and what they teach."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.diffusion.denoisers import DDPMDenoiser, IDDPMDenoiser, Prediction
from sampling.chain import steps_of
from tests.bound_by_hand import term_by_hand
from tests.helpers import error_of, trainer_of
from training.levels import Levels, TableLevels
from training.losses.diffusion import DiffusionOutcome, VLBVariance
from training.losses.registry import losses_registry
from utils.batch import Condition
from utils.images import to_float

T, N = 30, 12
IDDPM = {
    "train.denoiser": "iddpm",
    "train.levels": "table",
    "train.sampler": "ddpm",
    "train.sampling_levels": "respaced",
    "denoiser_args": {"num_steps": 20},
    "losses_coef": {"mse": 1.0, "vlb_variance": 0.001},
}


class Answers(nn.Module):
    """A network whose two answers for each number of an image have a parameter each."""

    def __init__(self, outputs: int):
        super().__init__()
        self.noise, self.r = nn.Parameter(torch.tensor(0.9)), nn.Parameter(torch.tensor(0.3))
        self.outputs = outputs

    def forward(self, x_t: Tensor, c_noise: Tensor, cond: Condition) -> Tensor:
        answers = self.noise * torch.tanh(x_t), self.r * torch.sin(3 * x_t)
        return torch.cat(answers[: self.outputs], dim=1)


def outcome_of(denoiser: nn.Module, weight: Tensor | None = None) -> DiffusionOutcome:
    """Ask about noisy pictures at levels of the whole table, 0 among them."""
    rng = torch.Generator().manual_seed(0)
    clean = to_float(torch.randint(0, 256, (N, 3, 4, 4), dtype=torch.uint8, generator=rng))
    noise = torch.randn(clean.shape, generator=rng)
    levels: Levels = TableLevels(denoiser)(lambda purpose: torch.linspace(0, 0.999, N))
    prediction = denoiser.predict(clean + levels.sigma[:, None, None, None] * noise, levels.sigma, Condition())
    weight = levels.weight if weight is None else weight
    return DiffusionOutcome(
        clean, noise, levels.sigma, weight, noise, prediction, Condition(), levels.steps
    )  # fmt: skip


def by_hand(outcome: DiffusionOutcome, table: Tensor) -> np.ndarray:
    """Return each image's term in bits per dimension, from the network's answers alone."""
    v = outcome.prediction.variance_fraction
    v = torch.zeros_like(outcome.clean) if v is None else v
    s = outcome.sigma.double()[:, None, None, None]
    x = outcome.clean.double() + s * outcome.noise
    D = x - s * outcome.prediction.output
    x_t = x / (1 + s**2).sqrt()
    arrays = [tensor.detach().double().numpy() for tensor in (outcome.clean, D, x_t, v)]
    index = outcome.steps.index.tolist()
    return np.array([term_by_hand(table.double(), *(a[i] for a in arrays), t) for i, t in enumerate(index)])


@pytest.mark.parametrize("kind", [IDDPMDenoiser, DDPMDenoiser])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_vlb_is_t_times_the_weighted_mean_of_the_terms_by_hand(kind, schedule):
    """In bits per dimension; a network that learns no variance has beta-tilde."""
    denoiser = kind(Answers(kind.outputs), T, schedule)
    weight = torch.linspace(0.5, 2, N)
    outcome = outcome_of(denoiser, weight)
    expected = T * (weight.double().numpy() * by_hand(outcome, denoiser.table)).mean()
    assert losses_registry["vlb"]()(outcome).item() == pytest.approx(expected, rel=2e-5)
    assert outcome.steps.index[0] == 0 and outcome.steps.index[-1] == T - 1


def test_vlb_variance_is_the_same_number_but_teaches_the_variance_alone():
    denoiser = IDDPMDenoiser(Answers(2), T)
    gradients = {}
    for name in ("vlb", "vlb_variance"):
        loss = losses_registry[name]()(outcome_of(denoiser))
        gradients[name] = torch.autograd.grad(loss, [denoiser.backbone.noise, denoiser.backbone.r])
        gradients[f"{name} value"] = loss.item()
    assert gradients["vlb value"] == gradients["vlb_variance value"]
    assert gradients["vlb_variance"][0] == 0 and gradients["vlb"][0].abs() > 0.1
    assert torch.equal(gradients["vlb_variance"][1], gradients["vlb"][1]) and gradients["vlb"][1].abs() > 0.05


def test_the_variance_it_teaches_is_that_of_the_reverse_step():
    """Data N(0, w^2) and the ideal D: x_s given x_t is Gaussian, its variance beta-tilde and a part of the guess's."""
    w, steps = 0.25, steps_of(torch.tensor([0.1, 0.3, 0.5]))
    step = steps.at(torch.full((64,), 1))
    t, s = step.t[0].item(), step.s[0].item()
    rng = torch.Generator().manual_seed(0)
    clean, noise = w * torch.randn(64, 3, 32, 32, generator=rng), torch.randn(64, 3, 32, 32, generator=rng)
    D = w**2 / (w**2 + t**2) * (clean + t * noise)
    small = s**2 * (t**2 - s**2) / t**2
    ideal = small + (1 - s**2 / t**2) ** 2 * w**2 * t**2 / (w**2 + t**2)
    best = math.log(ideal / small) / (step.log_large - step.log_small)[0].item()
    v = torch.tensor(best, requires_grad=True)
    prediction = Prediction(D, D, variance_fraction=v.expand_as(clean))
    outcome = DiffusionOutcome(clean, noise, step.t.float(), torch.ones(64), noise, prediction, Condition(), step)
    (slope,) = torch.autograd.grad(VLBVariance()(outcome), v)
    curvature = steps.count * 0.5 * (step.log_large - step.log_small)[0].item() ** 2 / math.log(2)
    assert abs(slope.item() / curvature) < 0.01  # at most so far from the best
    assert 0.3 < best < 0.9


def test_l_hybrid_trains_the_noise_and_the_variance(tmp_path):
    """Both halves of the last layer move from zero."""
    trainer = trainer_of(tmp_path, "diffusion", changes=IDDPM)
    trainer.setup()
    trainer.training_loop()
    noise, r = trainer.networks["denoiser"].backbone.conv_out.weight.chunk(2)
    assert noise.shape == r.shape == (3, 8, 3, 3) and noise.any() and r.any()


WRONG = [
    ("train.denoiser=ddpm", ("vlb_variance needs a network that learns the variance", "train.denoiser=iddpm")),
    ("train.levels=lognormal", ("vlb and vlb_variance need steps of a table", "train.levels=table")),
    ("train.levels=importance", ("losses_coef: mse ignores the weights of train.levels=importance", "use vlb")),
    (
        "train.denoiser=edm denoiser_args=null train.levels=importance train.sampling_levels=karras",
        ("levels_args: these levels need a denoiser with a table", "train.denoiser=ddpm"),
    ),
    ("levels_args.history=0 train.levels=importance", ("levels_args.history=0", "greater than or equal to 1")),
    ("sampler_args.variance=learned", ("sampler_args.variance", "'auto', 'small' or 'large'")),
]


@pytest.mark.parametrize(("overrides", "said"), WRONG, ids=[overrides for overrides, _ in WRONG])
def test_what_does_not_fit_together_is_one_line(capsys, tmp_path, overrides, said):
    line = error_of(capsys, tmp_path, "diffusion", *overrides.split(), changes=IDDPM)
    assert [part for part in said if part not in line] == [], line


def test_a_network_without_channels_for_a_variance_is_one_line(capsys, tmp_path):
    plain = {"train.model": "base_diffusion", "model_args": {"hidden_dim": 32}}
    line = error_of(capsys, tmp_path, "diffusion", changes=IDDPM | plain)
    assert "train.denoiser=iddpm also asks for a variance, which base_diffusion has no channels for" in line
    assert "train.model=unet" in line
