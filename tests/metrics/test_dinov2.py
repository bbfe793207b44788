"""DINOv2's features are timm's own: same preparation of images, same network, weights from a file."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform

from metrics.dinov2 import MEAN, SIZES, STD, DINOv2Features
from metrics.features import FeatureSpec, ImageSet, load_network
from metrics.judge import Judge
from metrics.kid import KID
from utils.errors import MetricError
from utils.schema import construct

SMALL = "vit_small_patch14_dinov2"


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> str:
    """Random weights of the small model as timm publishes them: made for 518 pixels, not for 224."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(timm.create_model(SMALL, num_classes=0).state_dict(), path)
    return str(path)


def photos(count: int, size: int = 64) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, size, size), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


def test_features_are_those_of_timm_with_its_own_transform(file):
    """Images pass through Pillow there and stay tensors here: a grey level of rounding is what may differ."""
    model = timm.create_model(
        SMALL, pretrained=True, pretrained_cfg_overlay={"file": file}, img_size=224, num_classes=0
    ).eval()
    prepare = create_transform((3, 224, 224), mean=MEAN, std=STD, interpolation="bicubic", crop_pct=1.0)
    images = photos(2)
    theirs = torch.stack([prepare(Image.fromarray(np.asarray(image.permute(1, 2, 0)))) for image in images])
    with torch.no_grad():
        expected, found = model(theirs), load_network(FeatureSpec("dinov2", 384, file), "cpu")(images)
    assert found.shape == (2, 384) and found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=0.02 * expected.std().item(), rtol=0)


@pytest.mark.parametrize("dims", SIZES)
def test_every_size_has_the_features_it_is_chosen_by(dims):
    with torch.device("meta"):
        assert timm.create_model(f"vit_{SIZES[dims]}_patch14_dinov2", num_classes=0).num_features == dims


def test_a_metric_judges_by_it_and_its_name_says_so(file):
    kid = construct(KID, {"network": "dinov2", "dims": 384, "weights_path": file}, "metrics_args.kid")
    judge = Judge({"kid": kid})
    real = ImageSet("photos", 4, lambda: [photos(4)])
    results = judge.evaluate(real, [photos(4) // 2])
    assert set(results) == {"kid_dinov2_384", "kid_dinov2_384_std", "kid_dinov2_384_se"}
    assert judge.provenance()["features"]["kid"]["network"] == "dinov2"


def test_the_standard_size_needs_no_number_in_the_name():
    assert FeatureSpec.of("dinov2", None, "w").suffix == "_dinov2" and FeatureSpec.of("dinov2", None, "w").dims == 1024


@pytest.mark.parametrize(
    "dims, path, message",
    [
        (384, None, "dinov2 needs a file: weights_path=FILE, the weights of timm/vit_small_patch14_dinov2"),
        (384, "nowhere.safetensors", "nowhere.safetensors cannot be read"),
        (768, "the small one's", "does not hold the weights of vit_base_patch14_dinov2"),
    ],
)
def test_weights_that_do_not_fit_are_one_line(file, dims, path, message):
    with pytest.raises(MetricError, match=message):
        DINOv2Features(dims, file if path == "the small one's" else path)


def test_no_pickle_is_run(tmp_path):
    """A file that would run code when opened is refused unopened."""

    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("code ran",))

    torch.save({"model": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(MetricError, match="does not hold the weights"):
        DINOv2Features(384, str(tmp_path / "trap.pth"))


def test_float_images_are_refused(file):
    with pytest.raises(ValueError, match=r"uint8 \[N, 3, H, W\], not torch.float32 \(1, 3, 8, 8\)"):
        DINOv2Features(384, file)(torch.zeros(1, 3, 8, 8))
