"""What every config costs, and what every network comes from: writes docs/models.md.

    python3 -m report.models

Builds every config of configs/ and counts parameters and multiply-adds; nothing is trained, no data is read. Papers
and proofs stand in models/papers.yaml, results of the zoo in report/zoo/zoo.jsonl. A test holds the page up to date.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from models import registry  # importing the package fills it
from report.headers import read_header
from report.zoo import Row, results, rows_of_the_zoo
from training.check import count
from training.data import Facts, open_split
from training.launch import load_trainer
from training.reconstruct import described
from training.speed import count_operations
from utils.class_registry import ClassRegistry
from utils.command import command
from utils.config import read_yaml
from utils.errors import ConfigError
from utils.files import whole_file
from utils.schema import settable_parameters

if TYPE_CHECKING:
    from training.trainers.base import BaseTrainer

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "models.md"
PAPERS = ROOT / "models" / "papers.yaml"
NO_RECIPES = {"base", "inference", "experiments"}  # folders of configs/ that make no network of their own
FOOD101 = 101  # classes
HEAD = """# Models

Written by `python3 -m report.models`; a test holds that it is up to date. "Multiply-adds" are those of one image
through the network once, at 64x64 with Food-101's 101 classes (the quickstart: its ten dishes). Where two numbers
stand, they are the generator's and the discriminator's. Latent diffusion counts the denoiser on its latents: the
autoencoder, once a picture, has a row of its own.
"""
ZOO_HEAD = """Every model at 32x32 (`r3gan` at 16x16), each network of at most 3 M parameters, trained on Food-101 for
about four minutes of one busy CPU core: to show that each works from config to picture, not to rank them. None is near
the end of its training.
Six classes, the first noise of seed 42, not picked; of the autoencoder drawn dishes above what it reads back (photos
read back are as good as the photos, and those stay out of git); of classifiers the counts of what test photos show (the
row) and what is named (the column), of the noisy one under noise. What is overridden stands in
[rows.yaml](../report/zoo/rows.yaml), the commands in [zoo.jsonl](../report/zoo/zoo.jsonl);
`python3 -m report.zoo minutes=4` trains what is missing.
""".splitlines()


@dataclass(frozen=True)
class Cost:
    """What one network of a config costs."""

    network: str
    parameters: int
    multiply_adds: int  # of one image, forward


@command
def main() -> None:
    with whole_file(PAGE) as file:
        file.write(page())
    print(f"{PAGE.relative_to(ROOT)} is written")


def page() -> str:
    """Return the whole page."""
    parts = [("Configs", configs_table()), ("Networks and denoisers", papers_table()), ("The zoo", zoo_table())]
    return HEAD + "".join("\n".join([f"\n## {title}\n", *lines, ""]) for title, lines in parts)


def configs() -> list[Path]:
    """Return the recipes of configs/, in the order of their paths."""
    files = sorted((ROOT / "configs").rglob("*.yaml"))
    return [file for file in files if not NO_RECIPES & set(file.relative_to(ROOT).parts)]


def configs_table() -> Iterator[str]:
    """Yield the lines of a table with a row for every config."""
    yield "| config | networks | parameters | multiply-adds |"
    yield "| --- | --- | --- | --- |"
    for file in configs():
        words = f"exp.config_path={file}"
        name = file.relative_to(ROOT / "configs").with_suffix("")
        yield f"| `{name}` | {names_of(load_trainer([words]))} | {millions(costs(words))} | {billions(costs(words))} |"


def names_of(trainer: BaseTrainer) -> str:
    """Name the classes of a config's networks, each once: ``dcgan`` for both players, ``unet, edm``."""
    names = dict.fromkeys(trainer.roles.name(role) for role in trainer.network_roles)
    return ", ".join(f"`{name}`" for name in names if name is not None)


