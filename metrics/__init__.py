"""How good generated images or predictions are. Importing the modules fills the registries."""

from metrics import classification, dinov2, fid, inception, kid, pairs, prdc  # noqa: F401
