"""DINOv2 as a feature network, through timm: what a network sees that never learned ImageNet's class names.

Oquab et al. 2023, "DINOv2: Learning Robust Visual Features without Supervision". Stein et al. 2023, "Exposing flaws of
generative model evaluation metrics and their unfair treatment of diffusion models", found distances in its features
(of the large model, at 224 pixels) to agree with people better than those in Inception's.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from metrics.registry import features_registry
from utils.errors import MetricError
from utils.files import sha256_of

SIZES = {1024: "large", 384: "small", 768: "base", 1536: "giant"}  # dims: the model that has them
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


@features_registry.add_to_registry(name="dinov2")
class DINOv2Features(nn.Module):
    """The class token of DINOv2 with patches of 14, for images of any size.

    ``dims`` chooses the model: 384 small, 768 base, 1024 large, 1536 giant. ``weights_path`` is its file of weights,
    timm's (``model.safetensors`` of ``timm/vit_large_patch14_dinov2.lvd142m``) or the authors'
    (``dinov2_vitl14_pretrain.pth``); opening it runs no code. Raises ``MetricError`` when it is missing or another
    model's, or when timm is.
    """

    choices = tuple(SIZES)
    preprocessing = "bicubic (antialias) to 224x224, ImageNet mean and std; positions resampled by timm"
    batch_size = {"cpu": 8, "cuda": 256}

    def __init__(self, dims: int = 1024, weights_path: str | None = None):
        super().__init__()
        name = f"vit_{SIZES[dims]}_patch14_dinov2"
        if weights_path is None:
            raise MetricError(f"dinov2 needs a file: weights_path=FILE, the weights of timm/{name}.lvd142m")
        self.dims = dims
        self.weights_hash, self.network = load(name, Path(weights_path).expanduser())
        self.register_buffer("mean", 255 * torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(STD).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Turn uint8 [N, 3, H, W] (or [N, 1, H, W], grey) into float32 [N, dims], whatever the precision around.

        Raises ``ValueError`` for anything else.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            raise ValueError(f"dinov2 takes uint8 [N, 3, H, W], not {images.dtype} {tuple(images.shape)}")
        with torch.autocast(images.device.type, enabled=False):
            x = resize(images.expand(-1, 3, -1, -1), [224, 224], InterpolationMode.BICUBIC, antialias=True)
            return self.network((x.float() - self.mean) / self.std)


def load(name: str, path: Path) -> tuple[str, nn.Module]:
    """Return a file's sha256 and timm's model ``name`` with its weights. Raises ``MetricError``."""
    try:
        from timm import create_model
    except ImportError as error:
        raise MetricError("dinov2 needs timm: pip install timm") from error
    try:
        found = sha256_of(path)
    except OSError as error:
        raise MetricError(f"the weights {path} cannot be read ({error.strerror}): mend weights_path") from error
    try:
        overlay = {"file": str(path), "hf_hub_id": None}
        return found, create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, img_size=224, num_classes=0)
    except Exception as error:  # torch, safetensors and timm raise a dozen kinds for a file that does not fit
        raise MetricError(f"{path} does not hold the weights of {name}: take those of timm/{name}.lvd142m") from error