@cache
def costs(*words: str, codec: tuple[str, ...] = ()) -> tuple[Cost, ...]:
    """Build the networks that a command's words describe, and count; the pass is made with fake tensors.

    ``codec``: the words of the autoencoder whose latents they work on; default: what the config's header names.
    """
    trainer = untrained(words, codec)
    with FakeTensorMode(allow_non_fake_inputs=True):
        passes = trainer.example_passes(batch_size=1)
        return tuple(
            Cost(name, count(trainer.networks[name]), count_operations(run) // 2) for name, run in passes.items()
        )


def costs_of(row: Row) -> tuple[Cost, ...]:
    """Count the networks of a row of the zoo; latents are those of the row that it needs."""
    codec = [word for other in row.needs.values() for word in rows_of_the_zoo()[other].words]
    return costs(*row.words, codec=tuple(codec))


def untrained(words: Sequence[str], codec: Sequence[str] = ()) -> BaseTrainer:
    """Build networks with the weights that they begin with; neither data nor a checkpoint nor a codec is opened."""
    trainer = load_trainer(list(words))
    trainer.check_config()
    trainer.facts, trainer.device = facts_of(trainer), torch.device("cpu")
    trainer.checkpoint = {}  # as if one were studied: it holds the codec
    if "codec" in trainer.role_table and trainer.roles.name("codec") == "autoencoder":
        autoencoder = untrained(codec or codec_words(Path(trainer.config.exp.config_path)))
        weights = autoencoder.networks["autoencoder"].state_dict()
        kept = {"described": described(autoencoder), "origin": {}, "std": 1.0, "weights": weights}
        trainer.checkpoint = {"fixed": {"codec": {"name": "autoencoder", **kept}}}
    trainer.networks = trainer.build_networks()
    return trainer


def codec_words(file: Path) -> tuple[str, ...]:
    """Return the words of the autoencoder that has been trained before, by the header of a config."""
    found = re.match(r"(\S+) has been trained", read_header(file).get("Before", ""))
    if not found:
        raise ConfigError(f"{file} names no config of its codec: '# Before: FOLDER/NAME has been trained'")
    return (f"exp.config_path={ROOT / 'configs' / found[1]}.yaml",)


def facts_of(trainer: BaseTrainer) -> Facts:
    """Return what the networks are told of the data: Food-101's classes where a folder would be read."""
    config = trainer.config.data
    if "root" not in settable_parameters(trainer.roles.cls("dataset")):
        return Facts.of(open_split(trainer.roles, "train"), config.conditional)
    return Facts(config.image_size, 3, tuple(f"class {number:03d}" for number in range(FOOD101)), config.conditional)


def millions(found: Sequence[Cost]) -> str:
    return " and ".join(f"{cost.parameters / 1e6:.2f} M" for cost in found)


def billions(found: Sequence[Cost]) -> str:
    return " and ".join(f"{cost.multiply_adds / 1e9:.3g} G" for cost in found)


def zoo_table() -> Iterator[str]:
    """Yield a paragraph, and a table with a row for every model of the zoo, trained or not yet."""
    yield from [*ZOO_HEAD, ""]
    yield "| model | picture | config | parameters | trained for | images seen | last losses; test figures |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    done = results()
    for name, row in rows_of_the_zoo().items():
        found = millions(costs_of(row))
        config = ", on ".join(f"`{one}`" for one in (row.short_config, *row.needs.values()))
        yield f"| `{name}` | {picture(name, done)} | {config} | {found} | {trained(done.get(name))} |"


def picture(name: str, done: Container[str]) -> str:
    return f"![{name}](../report/zoo/{name}.png)" if name in done else "not trained yet"


def trained(result: dict[str, Any] | None) -> str:
    """Return the last three cells of a row of the zoo."""
    if result is None:
        return "| |"
    losses = told({name: value for name, value in result["losses"].items() if "grad_norm" not in name})
    judged = told(result.get("results", {}))
    return f"{result['seconds']} s | {result['images']:,} | {losses}{'; test: ' if judged else ''}{judged}"


def told(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items())


def papers_table() -> Iterator[str]:
    """Yield the lines of a table with a row for every registered name. Raises :class:`ConfigError` for one without."""
    entries, classes = read_yaml(PAPERS), registered()
    odd = ", ".join(sorted(classes.keys() ^ entries.keys()))
    if odd:
        raise ConfigError(f"models/papers.yaml and the registries differ: give paper and proof there of {odd}")
    yield "| name | paper | file | what proves it |"
    yield "| --- | --- | --- | --- |"
    for name, cls in classes.items():
        file = Path(inspect.getsourcefile(cls)).relative_to(ROOT)
        yield f"| `{name}` | {entries[name]['paper']} | [{file}](../{file}) | {entries[name]['proof']} |"


def registered() -> dict[str, type]:
    """Return the classes of every registry of models by name; players of one name share their file."""
    registries = [value for value in vars(registry).values() if isinstance(value, ClassRegistry)]
    return {name: known[name] for known in registries for name in known}


if __name__ == "__main__":
    main()
