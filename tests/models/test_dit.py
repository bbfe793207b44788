"""The transformer against the paper's table, against diffusers' with the weights carried over, and what it refuses."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from models.diffusion.dit import DiT, DiTBlock, grid_positions
from models.diffusion.to_diffusers import copy_layer
from models.registry import denoisers_registry
from utils.batch import Condition
from utils.errors import ConfigError

SIZES = {"S": (384, 12, 6), "B": (768, 12, 12), "L": (1024, 24, 16), "XL": (1152, 28, 16)}  # width, depth, heads
TINY = {"width": 24, "depth": 2, "heads": 3, "patch": 2}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def of_the_paper(size: str, patch: int) -> DiT:
    """Latents of 32 by 32 by 4, 1000 classes and the null class, a learned variance: twice as many channels out."""
    width, depth, heads = SIZES[size]
    with torch.device("meta"):
        return DiT(32, 4, num_classes=1000, width=width, depth=depth, heads=heads, patch=patch, out_channels=8)


@pytest.mark.parametrize("patch", [2, 4, 8])
@pytest.mark.parametrize(("size", "millions"), [("S", 33), ("B", 130), ("L", 458), ("XL", 675)])
def test_it_has_the_parameters_of_the_paper(size, millions, patch):
    """Peebles & Xie 2022, figure 8 and the appendix's list of models; another patch changes less than a million."""
    count = sum(p.numel() for p in of_the_paper(size, patch).parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.5 if patch == 2 else 1.0)


@pytest.mark.parametrize(("size", "giga"), [("S", 1.4), ("B", 5.6), ("L", 19.7), ("XL", 29.1)])
def test_it_costs_what_the_paper_says(size, giga):
    """Table 1: multiply-adds of a pass with patch 4 (there called Gflops)."""
    net = of_the_paper(size, patch=4)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        net(torch.zeros(1, 4, 32, 32), torch.zeros(1), Condition())
    assert counter.get_total_flops() / 2e9 == pytest.approx(giga, abs=0.1)


def copy_block(theirs: nn.Module, ours: DiTBlock, embedding: nn.Module) -> None:
    """Copy a block; in diffusers each holds the embedding of noise level and label as well."""
    copy_layer(theirs.norm1.emb.timestep_embedder.linear_1, embedding.linear1)
    copy_layer(theirs.norm1.emb.timestep_embedder.linear_2, embedding.linear2)
    theirs.norm1.emb.class_embedder.embedding_table.weight.data.copy_(embedding.label.weight)
    theirs.norm1.emb.time_proj.downscale_freq_shift = 0  # the paper's code; diffusers spaces the frequencies otherwise
    copy_layer(theirs.norm1.linear, ours.modulation)
    parts = zip(ours.attention.qkv.weight.chunk(3), ours.attention.qkv.bias.chunk(3))
    for layer, (weight, bias) in zip((theirs.attn1.to_q, theirs.attn1.to_k, theirs.attn1.to_v), parts, strict=True):
        layer.weight.data.copy_(weight)
        layer.bias.data.copy_(bias)
    copy_layer(theirs.attn1.to_out[0], ours.attention.out)
    copy_layer(theirs.ff.net[0].proj, ours.mlp[0])
    copy_layer(theirs.ff.net[2], ours.mlp[2])


def copy_dit(theirs: nn.Module, ours: DiT, channels: int, patch: int, out_channels: int) -> None:
    """Their patch convolution holds our linear layer; they unfold [p, p, C], we [C, p, p]."""
    proj = theirs.pos_embed.proj
    proj.weight.data.copy_(ours.embed_patch.weight.view(-1, channels, patch, patch))
    proj.bias.data.copy_(ours.embed_patch.bias)
    for block, our_block in zip(theirs.transformer_blocks, ours.blocks, strict=True):
        copy_block(block, our_block, ours.embedding)
    copy_layer(theirs.proj_out_1, ours.modulation_out)
    order = torch.arange(out_channels * patch**2).view(out_channels, patch, patch).permute(1, 2, 0).flatten()
    theirs.proj_out_2.weight.data.copy_(ours.linear_out.weight[order])
    theirs.proj_out_2.bias.data.copy_(ours.linear_out.bias[order])


