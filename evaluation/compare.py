"""Two folders compared: what ``evaluate.py`` does."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import Any, Literal

import datasets  # noqa: F401 - fills the registries
import metrics  # noqa: F401
from datasets.base import ImageDataset
from datasets.leaks import check_no_overlap
from datasets.splits import drop_leaks
from evaluation.analysis import Analysis, Subject
from evaluation.folders import SavedAsJpeg, check_comparable, check_lossless, counts_by_class, open_folder
from evaluation.registry import analyses_registry
from evaluation.tables import LOSSLESS, Record
from metrics.base import SetMetric
from metrics.features import ImageSet
from metrics.judge import Judge
from metrics.registry import metrics_registry
from utils.distributed import choose_device
from utils.environment import environment
from utils.errors import ConfigError, MetricError, did_you_mean
from utils.schema import construct, section

Keep = Callable[[Record, list[str]], None]
STANDARD_METRICS = ["fid", "kid", "prdc"]


@section
class Settings:
    """What the command takes."""

    real: str = ""
    fake: str = ""
    train: str = ""
    metrics: list[str] = field(default_factory=lambda: list(STANDARD_METRICS))
    metrics_args: dict[str, dict[str, Any]] = field(default_factory=dict)
    split: str = "test"  # what the reference is called in the record
    protocol: Literal["lossless", "jpeg"] = "lossless"
    device: str = "auto"
    out: str = ""
    pictures: str = ""
    table: list[str] = field(default_factory=list)


def compare_folders(settings: Settings, keep: Keep = lambda record, lines: None) -> tuple[Record, list[str]]:
    """Return the record of an evaluation, and lines for a person. Refuses what cannot be compared.

    ``keep`` is given both after each part of the work, so that what fails later takes nothing with it.
    """
    judge, analyses = build(settings)
    judge.prepare()
    subject = open_subject(settings, judge, analyses)
    record: Record = {"results": {}, "analyses": {}, "origin": origin(settings, subject)}
    real = ImageSet.of(subject.real)
    if subject.fake is not None:
        record["results"] = judge.evaluate(real, ImageSet.of(subject.fake))
    record["origin"] |= {"real_images": real.count, "real_content": real.content_key, **judge.provenance()}
    lines: list[str] = []
    for name, analysis in analyses.items():
        keep(record, lines)
        finding = analysis.run(subject)
        record["analyses"][name] = finding.record
        lines += finding.lines
    keep(record, lines)
    return record, lines


def open_subject(settings: Settings, judge: Judge, analyses: dict[str, Analysis]) -> Subject:
    """Open the folders. What cannot be compared is refused before the training images, which take long, are opened."""
    real = open_side(settings, "real")
    fake = open_side(settings, "fake") if settings.fake else None
    if fake is not None:
        check_comparable(real, fake)
    train = without_copies(settings, open_side(settings, "train"), real) if settings.train else None
    subject = Subject(real, judge, fake, train, pictures=pictures_folder(settings))
    prepare(analyses, subject)
    return subject


def prepare(analyses: dict[str, Analysis], subject: Subject) -> None:
    """Raise a ``UserError`` when an analysis misses something, before anything long is done."""
    for name, analysis in analyses.items():
        if analysis.sees_generated:
            subject.generated_images(name)
        analysis.prepare(subject)


def build(settings: Settings) -> tuple[Judge, dict[str, Analysis]]:
    """Build the metrics and analyses that ``metrics`` names, each with its arguments."""
    if not settings.metrics:
        raise ConfigError("metrics=[] leaves nothing to do: name some, metrics=[fid,kid,prdc]")
    if settings.out and Path(settings.out).is_dir():
        raise ConfigError(f"out={settings.out} is a folder: name a file in it, out={settings.out}/record.json")
    built = {name: metric_or_analysis(settings, name) for name in [*settings.metrics_args, *settings.metrics]}
    analyses = {name: built[name] for name in settings.metrics if isinstance(built[name], Analysis)}
    names = [name for name in settings.metrics if name not in analyses]
    if not names and any(analysis.sees_features for analysis in analyses.values()):
        names = STANDARD_METRICS
    chosen = {name: built.get(name) or metric_or_analysis(settings, name) for name in names}
    standard = metric_or_analysis(settings, "fid").features  # for a metric that says nothing of its own
    check_folders_named(settings, needs_fake=not analyses)
    return Judge(chosen, choose_device(settings.device, key="device"), standard), analyses


def check_folders_named(settings: Settings, needs_fake: bool) -> None:
    if not settings.real:
        raise ConfigError("real=DIR is missing: name the folder of real images to compare with")
    if needs_fake and not settings.fake:
        raise ConfigError("fake=DIR is missing: name the folder of generated images")


def metric_or_analysis(settings: Settings, name: str) -> SetMetric | Analysis:
    """Build a metric of sets, or an analysis. Raises :class:`ConfigError` for a name or arguments that none has."""
    judging_sets = {key: cls for key, cls in metrics_registry.classes.items() if issubclass(cls, SetMetric)}
    known = {**judging_sets, **analyses_registry.classes}
    if name not in known:
        raise ConfigError(f"metrics: no '{name}'.{did_you_mean(name, list(known))}")
    return construct(known[name], settings.metrics_args.get(name, {}), f"metrics_args.{name}")


def open_side(settings: Settings, key: str) -> ImageDataset:
    """Open ``real``, ``fake`` or ``train`` in the protocol's file format."""
    folder = open_folder(getattr(settings, key), key)
    if settings.protocol == "jpeg":
        return SavedAsJpeg(folder)
    if key == "fake":
        check_lossless(folder)
    return folder


