"""From a YAML file, its base and the command line to one tree."""

from pathlib import Path

import pytest

from utils.config import find, load_tree, overlay, parse_overrides, read_yaml, to_yaml, without_nulls
from utils.errors import ConfigError


@pytest.fixture
def files(tmp_path):
    """Write files into one folder; returns the function that does it."""

    def write(**contents: str) -> Path:
        for name, content in contents.items():
            (tmp_path / f"{name}.yaml").write_text(content)
        return tmp_path

    return write


def load(folder: Path, *overrides: str, name: str = "run") -> dict:
    """Return the tree of ``run.yaml`` without the section that the command line adds."""
    tree = without_nulls(load_tree([f"exp.config_path={folder / name}.yaml", *overrides]))
    del tree["exp"]["config_path"]
    return {key: value for key, value in tree.items() if value != {}}


def test_the_command_line_wins_over_the_file_and_the_file_over_its_base(files):
    folder = files(run="base: below.yaml\ntrain: {b: file, c: file}", below="train: {a: base, b: base, c: base}")
    assert load(folder, "train.c=line") == {"train": {"a": "base", "b": "file", "c": "line"}}


def test_bases_chain_each_relative_to_the_file_that_names_it(files, tmp_path):
    (tmp_path / "deep").mkdir()
    files(run="base: deep/middle.yaml\na: {z: 3}", bottom="a: {x: 1, y: 1, z: 1}")
    (tmp_path / "deep" / "middle.yaml").write_text("base: ../bottom.yaml\na: {y: 2}")
    assert load(tmp_path) == {"a": {"x": 1, "y": 2, "z": 3}}


def test_of_several_bases_the_later_lies_above(files):
    folder = files(run="base: [first.yaml, second.yaml]\na: {z: 3}", first="a: {x: 1, y: 1}", second="a: {y: 2}")
    assert load(folder) == {"a": {"x": 1, "y": 2, "z": 3}}


def test_one_base_may_be_reached_by_two_ways(files):
    folder = files(
        run="base: [l.yaml, r.yaml]", l="base: b.yaml\na: {l: 1}", r="base: b.yaml\na: {r: 1}", b="a: {b: 1}"
    )
    assert load(folder) == {"a": {"b": 1, "l": 1, "r": 1}}


def test_a_loop_of_bases_is_an_error_that_shows_the_way(files):
    folder = files(run="base: two.yaml", two="base: three.yaml", three="base: run.yaml")
    with pytest.raises(ConfigError, match=r"is its own base: run\.yaml -> two\.yaml -> three\.yaml -> run\.yaml"):
        load(folder)


def test_mappings_merge_lists_and_scalars_replace_null_removes(files):
    folder = files(
        run="base: below.yaml\na: {map: {y: 2}, list: [3], word: new, gone: null}",
        below="a: {map: {x: 1, y: 1}, list: [1, 2], word: old, gone: 1}",
    )
    assert load(folder) == {"a": {"map": {"x": 1, "y": 2}, "list": [3], "word": "new"}}
    assert load(folder, "a.map=null") == {"a": {"list": [3], "word": "new"}}
    assert load(folder, "a.list=[]", "a.map.z=3")["a"] == {"map": {"x": 1, "y": 2, "z": 3}, "list": [], "word": "new"}


BELOW = "train: {model: unet, optimizer: adam}\nmodel_args: {width: 8}\noptimizer_args: {lr: 1}\n"


def test_a_role_that_changes_class_drops_the_arguments_it_inherited(files):
    folder = files(run="base: below.yaml\ntrain: {model: dit}\nmodel_args: {depth: 2}", below=BELOW)
    tree = load(folder)
    assert tree["model_args"] == {"depth": 2}
    assert tree["optimizer_args"] == {"lr": 1}


def test_a_role_that_names_the_same_class_again_keeps_them(files):
    folder = files(run="base: below.yaml\ntrain: {model: unet}\nmodel_args: {depth: 2}", below=BELOW)
    assert load(folder)["model_args"] == {"width": 8, "depth": 2}


def test_a_role_changed_on_the_command_line_drops_those_of_the_file(files):
    folder = files(run=BELOW + "data: {dataset: packed}\ndataset_args: {x: 1}")
    assert load(folder, "train.model=dit") == load(folder, "train.model=dit", "model_args=null")
    assert load(folder, "train.model=dit", "model_args.depth=2")["model_args"] == {"depth": 2}
    assert load(folder, "model_args.depth=2", "train.model=dit")["model_args"] == {"depth": 2}
    assert "dataset_args" not in load(folder, "data.dataset=synthetic")


