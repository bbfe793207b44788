"""Levels by importance: an unbiased estimate of the bound with less noise, and a memory that no crash loses."""

from collections import deque
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.diffusion.denoisers import IDDPMDenoiser
from tests.crashes import Crash, assert_same, final_state, run
from tests.fake_gpu import GPU, NothingComesBack, on_fake_gpu
from tests.helpers import trainer_of
from tests.runs import words, write_config
from training.launch import load_trainer
from training.levels import ImportanceLevels, TableLevels

T, HISTORY = 12, 4
GRID = 60_000
RUN = {
    "train.denoiser": "iddpm",
    "train.levels": "importance",
    "train.sampling_levels": "respaced",
    "denoiser_args": {"num_steps": 2},
    "sampling_levels_args": {"steps": 2},
    "levels_args": {"history": HISTORY},
    "losses_coef": {"fragile_vlb": 0.01},
    "train.val_step": 7,
    "dataset_args": {"num_images": 16},
}


def draw(purpose: str) -> Tensor:
    """All uniform numbers: what is drawn from them has exactly the probabilities of the distribution."""
    return (torch.arange(GRID) + 0.5) / GRID


def importance(num_steps: int = T, history: int = HISTORY, **settings) -> ImportanceLevels:
    return ImportanceLevels(IDDPMDenoiser(nn.Identity(), num_steps), history, **settings)


def fed(levels: ImportanceLevels, index: Tensor, terms: Tensor, cut: int | None = None) -> ImportanceLevels:
    """Let the levels learn a batch, in two parts if it is to be cut."""
    for part in (slice(None, cut), slice(cut, None)) if cut else (slice(None),):
        outcome = SimpleNamespace(steps=SimpleNamespace(index=index[part]), bound=terms[part])
        levels.learn(outcome, last=part.stop is None)
    return levels


def filled(**settings) -> tuple[ImportanceLevels, np.ndarray]:
    """Return levels that remember terms of very different sizes, and these [T, HISTORY]."""
    rng = np.random.default_rng(0)
    terms = np.geomspace(10, 0.01, T)[:, None] * rng.uniform(0.5, 1.5, (T, HISTORY))
    index = torch.arange(T).repeat(HISTORY)
    return fed(importance(**settings), index, torch.from_numpy(terms.T.flatten()).float()), terms


def test_steps_come_in_proportion_to_the_root_of_their_mean_squares():
    """Equation 18, and a thousandth drawn evenly."""
    levels, terms = filled()
    size = np.sqrt((terms**2).mean(axis=1))
    expected = 0.999 * size / size.sum() + 0.001 / T
    np.testing.assert_allclose(levels.probabilities().numpy(), expected, rtol=1e-6)
    drawn = levels(draw)
    counts = torch.bincount(drawn.steps.index, minlength=T).numpy()
    np.testing.assert_allclose(counts / GRID, expected, atol=1.1 / GRID)
    assert torch.equal(drawn.sigma, levels.table[drawn.steps.index])


@pytest.mark.parametrize("uniform", [0.0, 0.001, 0.3])
def test_the_weighted_mean_is_the_mean_over_all_steps_whatever_the_terms(uniform):
    """Unbiased: E[f(t) / (T p_t)] is the mean of f, also for an f that the memory knows nothing of."""
    levels, _ = filled(uniform=uniform)
    drawn = levels(draw)
    for seed in range(3):
        f = torch.rand(T, generator=torch.Generator().manual_seed(seed))
        estimate = (drawn.weight * f[drawn.steps.index]).double().mean().item()
        assert estimate == pytest.approx(f.double().mean().item(), rel=2e-3 if uniform else 2e-2)


def test_the_estimate_of_the_bound_is_less_noisy_than_with_even_steps():
    """Second moments, exactly: (mean of sizes)^2 with p in proportion to the sizes, the mean of squares without."""
    levels, terms = filled(uniform=0.0)
    size = np.sqrt((terms**2).mean(axis=1))
    drawn = levels(draw)
    found = (drawn.weight.double() * torch.from_numpy(size)[drawn.steps.index]).square().mean().item()
    assert found == pytest.approx(size.mean() ** 2, rel=1e-2)
    assert found < 0.4 * (size**2).mean()


