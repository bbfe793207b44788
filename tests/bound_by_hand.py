"""The variational bound as the papers write it, in x_t = sqrt(abar) x_0 + sqrt(1 - abar) noise: NumPy, float64."""

import numpy as np
from scipy.stats import norm
from torch import Tensor


def papers(levels: Tensor) -> dict[str, np.ndarray]:
    """Return abar, beta and beta-tilde of every step as the papers define them, in x_t = sqrt(abar) x_0 + ..."""
    abar = 1 / (1 + levels.numpy() ** 2)
    before = np.concatenate([[1.0], abar[:-1]])
    beta = 1 - abar / before
    return {"abar": abar, "before": before, "beta": beta, "tilde": beta * (1 - before) / (1 - abar)}


def gaussian_kl(mean1, variance1, mean2, variance2):
    """KL(N(mean1, variance1) || N(mean2, variance2)) in nats, the textbook's formula."""
    return 0.5 * (np.log(variance2 / variance1) + (variance1 + (mean1 - mean2) ** 2) / variance2 - 1)


def term_by_hand(levels: Tensor, clean: np.ndarray, D: np.ndarray, x_t: np.ndarray, v: np.ndarray, t: int) -> float:
    """The term of step t in bits per dimension: Ho et al. 2020, eq. 6, 7 and 13; Nichol & Dhariwal 2021, eq. 15."""
    p = papers(levels)
    abar, before, beta, tilde = (p[key][t] for key in ("abar", "before", "beta", "tilde"))
    low = p["tilde"][1] if t == 0 else tilde  # clipped, as both papers' code does
    variance = np.exp(v * np.log(beta) + (1 - v) * np.log(low))
    if t == 0:
        above, below = ((clean - D + side / 255) / np.sqrt(variance) for side in (1, -1))
        mass = np.where(clean < -0.999, norm.cdf(above), np.where(clean > 0.999, norm.sf(below), 0))
        mass = np.where(np.abs(clean) > 0.999, mass, norm.cdf(above) - norm.cdf(below))
        return float(-np.log(mass).mean() / np.log(2))

    def mean(image):  # equation 7
        return np.sqrt(before) * beta / (1 - abar) * image + np.sqrt(1 - beta) * (1 - before) / (1 - abar) * x_t

    return float(gaussian_kl(mean(clean), tilde, mean(D), variance).mean() / np.log(2))
