"""The path length penalty against the closed form on a linear generator, and its running mean through a run."""

import pytest
import torch
from torch import Tensor

from models.gan.style import StyleGenerator
from tests.crashes import Crash, assert_same, final_state, run
from tests.gan_outcomes import Value, outcome
from tests.helpers import error_of, trainer_of
from tests.runs import STYLEGAN2, write_config
from training.losses.path_length import PathLength
from training.precision import Precision
from utils.batch import Condition

LAYERS, WIDTH, SIDE = 3, 4, 2


class Linear(StyleGenerator):
    """Images [N, 1, 2, 2] that are sums over the layers of B_l w_l; w is what the mapping network makes of z."""

    def __init__(self):
        super().__init__(0, WIDTH, WIDTH, mapping_layers=1, num_styles=LAYERS, style_mixing=0.0)
        rng = torch.Generator().manual_seed(0)
        self.b = torch.nn.Parameter(torch.randn(LAYERS, SIDE**2, WIDTH, generator=rng))

    def synthesize(self, w: Tensor, z: Tensor) -> Tensor:
        return torch.einsum("lpd,nld->np", self.b, w).view(-1, 1, SIDE, SIDE)


def made(step: int = 0, count: int = 6, generator: torch.nn.Module | None = None):
    """An outcome of the generator's move, and its noise y as rows [N, pixels]."""
    rng = torch.Generator().manual_seed(step)
    images, y = torch.zeros(count, 1, SIDE, SIDE), torch.randn(count, 1, SIDE, SIDE, generator=rng)
    fields = {"z": torch.randn(count, WIDTH, generator=rng), "randn": lambda purpose, shape: y, "step": step}
    return outcome(images, images, Value(), generator=generator or Linear(), **fields), y.flatten(1)


def closed_form(b: Tensor, y: Tensor) -> Tensor:
    """sqrt of the mean over layers of |B_l^T y|^2 / (H W), for each row of y."""
    pulled = torch.einsum("lpd,np->nld", b, y) / SIDE  # sqrt(H W) is the side
    return pulled.square().sum(dim=2).mean(dim=1).sqrt()


def test_the_lengths_of_a_linear_generator_are_those_of_its_transposed_matrix():
    """Wherever w is; at first the mean is zero, so the penalty is the mean square of the lengths."""
    case, y = made()
    expected = closed_form(case.generator.b, y).square().mean()
    assert PathLength(shrink=1)(case).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("interval", [1, 4, 16])
def test_the_term_is_the_plain_penalty_and_the_interval_its_factor(interval):
    case, _ = made(step=16)
    loss = PathLength(interval=interval)
    assert loss(case).item() == PathLength()(case).item()
    assert loss.factor(case) == interval


def test_the_lengths_square_to_the_matrix_s_own_square_on_the_average():
    """E |B^T y|^2 is the squared Frobenius norm of B, over H W: 20,000 draws, within three per cent."""
    case, _ = made(count=20_000)
    expected = case.generator.b.square().sum(dim=(1, 2)).mean() / SIDE**2
    assert PathLength(shrink=1)(case).item() == pytest.approx(expected.item(), rel=0.03)


def test_its_gradient_reaches_the_generator():
    """Of (length - 0)^2 by B_l it is 2 y y^T B_l / (L H W), averaged over images."""
    case, y = made()
    PathLength(shrink=1)(case).backward()
    b = case.generator.b
    outer = torch.einsum("np,nq->pq", y, y) / len(y)
    expected = 2 * torch.einsum("pq,lqd->lpd", outer, b.detach()) / (LAYERS * SIDE**2)
    torch.testing.assert_close(b.grad, expected, rtol=1e-4, atol=1e-6)


def test_the_mean_moves_towards_the_lengths_after_the_update_that_has_them():
    """a = 0, then 0.01 m_0, then 0.01 m_1 + 0.99 a."""
    loss, generator, mean = PathLength(shrink=1), Linear(), 0.0
    for step in range(4):
        case, y = made(step, generator=generator)
        lengths = closed_form(generator.b, y)
        assert loss(case).item() == pytest.approx((lengths - mean).square().mean().item(), rel=1e-4)
        mean = 0.99 * mean + 0.01 * lengths.mean().item()
    assert loss.state_dict()["mean"].item() == pytest.approx(mean, rel=1e-4)


def halves(case, y: Tensor):
    """The same update in two micro-batches."""
    for part in (slice(0, 4), slice(4, 8)):
        noise = y[part].view(-1, 1, SIDE, SIDE)
        fields = {"z": case.z[part], "randn": lambda purpose, shape, noise=noise: noise, "step": case.step}
        yield outcome(case.real[part], case.fake[part], Value(), generator=case.generator, **fields)


def test_two_micro_batches_are_penalised_as_the_whole_and_move_the_mean_as_it_does():
    """With every second image asked: those are the same, as both halves begin at an even place."""
    whole, cut, generator = PathLength(), PathLength(), Linear()
    for step in range(3):
        case, y = made(step, count=8, generator=generator)
        parts = [cut(half) for half in halves(case, y)]
        assert sum(parts).item() / 2 == pytest.approx(whole(case).item(), rel=1e-5)
    assert cut.state_dict()["mean"].item() == pytest.approx(whole.state_dict()["mean"].item(), rel=1e-5)


