"""The network that FID is defined on, as pytorch-fid runs it: TensorFlow's inception-2015-12-05.

Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium"; blocks and
weights are those of https://github.com/mseitzer/pytorch-fid. What differs: only the layers that the wanted features
need are built, weights can come from a file of the user's, and images come from memory.
"""

from collections import OrderedDict
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from pytorch_fid.inception import FID_WEIGHTS_URL, FIDInceptionA, FIDInceptionC, FIDInceptionE_1, FIDInceptionE_2
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate
from torchvision.models.inception import BasicConv2d, InceptionB, InceptionD

from metrics.registry import features_registry
from utils.errors import MetricError
from utils.files import sha256_of

LAST = {64: "maxpool1", 192: "maxpool2", 768: "Mixed_6e", 2048: "Mixed_7c"}  # features there are, and their last layer
DIMS = tuple(LAST)


def all_layers() -> dict[str, nn.Module]:
    """Build every layer of the network, in order, under pytorch-fid's names."""
    return {
        "Conv2d_1a_3x3": BasicConv2d(3, 32, kernel_size=3, stride=2),
        "Conv2d_2a_3x3": BasicConv2d(32, 32, kernel_size=3),
        "Conv2d_2b_3x3": BasicConv2d(32, 64, kernel_size=3, padding=1),
        "maxpool1": nn.MaxPool2d(kernel_size=3, stride=2),
        "Conv2d_3b_1x1": BasicConv2d(64, 80, kernel_size=1),
        "Conv2d_4a_3x3": BasicConv2d(80, 192, kernel_size=3),
        "maxpool2": nn.MaxPool2d(kernel_size=3, stride=2),
        "Mixed_5b": FIDInceptionA(192, pool_features=32),
        "Mixed_5c": FIDInceptionA(256, pool_features=64),
        "Mixed_5d": FIDInceptionA(288, pool_features=64),
        "Mixed_6a": InceptionB(288),
        "Mixed_6b": FIDInceptionC(768, channels_7x7=128),
        "Mixed_6c": FIDInceptionC(768, channels_7x7=160),
        "Mixed_6d": FIDInceptionC(768, channels_7x7=160),
        "Mixed_6e": FIDInceptionC(768, channels_7x7=192),
        "Mixed_7a": InceptionD(768),
        "Mixed_7b": FIDInceptionE_1(1280),
        "Mixed_7c": FIDInceptionE_2(2048),
    }


def layers_up_to(dims: int) -> nn.Sequential:
    """Build every layer that features of ``dims`` need, on the meta device: without memory."""
    with torch.device("meta"):
        layers = all_layers()
    count = list(layers).index(LAST[dims]) + 1
    return nn.Sequential(OrderedDict(islice(layers.items(), count)))


@features_registry.add_to_registry(name="inception")
class InceptionFeatures(nn.Module):
    """Features of ``dims`` numbers an image. ``weights_path=None``: pytorch-fid's own file, downloaded once.

    A file holds a state dict under the names of ``pytorch_fid.inception.fid_inception_v3()``; it may stop after the
    layers that ``dims`` needs. Raises ``MetricError`` when it cannot be had or read, or does not reach ``dims``.
    """

    choices = (2048, 768, 192, 64)
    preprocessing = "pytorch-fid: bilinear to 299x299, [-1, 1]"
    batch_size = {"cpu": 16}  # 80 ms an image on 2 cores; 100 at 32, whose activations leave the processor's cache

    def __init__(self, dims: int = 2048, weights_path: str | None = None):
        super().__init__()
        path = Path(weights_path).expanduser() if weights_path else downloaded_weights(dims)
        self.dims = dims
        self.weights_hash, state = read_weights(path)
        self.layers = layers_up_to(dims)
        wanted = {name: state[name].float() for name in self.layers.state_dict() if name in state}
        try:
            self.layers.load_state_dict(wanted, assign=True)
        except RuntimeError as error:
            raise MetricError(explain_misfit(path, state, dims)) from error

    def forward(self, images: Tensor) -> Tensor:
        """Turn uint8 [N, 3, H, W] (or [N, 1, H, W], grey) into float32 [N, dims], whatever the mixed precision around.

        Raises ``ValueError`` for anything else.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            raise ValueError(f"inception takes uint8 [N, 3, H, W], not {images.dtype} {tuple(images.shape)}")
        with torch.autocast(images.device.type, enabled=False), full_precision():
            x = images.expand(-1, 3, -1, -1).float() / 255
            x = 2 * interpolate(x, size=(299, 299), mode="bilinear", align_corners=False) - 1
            return adaptive_avg_pool2d(self.layers(x), 1).flatten(1)


def full_precision():
    """Keep convolutions on CUDA from rounding to TF32: a score should not depend on the device."""
    cudnn = torch.backends.cudnn
    return cudnn.flags(enabled=cudnn.enabled, deterministic=cudnn.deterministic, allow_tf32=False)


def downloaded_weights(dims: int) -> Path:
    """Return pytorch-fid's weights file in torch hub's folder; fetch it where it is missing."""
    path = Path(torch.hub.get_dir(), "checkpoints", FID_WEIGHTS_URL.rpartition("/")[2])
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(FID_WEIGHTS_URL, str(path), hash_prefix=path.stem.rpartition("-")[2])
    except (OSError, RuntimeError) as error:
        raise MetricError(
            f"FID needs the weights {FID_WEIGHTS_URL}, which cannot be fetched ({error}): put the file into "
            f"{path.parent} by hand, or name one that reaches dims={dims} with metrics_args.fid.weights_path=FILE"
        ) from error
    return path


def read_weights(path: Path) -> tuple[str, dict[str, Any]]:
    """Return a file's sha256 and the state dict in it; opening it runs no code. Raises ``MetricError``."""
    try:
        found = sha256_of(path)
    except OSError as error:
        raise MetricError(f"the FID weights {path} cannot be read ({error.strerror}): mend weights_path") from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds for a broken file
        raise MetricError(f"{path} is not a whole file of weights: fetch it again, from {FID_WEIGHTS_URL}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise MetricError(f"{path} holds no state dict of tensors: take the file {FID_WEIGHTS_URL}")
    return found, state


def explain_misfit(path: Path, state: dict[str, Tensor], dims: int) -> str:
    """Say in one line why a state dict does not make a network for ``dims``."""
    reached = [d for d in DIMS if fits(state, layers_up_to(d))]
    if not reached:
        return f"{path} is not the network of FID (pytorch-fid's names and shapes): take the file {FID_WEIGHTS_URL}"
    known = ", ".join(map(str, reached))
    return (
        f"{path} does not reach dims={dims}, only {known}: set metrics_args.fid.dims to one of these "
        f"(then not FID but fid{reached[-1]}, another scale), or take the full file {FID_WEIGHTS_URL}"
    )


def fits(state: dict[str, Tensor], layers: nn.Module) -> bool:
    """Tell whether ``state`` holds every weight of ``layers`` in its shape."""
    needed = {name: value.shape for name, value in layers.state_dict().items() if "num_batches" not in name}
    return all(name in state and state[name].shape == shape for name, shape in needed.items())
