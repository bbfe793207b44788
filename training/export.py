"""A trained model as files to publish: the averaged weights in bfloat16, what they are, and nothing else.

A folder holds ``model.json`` and the weights in safetensors files small enough for a code host. ``inference.py``
opens it like a checkpoint: ``train.checkpoint_path=FOLDER``.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from utils.errors import ConfigError, DataError
from utils.files import whole_file, whole_path

State = dict[str, Any]
FORMAT = "mise model 1"
SHARD = 45_000_000  # bytes in a file, at most
KEPT = ("step", "model_type", "images_seen", "initial_weights", "facts", "config", "average")  # of a state
NEEDED = {"model_type", "facts", "config", "weights"}  # to open it again: earlier versions kept less


def export_model(state: State, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write the averaged weights of a checkpoint's ``state`` to a new folder.

    Floats are rounded to bfloat16: evaluate what was written, not what was exported. Raises :class:`ConfigError` when
    the folder is there already and not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} exists already: name another folder by inference.out_dir")
    fixed, fixed_weights = without_weights(state.get("fixed", {}))
    shards = list(cut({**weights, **fixed_weights}))
    names = [f"model-{number:05d}-of-{len(shards):05d}.safetensors" for number in range(1, len(shards) + 1)]
    for name, shard in zip(names, shards):
        with whole_path(folder / name) as temporary:
            save_file(shard, temporary)
    kept = {key: state[key] for key in KEPT} | {"config": portable(state["config"])}
    described = {"format": FORMAT, **kept, "fixed": fixed, "weights": names}
    with whole_file(folder / "model.json") as file:  # last: with it the folder is complete
        json.dump(described, file, indent=2)


def portable(tree: Any) -> Any:
    """Cut every absolute path in a plain tree down to its name: where files lay on one machine is nobody's business."""
    if isinstance(tree, dict):
        return {key: portable(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [portable(value) for value in tree]
    return Path(tree).name if isinstance(tree, str) and Path(tree).is_absolute() else tree


def without_weights(fixed: Mapping[str, State]) -> tuple[State, dict[str, Tensor]]:
    """Part a state's ``fixed`` into plain values and tensors, whose names begin with the part's: ``codec:...``."""
    plain = {name: {key: value for key, value in part.items() if key != "weights"} for name, part in fixed.items()}
    tensors = {f"{name}:{key}": t for name, part in fixed.items() for key, t in part.get("weights", {}).items()}
    return plain, tensors


def with_weights(plain: Mapping[str, State], tensors: dict[str, Tensor]) -> State:
    """Undo :func:`without_weights`; takes the parts' tensors out of ``tensors``."""
    fixed = {name: dict(part) for name, part in plain.items()}
    for key in [key for key in tensors if ":" in key]:
        name, weight = key.split(":")
        fixed[name].setdefault("weights", {})[weight] = tensors.pop(key)
    return fixed


def cut(weights: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Cut the weights, rounded to bfloat16, into parts of at most ``SHARD`` bytes, in their order."""
    part: dict[str, Tensor] = {}
    size = 0
    for name, tensor in weights.items():
        rounded = (tensor.bfloat16() if tensor.is_floating_point() else tensor).detach().cpu().contiguous()
        if part and size + rounded.nbytes > SHARD:
            yield part
            part, size = {}, 0
        part[name] = rounded
        size += rounded.nbytes
    yield part


def read_description(folder: Path) -> State:
    """Read ``model.json``. Raises :class:`DataError` when the folder holds no exported model."""
    try:
        described = json.loads((folder / "model.json").read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} holds no exported model: it has no readable model.json") from error
    if not isinstance(described, dict) or described.get("format") != FORMAT:
        raise DataError(f"{folder / 'model.json'} is not of a format that this version reads ({FORMAT})")
    missing = NEEDED - described.keys()
    if missing:
        raise DataError(f"{folder / 'model.json'} lacks {', '.join(sorted(missing))}: fetch the folder again")
    return described


def model_files(folder: Path) -> list[Path]:
    """Return the files that are the model; what else lies in the folder, such as its card, is about it."""
    return sorted([folder / "model.json", *(folder / Path(name).name for name in read_description(folder)["weights"])])


def load_export(folder: Path) -> State:
    """Read an exported model as a checkpoint's state, of which it has what inference needs; floats are float32.

    Raises :class:`DataError` when the folder holds none, or a part of it is missing or damaged.
    """
    state = read_description(folder)
    weights: dict[str, Tensor] = {}
    for name in state.pop("weights"):
        try:
            weights |= load_file(folder / Path(name).name)
        except (OSError, SafetensorError) as error:
            raise DataError(f"{folder / name} is missing or damaged ({error}): fetch the folder again") from error
    weights = {name: tensor.float() if tensor.dtype == torch.bfloat16 else tensor for name, tensor in weights.items()}
    state["fixed"] = with_weights(state.get("fixed", {}), weights)
    state["ema"] = weights
    state["facts"]["class_names"] = tuple(state["facts"]["class_names"])
    return state