def test_asking_for_the_state_in_the_middle_changes_nothing():
    """A checkpoint does so; the run that goes on from it and the run that never stopped have the same mean."""
    plain, asked, restored = PathLength(), PathLength(), PathLength()
    for step in range(3):
        plain(made(step)[0])
        asked(made(step)[0])
        restored.load_state_dict(asked.state_dict())
    terms = [loss(made(3)[0]).item() for loss in (plain, asked, restored)]
    assert terms[0] == terms[1] == terms[2]


def test_half_types_are_left_for_float32_where_they_would_overflow():
    """fp16 in the middle of training: the length of a generator with weights of a thousand is finite and right."""
    case, y = made()
    case.generator.b.data *= 1000
    with Precision("cpu", torch.float16).autocast():
        term = PathLength(shrink=1)(case)
    assert term.item() == pytest.approx(closed_form(case.generator.b, y).square().mean().item(), rel=1e-4)


# ---- In a run.

FRAGILE = {**STYLEGAN2, "train.val_metrics": [], "gen_losses": {"fragile_softplus": 1.0, "path_length": 2.0}}


def test_a_run_that_crashed_ends_in_the_same_bits_and_with_the_same_mean(tmp_path):
    """Crash in step 5, go on from the checkpoint of step 3: the mean holds the lengths of steps 0, 2, 4 and 6."""
    config = write_config(tmp_path, "gan", FRAGILE)
    run(config, tmp_path / "unbroken")
    with pytest.raises(Crash):
        run(config, tmp_path / "broken", crash_at=5)
    run(config, tmp_path / "broken")
    first, second = (final_state(tmp_path / place, "gan") for place in ("unbroken", "broken"))
    assert_same(first, second)
    assert first["memories"]["gen_losses"]["path_length"]["mean"] > 0
    assert first["ema"]["mean_w"].any() and torch.equal(
        first["ema"]["mean_w"], first["networks"]["generator"]["mean_w"]
    )


def test_two_halves_of_the_batch_train_stylegan2_as_the_whole(tmp_path):
    """Noise and mixing are of each z, groups and path lengths of neighbours: another cut changes nothing but rounding.

    Plain SGD: Adam turns rounding in tiny gradients into full steps.
    """
    sgd = {f"{player}_optimizer_args": {"lr": 0.002} for player in ("gen", "disc")}
    changes = {**STYLEGAN2, **sgd, "train.gen_optimizer": "sgd", "train.disc_optimizer": "sgd", "train.steps": 3}
    weights = {}
    for accumulate in (1, 2):
        (tmp_path / str(accumulate)).mkdir()
        trainer = trainer_of(tmp_path / str(accumulate), "gan", f"train.accumulate={accumulate}", changes=changes)
        trainer.setup()
        before = torch.cat(
            [p.detach().flatten().clone() for net in trainer.networks.values() for p in net.parameters()]
        )
        trainer.training_loop()
        after = torch.cat([p.detach().flatten() for net in trainer.networks.values() for p in net.parameters()])
        weights[accumulate] = after
    torch.testing.assert_close(weights[2], weights[1], rtol=0, atol=1e-5)
    assert (after - before).abs().max() > 1e-3  # training moves them far more than that


def test_bf16_measures_the_same_path_lengths_and_the_same_slopes_nearly(tmp_path):
    """The first step's penalties, from the same weights and numbers; bf16 has 8 bits."""
    terms = {}
    for amp in ("off", "bf16"):
        trainer = trainer_of(tmp_path, "gan", f"exp.run_name=amp_{amp}", f"train.amp={amp}", changes=STYLEGAN2)
        trainer.setup()
        trainer.open_run()
        terms[amp] = {name: value.item() for name, value in trainer.train_step().items()}
        trainer.loggers.close()
        trainer.run.close()
    assert terms["off"] != terms["bf16"]
    for name in ("path_length", "r1"):
        assert terms["bf16"][name] == pytest.approx(terms["off"][name], rel=0.1)


def test_a_run_from_a_checkpoint_without_the_loss_starts_its_mean_anew(tmp_path):
    """A run without the penalty is the beginning of one with it."""
    plain = {**STYLEGAN2, "gen_losses": {"softplus_gen": 1.0}, "losses_args": None}
    first = trainer_of(tmp_path, "gan", "train.steps=1", changes=plain)
    first.setup()
    first.training_loop()
    file = tmp_path / "runs" / "gan" / "checkpoints" / "step_00000001.pt"
    words = ("exp.run_name=more", f"train.checkpoint_path={file}", "train.steps=3")
    second = trainer_of(tmp_path, "gan", *words, changes=STYLEGAN2)
    second.setup()
    second.training_loop()
    assert second.gen_losses.losses["path_length"].state_dict()["mean"] > 0


def test_a_generator_without_styles_is_one_line(capsys, tmp_path):
    line = error_of(capsys, tmp_path, "gan", changes={"gen_losses": {"softplus_gen": 1.0, "path_length": 2.0}})
    assert line == "error: gen_losses.path_length needs train.generator=stylegan or stylegan2, not dcgan"


def test_labels_are_cut_like_the_latents():
    """Of six images every second is asked with its own label."""
    seen = []

    class Recorded(Linear):
        def styles(self, z: Tensor, cond: Condition) -> Tensor:
            seen.append((z, cond.labels))
            return super().styles(z, cond)

    case, _ = made(generator=Recorded())
    case.__dict__["cond"] = Condition(torch.arange(6))
    PathLength()(case)
    assert torch.equal(seen[0][0], case.z[::2]) and seen[0][1].tolist() == [0, 2, 4]
