"""Weights of random numbers in pytorch-fid's own layout, put where pytorch-fid and we look for the download."""

from pathlib import Path

import pytest
import torch
from pytorch_fid import inception
from torch import Tensor, nn
from torchvision.models.inception import Inception3


def random_state() -> dict[str, Tensor]:
    """Make a full state dict of pytorch-fid's network, scaled so that activations neither vanish nor explode."""
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        patch.setattr(inception, "load_state_dict_from_url", lambda *args, **kwargs: None)
        patch.setattr(Inception3, "load_state_dict", lambda self, state: None, raising=False)
        torch.manual_seed(0)
        network = inception.fid_inception_v3()
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.bias, std=0.1)
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.uniform_(module.running_var, 0.8, 1.2)
    return network.state_dict()


@pytest.fixture(scope="session")
def torch_home(tmp_path_factory) -> Path:
    """A ``TORCH_HOME`` that holds random weights under the name of pytorch-fid's download."""
    home = tmp_path_factory.mktemp("torch_home")
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(random_state(), folder / inception.FID_WEIGHTS_URL.rpartition("/")[2])
    return home


@pytest.fixture
def random_weights(torch_home, monkeypatch) -> Path:
    """The file of random weights; while the test runs, it is also what a download would have left."""
    monkeypatch.setenv("TORCH_HOME", str(torch_home))
    return next(torch_home.rglob("*.pth"))
