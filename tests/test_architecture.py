"""What design.md promises of the tree: imports flow one way, files stay small, registries fill themselves."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import training.launch  # noqa: F401 - fills the registries
from utils.class_registry import ClassRegistry

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "utils": set(),
    "datasets": {"utils"},
    "models": {"utils"},
    "sampling": {"utils"},
    "metrics": {"utils"},
    "evaluation": {"utils", "datasets", "models", "metrics"},
    "training": {"utils", "datasets", "models", "sampling", "metrics", "evaluation"},
    "report": {"utils", "datasets", "models", "sampling", "metrics", "evaluation", "training", "train", "inference"},
}
COMMANDS = sorted(ROOT.glob("*.py"))
FILES = {path: package for package in MAY_IMPORT for path in sorted((ROOT / package).rglob("*.py"))}
BENCHMARKS = sorted((ROOT / "benchmarks").rglob("*.py"))
FOREIGN = {
    "timm",
    "transformers",
    "diffusers",
    "wandb",
    "wandb_workspaces",
    "gdown",
    "tensorboard",
}  # heavy, optional, or looking for Hugging Face's datasets


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in [*FILES, *COMMANDS, *BENCHMARKS]}


def statements(path: Path, only_top: bool = False) -> list[ast.stmt]:
    """Return a file's import statements, without those that are for type checkers only."""
    tree = ast.parse(path.read_text())
    hidden = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            hidden |= set(ast.walk(node))
    nodes = tree.body if only_top else ast.walk(tree)
    return [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom)) and node not in hidden]


def imports(path: Path, only_top: bool = False) -> set[str]:
    """Name the modules that a file imports: ``from a import b`` is ``a.b`` where that is a module, else ``a``."""
    found = set()
    for node in statements(path, only_top):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            assert node.level == 0, f"{path}: imports are absolute here"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
    return found


def with_parents(module: str) -> set[str]:
    """Importing a.b.c runs a and a.b as well."""
    parts = module.split(".")
    return {".".join(parts[: i + 1]) for i in range(len(parts))}


def reached_from(module: str) -> set[str]:
    """Name all modules of this project that importing ``module`` imports."""
    reached, waiting = set(), with_parents(module)
    while waiting:
        name = waiting.pop()
        if name in MODULES and name not in reached:
            reached.add(name)
            waiting |= {part for found in imports(MODULES[name]) for part in with_parents(found)}
    return reached


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_flow_one_way(package):
    ours = {*MAY_IMPORT, *(module_of(path) for path in COMMANDS), "benchmarks", "tests"}
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in FILES
        if FILES[path] == package
        for module in imports(path)
        if module.split(".")[0] in ours - MAY_IMPORT[package] - {package}
    ]
    assert wrong == []


def test_families_are_imported_by_their_package_only():
    """Losses, updater and the like know no trainer, the base trainers no family, and one family not the other."""
    trainers = ROOT / "training" / "trainers"
    families = {module_of(path) for path in trainers.glob("*.py")} - {
        "training.trainers",
        "training.trainers.base",
        "training.trainers.generative",
        "training.trainers.registry",
    }
    assert families >= {"training.trainers.gan", "training.trainers.diffusion"}
    for path in FILES:
        if path != trainers / "__init__.py":
            assert imports(path) & families == set(), path
        if path.parent != trainers and path.name != "launch.py":
            assert not any(module.startswith("training.trainers") for module in imports(path)), path


@pytest.mark.parametrize("path", [*FILES, *COMMANDS, *BENCHMARKS], ids=module_of)
def test_a_file_has_at_most_250_lines(path):
    assert len(path.read_text().splitlines()) <= 250


REGISTERING = [module_of(path) for path in FILES if ".add_to_registry(" in path.read_text()]
REGISTERING.remove("utils.class_registry")  # it is the one that defines the word


@pytest.mark.parametrize("module", REGISTERING)
def test_importing_the_package_imports_every_module_that_registers_a_class(module):
    """``training`` is filled by the module that both commands start from."""
    package = module.split(".")[0]
    assert module in reached_from("training.launch" if package == "training" else package)


def test_the_commands_reach_every_module_that_registers_a_class():
    for command in ("train", "inference"):
        assert set(REGISTERING) <= reached_from(command)


def test_omegaconf_is_known_to_one_file_only():
    users = [name for name, path in MODULES.items() if any(m.split(".")[0] == "omegaconf" for m in imports(path))]
    assert users == ["utils.config"]


@pytest.mark.parametrize("path", [*FILES, *COMMANDS, *BENCHMARKS], ids=module_of)
def test_optional_libraries_are_imported_where_they_are_used(path):
    """Not at the top of a file: they are heavy, or look for Hugging Face's ``datasets``, or are not there."""
    assert {module.split(".")[0] for module in imports(path, only_top=True)} & FOREIGN == set()


def test_importing_the_command_is_light_and_datasets_is_ours():
    code = "import sys, train, datasets; print(datasets.__file__); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    file, modules = run.stdout.splitlines()
    assert Path(file) == ROOT / "datasets" / "__init__.py"
    assert {name.split(".")[0] for name in modules.split()} & FOREIGN == set()


def all_registries() -> dict[str, ClassRegistry]:
    """Return every registry of the project by its place."""
    names = [module_of(path) for path in FILES]
    loaded = [(name, sys.modules[name]) for name in names if name in sys.modules]
    found = {f"{name}.{key}": value for name, module in loaded for key, value in vars(module).items()}
    return {place: value for place, value in found.items() if isinstance(value, ClassRegistry)}


@pytest.mark.parametrize("place", all_registries())
def test_registered_classes_take_plain_annotated_arguments(place):
    """House rule 1: no config object, no ``**kwargs``. An annotation is the argument's schema."""
    for name, cls in all_registries()[place].classes.items():
        for parameter in inspect.signature(cls).parameters.values():
            assert parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD), f"{name}: {parameter}"
            assert parameter.annotation is not parameter.empty, f"{name}: {parameter} has no annotation"


def test_no_registry_is_empty():
    assert [place for place, registry in all_registries().items() if len(registry) == 0] == []
