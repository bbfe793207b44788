"""What a discriminator sees of several images at once."""

import torch
from torch import Tensor


def minibatch_std(x: Tensor, group_size: int) -> Tensor:
    """Append a channel to x [N, C, H, W]: how much the images of a group differ, one number a group.

    The standard deviation of each feature over the group, averaged over features and places (Karras et al. 2018,
    section 3). Groups are neighbours in the batch, so a batch cut between groups gives the same; where ``group_size``
    does not divide N they have the largest size below it that does.
    """
    n, _, height, width = x.shape
    size = max(size for size in range(1, min(group_size, n) + 1) if n % size == 0)
    groups = x.float().reshape(n // size, size, *x.shape[1:])
    std = (groups.var(dim=1, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))  # [N / size]
    channel = std.repeat_interleave(size)[:, None, None, None].expand(n, 1, height, width)
    return torch.cat([x, channel.to(x.dtype)], dim=1)
