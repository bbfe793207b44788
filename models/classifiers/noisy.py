"""How a classifier is asked about noisy pictures: one language with the denoisers, x = clean + sigma * noise."""

from torch import Tensor, nn


def noisy_input(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Return what a noise-conditional network takes for x [N, C, H, W] with noise levels sigma [N]: x, and c_noise [N].

    x is scaled to the size of the clean images, sqrt(1 + sigma^2) as in DDPM; c_noise is EDM's ln(sigma) / 4 (Karras et
    al. 2022, Table 1).
    """
    return x / (1 + sigma**2).sqrt().view(-1, 1, 1, 1), sigma.log() / 4


class NoisyClassifier(nn.Module):
    """p(label | x; sigma) as logits: what classifier guidance asks."""

    def __init__(self, network: nn.Module, class_names: tuple[str, ...]):
        super().__init__()
        self.network, self.class_names = network, class_names

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Turn x [N, C, H, W] with noise levels sigma [N] into logits [N, K]."""
        return self.network(*noisy_input(x, sigma)).float()