def without_copies(settings: Settings, train: ImageDataset, real: ImageDataset) -> ImageDataset:
    """Return the training images less those that show a photo of the reference."""
    check_no_overlap(settings.train, settings.real)
    return drop_leaks(train, real)[0]


def pictures_folder(settings: Settings) -> Path | None:
    if not settings.pictures:
        return None
    folder = Path(settings.pictures)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def origin(settings: Settings, subject: Subject) -> Record:
    """Say what was compared: enough to do it again."""
    real, fake, jpeg = subject.real, subject.fake, settings.protocol == "jpeg"
    sides = {"real": real} | ({} if fake is None else {"fake": fake})
    return {
        "split": settings.split,
        "file_format": f"both sides saved again as JPEG {SavedAsJpeg.QUALITY}" if jpeg else LOSSLESS,
        "image_size": real.image_shape[-1],
        "files": {side: dict(Counter(suffix(file) for file in images.files)) for side, images in sides.items()},
        "counts_by_class": {side: counts_by_class(images) for side, images in sides.items()},
        "fake_content": None if fake is None else fake.content_key,
        "generated_by": None if fake is None else origin_beside(Path(settings.fake), len(fake)),
        "environment": environment(),
        "settings": {key: value for key, value in vars(settings).items() if key not in ("out", "table", "pictures")},
    }


def origin_beside(folder: Path, count: int) -> Record | None:
    """Return where ``inference.py`` says that the images of its folder ``images`` come from; None of other folders."""
    try:
        made = json.loads((folder.resolve().parent / "metrics.json").read_text())["origin"]
        return made if folder.resolve().name == "images" and made["images"] == count else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def suffix(file: str) -> str:
    return Path(file).suffix.lower()


def read_record(path: str) -> Record:
    """Read a record that an evaluation or ``inference.py`` wrote. Raises ``MetricError`` when it is none."""
    try:
        record = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise MetricError(f"{path} cannot be read as a record ({error}): name a metrics.json") from error
    if not isinstance(record, dict) or not record.get("results") or "origin" not in record:
        raise MetricError(f"{path} holds no results: evaluate first, then make a table of it")
    return record
