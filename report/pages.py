"""A family's report from top to bottom, as Markdown."""

from pathlib import Path

from report.gallery import gallery
from report.material import Material
from report.overview import chain, overview
from report.sections import experiment_section, study_section
from report.winner import best_model
from report.wording import filled, joined, link, number, table

TITLES = {"diffusion": "Diffusion models", "gan": "GANs"}
MADE = (
    "*Made by `python3 -m report.build` from the logs under [{runs}]({link}): every table and figure is read there. "
    "The thinking before each experiment is the header of its config, committed before the run; the conclusion was "
    "added after it. Sections marked “by hand” come from [parts/](parts/), with their results filled in from the same "
    "logs.*"
)
BY_HAND = "*By hand.*"


def markdown_page(material: Material) -> str:
    """Return README.md."""
    sections = [experiment_section(material, it) for it in material.told]
    studies = [study_section(material, it) for it in material.told_studies]
    return joined([
        f"# {TITLES.get(material.family, material.family)}",
        made(material),
        by_hand(material, "intro", "In short"),
        by_hand(material, "questions", "The questions, and how far they are answered"),
        "## The best model",
        best_model(material),
        "## How the numbers were made",
        protocol(material),
        "## All experiments",
        overview(material),
        heading("## The chain of thought", chain(material)),
        "## Experiments",
        *sections,
        heading("## Settings of sampling, nothing trained", joined(studies) if studies else ""),
        by_hand(material, "failures", "What did not work"),
        by_hand(material, "ideas", "Ideas not tried"),
        by_hand(material, "borrowings", "What is borrowed"),
        "## Where everything lies",
        origin(material),
    ])  # fmt: skip


def html_page(material: Material, page: str, russian: str) -> str:
    """Return the Markdown of the self-contained page: the report, a gallery and the Russian summary."""
    return joined([page, heading("## Gallery", gallery(material)), russian])


def russian_page(material: Material) -> str:
    """Return the one-page summary in Russian; nothing where nobody wrote one."""
    return part(material, "ru")


def heading(title: str, text: str) -> str:
    return joined([title, text]) if text else ""


def runs_folder(material: Material) -> Path:
    run = next(iter(material.experiments.values())).runs[0].folder
    return run.parent.parent if run.name.startswith("seed") else run.parent


def made(material: Material) -> str:
    folder = runs_folder(material)
    return MADE.format(runs=folder.name + "/", link=link(folder, material.folder))


def part(material: Material, name: str) -> str:
    """Return a hand-written part with its numbers filled in from the logs."""
    file = material.folder / "parts" / f"{name}.md"
    return filled(file.read_text(), material.values(), str(file)).strip() if file.exists() else ""


def by_hand(material: Material, name: str, title: str) -> str:
    text = part(material, name)
    return joined([f"## {title}", BY_HAND, text]) if text else ""


def protocol(material: Material) -> str:
    """Say what the numbers rest on, from the records themselves."""
    if not material.judged:
        return "Nothing was judged on the test split."
    record = material.judged[0].evaluations[0]
    origin, config = record["origin"], material.judged[0].config
    features = next(iter(origin.get("features", {}).values()), {})
    lines = [
        f"Images of {config['data']['image_size']} pixels, {classes_of(config)}.",
        f"{number(origin['images'])} generated images against {number(origin.get('real_images', 0))} real ones of the "
        f"{origin['split']} split, {origin['file_format']}; sampling seed {origin['seed']} for every model.",
        f"Features: {features.get('network')} at {features.get('dims')} dims, weights sha256 "
        f"`{str(features.get('weights_sha256'))[:16]}`; FID at other than 2,048 dims is on a scale of its own.",
        "“±” is the standard deviation over training seeds (n − 1); the sampling noise is the same everywhere.",
    ]
    if material.floor:
        lines.append("The floor is what real training photos get in place of generated images: few images make even "
                     "them score worse than zero. What counts is the excess over it.")  # fmt: skip
    return "\n".join(f"* {line}" for line in lines)


def classes_of(config: dict) -> str:
    names = config.get("dataset_args", {}).get("classes") or []
    return f"{len(names)} classes of the data set" if names else "all classes of the data set"


def origin(material: Material) -> str:
    """Name commits, versions and machines, and link every run's logs."""
    rows = []
    for it in material.experiments.values():
        for run in it.runs:
            made = run.environment
            commit = str(made["commit"])[:10] + (" + changes" if made.get("uncommitted_changes") else "")
            where = f"[{it.name}/{run.folder.name}]({link(run.folder, material.folder)})"
            device = made.get("gpu") or f"CPU, {made['cpus']} cores"
            rows.append([where, commit, made["python"], made["packages"]["torch"], device, f"{run.seconds / 60:.1f}"])
    note = "Minutes are by the clock, of a machine that did other work as well: they say nothing about speed."
    return joined([table(["run", "commit", "Python", "PyTorch", "device", "minutes"], rows), note])
