"""FID's two halves against pytorch-fid: features of images, and the distance of 2,020 x 2,048 features.

The weights are random numbers: the time is the same, and nothing is downloaded. pytorch-fid reads PNGs, ours a pack of
them, as in an evaluation.
"""

import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from pytorch_fid import fid_score, inception
from torch import nn
from torchvision.models.inception import Inception3

from benchmarks.measuring import Place, Row, compared, timed
from datasets.packed import Packed
from metrics.features import FeatureSpec, ImageSet, extract, load_network
from metrics.fid import feature_distance

COUNT, DIMS = 2020, 2048


def save_random_weights(path: Path) -> None:
    """Write weights in pytorch-fid's layout whose activations neither vanish nor explode."""
    no_download = patch.object(inception, "load_state_dict_from_url", lambda *args, **kwargs: None)
    with no_download, patch.object(Inception3, "load_state_dict", lambda self, state: None):
        network = inception.fid_inception_v3()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    torch.save(network.state_dict(), path)


def their_network(weights: Path, device: torch.device) -> nn.Module:
    state = torch.load(weights, weights_only=True)
    with patch.object(inception, "load_state_dict_from_url", lambda *args, **kwargs: state):
        return inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[DIMS]]).to(device).eval()


def measure_features(place: Place) -> list[Row]:
    with place.folder() as scratch:
        return features(place, Path(scratch))


def features(place: Place, scratch: Path) -> list[Row]:
    count = COUNT if place.gpu else 16
    save_random_weights(scratch / "weights.pth")
    dataset = Packed(str(place.images), cache_dir=place.packs)
    files = [str(place.images / file) for file in dataset.files[:count]]
    images, count = ImageSet.of(dataset, range(len(files))), len(files)
    spec = FeatureSpec(weights_path=str(scratch / "weights.pth"))
    ours, theirs = load_network(spec, place.device), their_network(scratch / "weights.pth", place.device)
    statistics = fid_score.calculate_activation_statistics
    contestants = {
        "ours": lambda: (
            count / timed(lambda: extract({spec: ours}, images.batches(), place.device, count, "real"), place.device)
        ),
        "pytorch-fid": lambda: (
            count / timed(lambda: statistics(files, theirs, 50, DIMS, place.device, num_workers=0), place.device)
        ),
    }
    return compared("Inception features", contestants, min(place.rounds, 3), "images/s")


def measure_distance(place: Place) -> list[Row]:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((DIMS, DIMS)) / DIMS**0.5
    sets = [rng.standard_normal((COUNT, DIMS)) @ mixing for _ in range(2)]
    tensors = [torch.from_numpy(features).float() for features in sets]

    def theirs() -> float:
        begin = time.process_time()
        moments = [moment for features in sets for moment in (features.mean(0), np.cov(features, rowvar=False))]
        fid_score.calculate_frechet_distance(*moments)
        return 1 / (time.process_time() - begin)

    def ours() -> float:
        return 1 / timed(lambda: feature_distance(*tensors), torch.device("cpu"))

    return compared("Frechet distance, 2020 x 2048", {"ours": ours, "pytorch-fid": theirs}, 3, "a second")
