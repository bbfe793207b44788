"""What functions that people call by hand refuse: each in one ``ValueError`` that says what is wanted and what came.

Looks at shapes and types only: values may lie on a GPU, and asking for them would wait for it.
"""

import torch
from torch import Tensor


def check_images(images: Tensor, channels: int | None = None, size: int | None = None, multiple: int = 1) -> None:
    """Refuse what is no batch of float images [N, C, H, W] with N >= 1.

    ``channels``, ``size``: what they must have; ``multiple``: what height and width must be multiples of.
    """
    fits = images.ndim == 4 and len(images) > 0 and images.is_floating_point()
    if fits:
        _, c, height, width = images.shape
        fits = c == (channels or c) and height == (size or height) and width == (size or width)
        fits = fits and height % multiple == 0 and width % multiple == 0 and height > 0 and width > 0
    if not fits:
        side = size or (f"multiple of {multiple}" if multiple > 1 else None)
        wanted = f"[N, {channels or 'C'}, {side or 'H'}, {side or 'W'}]"
        raise ValueError(f"float images {wanted} with N >= 1 are wanted, not {described(images)}")


def check_rows(values: Tensor, count: int | None, what: str, width: int | None = None, integer: bool = False) -> None:
    """Refuse what is not one number, or ``width`` numbers, for each of ``count`` images (None: of some)."""
    if count is None:
        count = len(values) if values.ndim else 0
    shape = (count,) if width is None else (count, width)
    right_type = values.dtype == torch.int64 if integer else values.is_floating_point()
    if values.shape != shape or not right_type or count == 0:
        wanted = f"{'int64' if integer else 'float'} {list(shape) if count else ['N', *shape[1:]]}".replace("'", "")
        raise ValueError(f"{what}, {wanted}, are wanted, not {described(values)}")


def described(tensor: Tensor) -> str:
    """Say what a tensor is: ``torch.float32 [4, 3, 64, 64]``."""
    return f"{tensor.dtype} {list(tensor.shape)}"
