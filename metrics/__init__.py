"""How good the generated images are. Importing the modules fills the registries."""

from metrics import fid, inception, kid, prdc  # noqa: F401