def test_until_every_step_is_known_all_come_equally_often_with_equal_weight():
    levels = importance()
    even = TableLevels(IDDPMDenoiser(nn.Identity(), T))(draw)
    index = torch.arange(T).repeat(HISTORY)
    terms = torch.linspace(1, 5, len(index))
    fed(levels, index[:-1], terms[:-1])  # one term of the last step is missing
    drawn = levels(draw)
    assert torch.equal(drawn.steps.index, even.steps.index) and torch.allclose(drawn.weight, even.weight)
    fed(levels, index[-1:], terms[-1:])
    assert not torch.equal(levels(draw).steps.index, even.steps.index)


@pytest.mark.parametrize("batch", [1, 7, 40])
@pytest.mark.parametrize("cut", [False, True])
def test_it_remembers_the_latest_terms_of_each_step_as_queues_would(batch, cut):
    """Also when a batch has more of one step than are remembered, and however the batch is cut."""
    rng = torch.Generator().manual_seed(batch)
    levels, queues = importance(num_steps=5), [deque([0.0] * HISTORY, maxlen=HISTORY) for _ in range(5)]
    for _ in range(10):
        index = (5 * torch.rand(batch, generator=rng) ** 2).long()
        terms = torch.rand(batch, generator=rng)
        fed(levels, index, terms, cut=batch // 2 if cut else None)
        for step, term in zip(index.tolist(), terms.tolist()):
            queues[step].append(term)
        for row, queue in zip(levels.memory.tolist(), queues):
            assert sorted(row) == sorted(queue)


def test_a_run_that_crashed_and_went_on_draws_the_same_steps(tmp_path):
    """From the checkpoint at 3, whose memory of 24 terms is full, so that it is what the levels are drawn by."""
    config = write_config(tmp_path, "diffusion", RUN)
    run(config, tmp_path / "unbroken")
    with pytest.raises(Crash):
        run(config, tmp_path / "broken", crash_at=5)
    run(config, tmp_path / "broken")
    states = [final_state(tmp_path / name, "diffusion") for name in ("unbroken", "broken")]
    assert_same(*states)
    memory = states[0]["memories"]["levels"]
    assert (memory["counts"].sum(), memory["counts"].min() >= HISTORY, memory["memory"].min() > 0) == (56, True, True)


def test_a_new_run_from_a_file_of_another_begins_with_an_empty_memory(tmp_path):
    """Whose levels may be of other losses, or remember another number of terms."""
    config = write_config(tmp_path, "diffusion", RUN)
    run(config, tmp_path)
    file = tmp_path / "diffusion" / "checkpoints" / "step_00000007.pt"
    more = ["exp.run_name=second", f"train.checkpoint_path={file}", "levels_args.history=9", "train.steps=8"]
    trainer = load_trainer(words(config, tmp_path, *more))
    trainer.setup()
    trainer.open_run()
    assert trainer.step == 7 and trainer.levels.memory.shape == (2, 9) and not trainer.levels.counts.any()
    trainer.loggers.close()
    trainer.run.close()


def test_no_step_waits_for_the_gpu(tmp_path):
    """The memory lies there, and what levels come next is decided there."""
    trainer = trainer_of(tmp_path, "diffusion", changes=RUN)
    trainer.setup()
    with on_fake_gpu(trainer), NothingComesBack():
        for trainer.step in range(2):
            trainer.images_seen += trainer.images_per_step
            trainer.train_step()
        assert trainer.levels.memory.device == trainer.levels.counts.device == GPU


def test_a_term_that_is_no_number_is_remembered_as_the_mean_of_its_step():
    """The step that it belongs to is left out; one such term would make every probability nan for ever."""
    levels, terms = filled()
    before = levels.probabilities()
    fed(levels, torch.tensor([2, 5]), torch.tensor([float("nan"), float("inf")]))
    assert levels.memory.isfinite().all()
    for row in (2, 5):
        torch.testing.assert_close(levels.memory[row, 0].item(), terms[row].mean(), rtol=1e-5, atol=0)
    assert levels.probabilities().isfinite().all() and not torch.equal(levels.probabilities(), before)
