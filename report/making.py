"""From a folder of runs to the pages of both families."""

from pathlib import Path

from report.headers import read_header
from report.html import to_html
from report.material import Material
from report.pages import html_page, markdown_page, russian_page
from report.photos import photos_page
from report.records import Experiment, SamplingStudy, find_experiments, find_studies
from utils.errors import DataError
from utils.files import whole_file

FAMILIES = ("diffusion", "gan")
Experiments = dict[str, Experiment]
Studies = dict[str, SamplingStudy]


def make_reports(runs: Path, out: Path, configs: Path, photos: bool) -> None:
    """Write the pages of every family that ``runs`` holds. Raises :class:`DataError` for none, or a missing log."""
    experiments = find_experiments(runs)
    studies = find_studies(runs, configs)
    materials = [gather(family, out, experiments, studies, configs) for family in FAMILIES]
    materials = [material for material in materials if material.experiments]
    if not materials:
        raise DataError(f"{runs} holds no runs of these families: {', '.join(FAMILIES)}")
    for material in materials:
        write_pages(material)
        if photos:
            photos_page(material)


def gather(family: str, out: Path, experiments: Experiments, studies: Studies, configs: Path) -> Material:
    """Take what belongs to one family."""
    own = {name: it for name, it in experiments.items() if it.family == family}
    others = {name: it for name, it in experiments.items() if it.family != family}
    ours = {name: it for name, it in studies.items() if it.of in own}
    return Material(family, out / family, own, ours, others, planned(configs / family, own.keys() | ours.keys()))


def planned(configs: Path, done: set[str]) -> dict[str, dict[str, str]]:
    """Return the headers of experiments of which no run is there; none when these runs are of other configs."""
    headers = {file.stem: read_header(file) for file in sorted(configs.glob("*.yaml"))}
    return {name: header for name, header in headers.items() if name not in done} if done & headers.keys() else {}


def write_pages(material: Material) -> None:
    material.folder.mkdir(parents=True, exist_ok=True)
    page = markdown_page(material)
    russian = russian_page(material)
    pages = {"README.md": page, "report.html": to_html(html_page(material, page, russian), material.folder)}
    for name, text in (pages | ({"SUMMARY.ru.md": russian} if russian else {})).items():
        with whole_file(material.folder / name) as file:
            file.write(text)
    print(f"{material.folder}: {len(material.experiments)} experiments, README.md and report.html")
