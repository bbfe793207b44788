"""Builds the reports, one for each family, from run folders: figures, tables, pages. Nothing is computed but from logs.

    python3 -m report.build [runs=report/runs] [out=report] [photos=False]

runs     what report.experiments kept (RUNS/<experiment>/seed<k>/), or the folder exp.exp_dir of your own train.py runs
out      where OUT/diffusion/ and OUT/gan/ go: README.md, report.html (one file, images inside), figures/
photos   also OUT/<family>/photos/: real photos beside generated images, and nearest training photos; needs the data,
         and stays out of git
configs  where sampling studies are described; default: configs/experiments

A run's thinking is read from its config's header (report/headers.py). What no log can know stands in
OUT/<family>/parts/: intro.md, questions.md, failures.md, ideas.md, borrowings.md, ru.md; each is optional.
{{edm.fid768}} in them is the number in the logs.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

from utils.command import command
from utils.config import parse_overrides
from utils.errors import ConfigError
from utils.schema import bind, section

ROOT = Path(__file__).parents[1]
LIBRARIES = ("matplotlib", "markdown")  # that nothing else here needs


@section
class Settings:
    """What the command takes."""

    runs: str = str(ROOT / "report" / "runs")
    out: str = str(ROOT / "report")
    configs: str = str(ROOT / "configs" / "experiments")
    photos: bool = False


@command
def main(words: list[str] | None = None) -> None:
    settings = bind(Settings, parse_overrides(sys.argv[1:] if words is None else words))
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise ConfigError(f"reports need {' and '.join(missing)}: pip install -r requirements-report.txt")
    from report.making import make_reports

    runs, out = Path(settings.runs).expanduser(), Path(settings.out).expanduser()
    make_reports(runs, out, Path(settings.configs), settings.photos)


if __name__ == "__main__":
    main()
