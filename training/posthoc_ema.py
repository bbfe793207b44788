"""Averages of weights put together after training, from snapshots of averages of other widths.

Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models", sections 3.1 and 3.2 and
appendix C. A profile p(tau) = (gamma + 1) tau^gamma / t^(gamma + 1), for tau from 0 to t, says how much the weights of
time tau count in the average of time t. The profile of any width is approximated, by least squares, with a sum of the
snapshots' profiles; the same sum of their weights is its average.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from utils.errors import ConfigError, DataError
from utils.files import whole_path

LIMIT = 0.5 / 3**0.5  # the width of the plain mean of the whole run, gamma 0


def gamma_of(width: float) -> float:
    """Return the exponent whose profile has this standard deviation, as a share of the run (sigma_rel).

    It solves (gamma + 1) / ((gamma + 2)^2 (gamma + 3)) = width^2. Raises :class:`ConfigError` for a
    width outside of (0, 0.288].
    """
    if not 0 < width <= LIMIT:
        raise ConfigError(f"the width of an average must lie between 0 and {LIMIT:.3f}, not {width:g}")
    t = width**-2
    return float(np.roots([1, 7, 16 - t, 12 - t]).real.max())


def product(t1: float, gamma1: float, t2: float, gamma2: float) -> float:
    """Return the integral of two profiles' product; times in any unit, the result in its inverse.

    With r = min(t1, t2) it is (gamma1 + 1)(gamma2 + 1) r^(gamma1 + gamma2 + 1) / ((gamma1 + gamma2 + 1)
    t1^(gamma1 + 1) t2^(gamma2 + 1)), written so that no power overflows.
    """
    shorter = min(t1, t2)
    powers = (shorter / t1) ** (gamma1 + 1) * (shorter / t2) ** (gamma2 + 1)
    return (gamma1 + 1) * (gamma2 + 1) / (gamma1 + gamma2 + 1) * powers / shorter


def coefficients(times: Sequence[float], gammas: Sequence[float], time: float, gamma: float) -> np.ndarray:
    """Return the factors, float64 [N], of the snapshots whose sum comes nearest to the average of (time, gamma)."""
    pairs = list(zip(times, gammas, strict=True))
    matrix = np.array([[product(*one, *other) for other in pairs] for one in pairs])
    target = np.array([product(*one, time, gamma) for one in pairs])
    return np.linalg.lstsq(matrix, target, rcond=1e-12)[0]


@dataclass(frozen=True)
class Snapshot:
    """An average of weights on the disk."""

    path: Path
    images_seen: int
    width: float


def save_snapshot(module: nn.Module, folder: Path, step: int, images_seen: int, width: float) -> Path:
    """Write an average, its floats as float16 (as the paper does), under a name that sorts by step."""
    path = folder / f"step_{step:08d}_width_{width:.4f}.safetensors"
    weights = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights_of(module)}
    with whole_path(path) as temporary:
        # One key: safetensors writes several in any order, and the same run should leave the same bytes.
        save_file(weights, temporary, {"average": json.dumps({"images_seen": images_seen, "width": width})})
    return path


def weights_of(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [(name, tensor.detach().cpu().contiguous()) for name, tensor in module.state_dict().items()]


def list_snapshots(folder: Path, images_seen: int) -> list[Snapshot]:
    """Return a run's snapshots up to ``images_seen``. Raises :class:`DataError` for a damaged file."""
    found = []
    for path in sorted(folder.glob("step_*.safetensors")):
        try:
            with safe_open(path, "pt") as file:
                snapshot = Snapshot(path, **json.loads(file.metadata()["average"]))
        except Exception as error:  # safetensors has an exception of its own
            raise DataError(f"{path} is damaged ({error}): delete it, the others are enough") from error
        if snapshot.images_seen <= images_seen:
            found.append(snapshot)
    return found


def reconstruct(folder: Path, images_seen: int, width: float) -> dict[str, Tensor]:
    """Put together the average of ``width`` at ``images_seen`` from the snapshots in ``folder``; float32 on the CPU.

    Raises :class:`ConfigError` when there are none, or the last is of an earlier time.
    """
    gamma, snapshots = gamma_of(width), list_snapshots(folder, images_seen)
    if not snapshots or snapshots[-1].images_seen != images_seen:
        raise ConfigError(
            f"inference.ema_width={width:g} needs snapshots up to {images_seen} images in {folder}: train with "
            f"train.ema=power, or leave ema_width out"
        )
    times, gammas = [it.images_seen for it in snapshots], [gamma_of(it.width) for it in snapshots]
    total: dict[str, Tensor] = {}
    for factor, snapshot in zip(coefficients(times, gammas, images_seen, gamma), snapshots, strict=True):
        with safe_open(snapshot.path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                add(total, name, file.get_tensor(name), float(factor))
    return total


def add(total: dict[str, Tensor], name: str, tensor: Tensor, factor: float) -> None:
    """Add ``factor`` times a tensor of floats; of other tensors (counters) the last one stays."""
    if not tensor.is_floating_point():
        total[name] = tensor
    elif name in total:
        total[name].add_(tensor.float(), alpha=factor)
    else:
        total[name] = tensor.float() * factor
