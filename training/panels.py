"""The names that values have at W&B: what stands before the slash is a group of panels, so that all runs line up."""

from collections.abc import Mapping

WATCHED = ("grad_norm", "_logits")  # endings of what is logged beside the losses, to watch over the networks
PICTURES = "samples"


def panel(name: str) -> str:
    """Return the name of a logged value: ``loss/mse``, ``watched/grad_norm``, ``val/quick202_fid768``."""
    if name.startswith("val_"):
        return f"val/{name.removeprefix('val_')}"
    return f"{'watched' if name.endswith(WATCHED) else 'loss'}/{name}"


def panels(values: Mapping[str, float], timing: Mapping[str, float]) -> dict[str, float]:
    """Return values and timing under their names at W&B."""
    return {panel(name): value for name, value in values.items()} | {f"time/{name}": timing[name] for name in timing}
