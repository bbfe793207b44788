"""Builds the reports, one for each family, from run folders: figures, tables, pages. Nothing is computed but from logs.

    python3 -m report.build [runs=report/runs] [out=report] [photos=False]

runs     what report.experiments kept (RUNS/<experiment>/seed<k>/), or the folder exp.exp_dir of your own train.py runs
out      where OUT/diffusion/ and OUT/gan/ go: README.md, report.html (one file, images inside), figures/
photos   also OUT/<family>/photos/: real photos beside generated images, and nearest training photos; needs the data,
         and stays out of git
configs  where sampling studies are described; default: configs/experiments

A run's thinking is read from its config's header (report/headers.py). What no log can know stands in
OUT/<family>/parts/: intro.md, failures.md, ideas.md, borrowings.md, ru.md; each is optional. {{edm.fid768}} in them is
the number in the logs.
"""

from pathlib import Path

from report.html import to_html
from report.pages import html_page, markdown_page, russian_page
from report.photos import photos_page
from report.records import ROOT, find_experiments, find_studies
from report.sections import Material
from utils.command import command
from utils.config import parse_overrides
from utils.errors import DataError
from utils.files import whole_file
from utils.schema import bind, section

FAMILIES = ("diffusion", "gan")


@section
class Settings:
    """What the command takes."""

    runs: str = str(ROOT / "report" / "runs")
    out: str = str(ROOT / "report")
    configs: str = str(ROOT / "configs" / "experiments")
    photos: bool = False


@command
def main(words: list[str] | None = None) -> None:
    import sys

    settings = bind(Settings, parse_overrides(sys.argv[1:] if words is None else words))
    runs = Path(settings.runs).expanduser()
    experiments = find_experiments(runs)
    studies = find_studies(runs, Path(settings.configs))
    materials = [gather(family, Path(settings.out).expanduser(), experiments, studies) for family in FAMILIES]
    materials = [material for material in materials if material.experiments]
    if not materials:
        raise DataError(f"{runs} holds no runs of these families: {', '.join(FAMILIES)}")
    for material in materials:
        write_pages(material)
        if settings.photos:
            photos_page(material)


def gather(family: str, out: Path, experiments: dict, studies: dict) -> Material:
    """Take what belongs to one family."""
    own = {name: it for name, it in experiments.items() if it.family == family}
    others = {name: it for name, it in experiments.items() if it.family != family}
    return Material(family, out / family, own, {name: it for name, it in studies.items() if it.of in own}, others)


def write_pages(material: Material) -> None:
    material.folder.mkdir(parents=True, exist_ok=True)
    page = markdown_page(material)
    russian = russian_page(material)
    write(material.folder / "README.md", page)
    if russian:
        write(material.folder / "SUMMARY.ru.md", russian)
    write(material.folder / "report.html", to_html(html_page(material, page, russian), material.folder))
    print(f"{material.folder}: {len(material.experiments)} experiments, README.md and report.html")


def write(path: Path, text: str) -> None:
    with whole_file(path) as file:
        file.write(text)


if __name__ == "__main__":
    main()