@pytest.mark.parametrize("patch", [2, 4])
def test_it_is_the_transformer_of_diffusers(patch):
    """The same answer to 1e-4 with the weights carried over, all of them drawn at random."""
    from diffusers import DiTTransformer2DModel

    ours = DiT(16, 3, num_classes=5, width=48, depth=3, heads=4, patch=patch, out_channels=6).eval()
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.1)
    heads = {"num_attention_heads": 4, "attention_head_dim": 12, "num_layers": 3, "num_embeds_ada_norm": 5}
    other = DiTTransformer2DModel(
        **heads, sample_size=16, patch_size=patch, in_channels=3, out_channels=6, norm_eps=1e-6
    ).eval()
    copy_dit(other, ours, 3, patch, 6)
    x, c_noise, labels = torch.randn(3, 3, 16, 16), torch.tensor([3.0, 700.0, 999.0]), torch.tensor([1, 4, 5])
    with torch.no_grad():
        answer = ours(x, c_noise, Condition(labels=labels))
        expected = other(x, c_noise, class_labels=labels).sample
    torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-4)
    assert answer.std() > 0.1


def test_a_fresh_block_is_the_identity_and_a_fresh_network_answers_zero():
    """adaLN-Zero: the gates, and the last layer, start at zero (section 3.2)."""
    block, tokens = DiTBlock(24, 3), torch.randn(2, 9, 24)
    nn.init.zeros_(block.modulation.weight)
    nn.init.zeros_(block.modulation.bias)
    assert torch.equal(block(tokens, torch.randn(2, 24)), tokens)
    net, emb = DiT(16, 3, 2, **TINY), torch.randn(2, 24)
    assert all(torch.equal(b(tokens, emb), tokens) for b in net.blocks)
    assert not net(torch.randn(2, 3, 16, 16), torch.ones(2), Condition()).any()


def test_a_token_is_told_its_column_and_its_row():
    """Sines and cosines of the column in the first half, of the row in the second, at frequencies 1 and 1 / 100."""
    grid = grid_positions(3, 8)
    row, column = torch.tensor(2.0), torch.tensor(1.0)
    waves = [torch.stack([p.sin(), (p / 100).sin(), p.cos(), (p / 100).cos()]) for p in (column, row)]
    torch.testing.assert_close(grid[2 * 3 + 1], torch.cat(waves))
    assert len(grid.unique(dim=0)) == 9  # no two places look alike


@pytest.mark.parametrize("denoiser", denoisers_registry)
def test_it_learns_under_every_denoiser(denoiser):
    """Its answer under the denoiser approaches the target on one noisy batch: the error falls fivefold."""
    cls = denoisers_registry[denoiser]
    net = cls(DiT(8, 3, 0, **TINY, out_channels=3 * cls.outputs))
    clean, noise, sigma = torch.rand(4, 3, 8, 8) * 2 - 1, torch.randn(4, 3, 8, 8), torch.tensor([0.1, 0.5, 1.0, 5.0])
    target, optimizer, losses = net.target(clean, noise, sigma), torch.optim.Adam(net.parameters(), lr=0.01), []
    for _ in range(60):
        error = net.predict(clean + sigma.view(-1, 1, 1, 1) * noise, sigma).output - target
        losses.append(error.square().mean())
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 5


@pytest.mark.parametrize(
    ("size", "settings", "message"),
    [
        (18, {"patch": 4}, "data.image_size 18 is not a multiple of 4, which patch 4 needs"),
        (16, {"width": 50, "heads": 4}, "width 50 is not a multiple of heads 4"),
        (16, {"width": 18, "heads": 3}, "width must be a multiple of 4, not 18"),
    ],
)
def test_settings_that_do_not_fit_together_are_one_line_that_names_them(size, settings, message):
    with pytest.raises(ConfigError, match=message):
        DiT(size, 3, 0, **settings)