def test_interpolations_read_the_environment_and_other_keys(files, monkeypatch):
    folder = files(run="a: {x: '${oc.env:MISE_TEST_VALUE,null}', y: 3, z: '${a.y}'}")
    monkeypatch.delenv("MISE_TEST_VALUE", raising=False)
    assert load(folder) == {"a": {"y": 3, "z": 3}}
    monkeypatch.setenv("MISE_TEST_VALUE", "/here")
    assert load(folder, "a.y=5") == {"a": {"x": "/here", "y": 5, "z": 5}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("0.5", 0.5),
        ("1e-4", 1e-4),
        ("2.0e-4", 2e-4),
        ("true", True),
        ("null", None),
        ("word", "word"),
        ("'3'", "3"),
        ("[0,0.99]", [0, 0.99]),
        ("[0, 0.99]", [0, 0.99]),
        ("[]", []),
        ("[pizza,sushi]", ["pizza", "sushi"]),
        ("{a: 1}", {"a": 1}),
        ("a=b", "a=b"),
        ("/data/food 101", "/data/food 101"),
        ("", None),  # as in a file
    ],
)
def test_a_value_on_the_command_line_has_the_type_it_looks_like(text, value):
    found = parse_overrides([f"a.b={text}"])["a"]["b"]
    assert found == value
    assert type(found) is type(value)


def test_floats_in_a_file_have_the_same_type_as_on_the_command_line(files):
    tree = load(files(run="a: {x: 1e-4, y: 2.0e-4, z: 3, w: .5}"))
    assert tree["a"] == {"x": 1e-4, "y": 2e-4, "z": 3, "w": 0.5}
    assert [type(value) for value in tree["a"].values()] == [float, float, int, float]


@pytest.mark.parametrize(
    ("word", "fix"),
    [
        ("--a=3", "without the dashes"),
        ("--config", "without the dashes"),
        ("a.b", "without spaces around ="),
        ("=", "without spaces around ="),
        ("configs/a.yaml", "for this file exp.config_path=configs/a.yaml"),
        ("a=[1,", "a list with spaces needs quotes: 'key=[a, b]'"),
    ],
)
def test_a_word_that_is_no_override_is_told_how_it_was_meant(word, fix):
    with pytest.raises(ConfigError) as refused:
        parse_overrides([word])
    assert str(refused.value).endswith(fix)


def test_a_tab_in_a_file_is_told_with_the_fix(files):
    with pytest.raises(ConfigError, match=r"\(line 2\): a tab\? indent by spaces"):
        load(files(run="train:\n\tsteps: 3"))


def test_a_folder_is_no_config_file(tmp_path):
    with pytest.raises(ConfigError, match=r"is a folder: name a YAML file in it"):
        load_tree([f"exp.config_path={tmp_path}"])


@pytest.mark.parametrize("word", ["a", "a.b", "=3", "a.=3", ".a=3", "a b=3", "1.2=3", "--a=3", "a[0]=3", "${a}=3", ""])
def test_what_is_not_section_key_value_is_no_override(word):
    with pytest.raises(ConfigError, match=r"is not an override: write section\.key=value"):
        parse_overrides([word])


@pytest.mark.parametrize("words", [["a.b=1", "a.b=1"], ["a.b=1", "a={b: 2}"]])
def test_a_key_given_twice_is_an_error(words):
    with pytest.raises(ConfigError, match="is given twice on the command line: keep one"):
        parse_overrides(words)


def test_a_tree_written_and_read_is_the_same(tmp_path):
    tree = {"a": {"x": 1, "y": 1e-4, "z": [0, 0.99], "w": "yes", "n": "3", "e": "", "d": {}}, "b": {"t": True}}
    (tmp_path / "a.yaml").write_text(to_yaml(tree))
    assert read_yaml(tmp_path / "a.yaml") == tree


def test_find_looks_along_a_path():
    tree = {"a": {"b": {"c": 0}}}
    assert find(tree, ["a", "b", "c"]) == 0
    assert find(tree, ["a", "x"]) is None
    assert find(tree, ["a", "b", "c", "d"]) is None


def test_null_removes_an_inherited_argument_that_the_new_class_does_not_take():
    """Of a role whose inherited class is the default: no config names it, so nothing says that it changes."""
    below = {"train": {"steps": 1}, "ema_args": {"halflife": 5}}
    above = {"train": {"ema": "power"}, "ema_args": {"halflife": None, "widths": [0.1]}}
    assert overlay(below, above)["ema_args"] == {"widths": [0.1]}


def test_null_that_removes_nothing_stays_so_that_its_name_is_checked():
    assert overlay({"ema_args": {}}, {"ema_args": {"haflife": None}})["ema_args"] == {"haflife": None}


def test_a_leading_tilde_is_the_home_folder_in_every_value(files, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    folder = files(run="data: {input_train_dir: ~/food/train, folders: [~/a, b~/c]}")
    tree = load(folder, "inference.out_dir=~/samples")
    assert tree["data"] == {"input_train_dir": "/home/ada/food/train", "folders": ["/home/ada/a", "b~/c"]}
    assert tree["inference"]["out_dir"] == "/home/ada/samples"


def test_a_config_as_a_bare_word_is_told_how_it_is_given():
    with pytest.raises(ConfigError, match=r"for this file exp\.config_path=configs/quickstart\.yaml"):
        load_tree(["configs/quickstart.yaml"])
