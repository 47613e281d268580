"""Recipe files: what is wrong in one is told by its key, and never by a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tahoe_engine.errors import ConfigError
from tahoe_engine.features.recipe import Recipe
from tahoe_engine.features.recipes import RECIPES, list_recipes, load_recipe
from tahoe_engine.named import MODES

if TYPE_CHECKING:
    from pathlib import Path

PACKAGED = ["biospark-m3", "biospark-m4", "cell-line", "compare", "dge"]
SPLIT = '[split]\nby = ["sample"]\n'
TARGET = '[[targets]]\nkind = "delta"\nname = "delta"\nvalue = "value"\n'
BLOCK = '[[features]]\nkind = "numeric"\nname = "summaries"\ncolumns = ["a", "b"]\nsteps = ["impute", "standardize"]\n'
RIGHT = f'table = "cells"\n{SPLIT}{TARGET}{BLOCK}'


def write(folder: Path, text: str | bytes, name: str = "mine.toml") -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('table = "cells"', "table = 1", "table = 1: input should be 'cells', 'groups', 'top_table' or 'file'"),
        ('table = "cells"', 'tabel = "cells"', "unknown setting 'tabel'; did you mean 'table'?"),
        ('table = "cells"', "rows = 3", "rows = 3: input should be a table"),
        ('table = "cells"', 'rows = {keep = ["a"]}', "rows.keep = ['a']: input should be a table"),
        ('table = "cells"', "rows = {keep = {plate = 4}}", "rows.keep.plate = 4: input should be a list"),
        ('table = "cells"', "rows = {keep = {plate = [4]}}", "rows.keep.plate.0 = 4: input should be a valid string"),
        ('table = "cells"', "rows = {where = 3}", "rows.where = 3: input should be a valid string"),
        ('table = "cells"', "rows = {first = -1}", "rows.first = -1: input should be greater than or equal to 0"),
        ('table = "cells"', 'rows = {controls = "no"}', "rows.controls = 'no': input should be 'keep' or 'drop'"),
        ('table = "cells"', "derive = {a = 3}", "derive.a = 3: input should be a valid string"),
        ('table = "cells"', 'derive = ["a"]', "derive = ['a']: input should be a table"),
        ('table = "cells"', 'joins = "drug"', "joins = 'drug': input should be a list"),
        ('table = "cells"', 'joins = ["drugs"]', "joins.0 = 'drugs': input should be 'drug', 'cell_line' or 'obs'"),
        ('table = "cells"', "fitted_on = true", "fitted_on = True: input should be 'train' or 'all'"),
        ('by = ["sample"]', "by = 3", "split.by = 3: input should be a list"),
        ('by = ["sample"]', "by = [1]", "split.by.0 = 1: input should be a valid string"),
        ('by = ["sample"]', 'test = "some"', "split.test = 'some': input should be a valid number"),
        ('by = ["sample"]', "test = 1.0", "split.test = 1.0: input should be less than 1"),
        ('by = ["sample"]', "test = nan", "split.test = nan: input should be a finite number"),
        ('by = ["sample"]', "test = 0.5\nvalidation = 0.5", "test and validation leave nothing to train on"),
        ('by = ["sample"]', "folds = 1", "one fold is none: write 0, or 2 and more"),
        ('by = ["sample"]', "seed = -1", "split.seed = -1: input should be greater than or equal to 0"),
        ('by = ["sample"]', "seed = 1.5", "split.seed = 1.5: input should be a valid integer"),
        ('by = ["sample"]', 'bye = ["sample"]', "unknown setting 'split.bye'; did you mean 'split.by'?"),
        ('by = ["sample"]', 'by = ["sample"]\nstratify = ["drug"]', "groups are neither stratified nor split in"),
        ('kind = "numeric"\n', "", "features.0: 'kind' is missing"),
        (
            'kind = "numeric"',
            'kind = "numbers"',
            "features.0: kind = 'numbers' is not known; did you mean 'numeric'? There is numeric,",
        ),
        ('kind = "delta"\n', "", "targets.0: 'kind' is missing"),
        ('kind = "delta"', 'kind = "diff"', "targets.0: kind = 'diff' is not known. There is column, delta"),
        ('columns = ["a", "b"]', "columns = 3", "features.0.columns = 3: input should be a list"),
        (
            'columns = ["a", "b"]',
            "columns = []",
            "features.0.columns = []: it is empty, and should have at least",
        ),
        (
            'columns = ["a", "b"]',
            'column = "a"',
            "unknown key 'features.0.column'; did you mean 'columns'?",
        ),
        (
            '"standardize"',
            '"standardise"',
            "do = 'standardise' is not known; did you mean 'standardize'? There is impute,",
        ),
        ('"standardize"', "3", "features.0.steps.1 = 3: input should be a table"),
        ('"standardize"', '"svd"', "'features.0.steps.1.components' is missing"),
        ('"standardize"', "{components = 3}", "features.0.steps.1: 'do' is missing"),
        ('["impute", "standardize"]', '"impute"', "features.0.steps = 'impute': input should be a list"),
        (
            '["impute", "standardize"]',
            '{do = "impute"}',
            "features.0.steps = {'do': 'impute'}: input should be",
        ),
        ("[[features]]", "[features]", "input should be a list"),
        ("[[targets]]", "[targets]", "input should be a list"),
        (TARGET, "", "'targets' is missing"),
        (BLOCK, "", "'features' is missing"),
        (BLOCK, BLOCK + BLOCK, "mine.toml: the block of features 'summaries' is there twice"),
        (TARGET, TARGET + TARGET, "mine.toml: the target 'delta' is there twice"),
        ('name = "delta"', 'name = "../delta"', "targets.0.name = '../delta': string should match"),
        (TARGET, TARGET + 'without = ["sums"]\n', "target 'delta': there is no block 'sums'"),
        (RIGHT, "", "'targets' is missing"),
        (RIGHT, "a = = 3", "not valid TOML"),
        (RIGHT, "a\0b", "not valid TOML"),
        (RIGHT, "a = " + "[" * 5000 + "]" * 5000, "not valid TOML"),
    ],
)
def test_what_is_wrong_is_told_by_its_key(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in RIGHT
    with pytest.raises(ConfigError) as caught:
        load_recipe(write(tmp_path, RIGHT.replace(old, new)))
    assert told in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "mine.toml"))
    # What follows from it is not told besides: one list that is empty because of it.
    assert str(caught.value).count("at least one item") == told.count("it is empty")


def test_a_recipe_without_mistakes_is_read_and_called_as_its_file(tmp_path: Path) -> None:
    name, recipe = load_recipe(write(tmp_path, RIGHT.replace("\n", "\r\n")))
    assert name == "mine"
    assert [step.do for step in recipe.features[0].steps] == ["impute", "standardize"]  # type: ignore[union-attr]
    assert recipe.split.by == ("sample",)
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


def test_one_name_stands_for_a_list_of_one(tmp_path: Path) -> None:
    text = RIGHT.replace('by = ["sample"]', 'by = "sample"').replace('columns = ["a", "b"]', 'columns = "a"')
    recipe = load_recipe(write(tmp_path, text))[1]
    assert recipe.split.by == ("sample",)
    assert recipe.features[0].columns == ("a",)  # type: ignore[union-attr]


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_recipe(write(tmp_path, b"description = '\xe9'\n"))


@pytest.mark.parametrize("mode", MODES)
def test_a_mistake_in_the_other_mode_is_told_at_once(tmp_path: Path, mode: str) -> None:
    with pytest.raises(ConfigError, match=r"with \[bug_compat\]: unknown setting 'fited_on'; did you mean 'fitted_on'"):
        load_recipe(write(tmp_path, RIGHT + "[bug_compat]\nfited_on = 'all'\n"), mode)
    with pytest.raises(ConfigError, match="bug_compat = 3: input should be a table"):
        load_recipe(write(tmp_path, "bug_compat = 3\n" + RIGHT), mode)


def test_a_key_of_the_other_mode_replaces_the_honest_one_whole(tmp_path: Path) -> None:
    path = write(tmp_path, RIGHT + "[bug_compat]\nfitted_on = 'all'\n[bug_compat.split]\ntest = 0.3\n")
    assert load_recipe(path)[1].split.by == ("sample",)
    name, recipe = load_recipe(path, "bug-compat")
    assert (name, recipe.fitted_on, recipe.split.by, recipe.split.test) == ("mine-bug-compat", "all", (), 0.3)


def test_a_mode_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, RIGHT)
    with pytest.raises(ConfigError, match=r"no table \[bug_compat\], hence no such mode"):
        load_recipe(path, "bug-compat")
    with pytest.raises(ConfigError, match="no mode 'bug'; there is honest and bug-compat"):
        load_recipe(path, "bug")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("biospark-m5", "no recipe 'biospark-m5'; did you mean 'biospark-m"),
        ("", "no recipe ''; There is biospark-m3, biospark-m4, cell-line, compare, dge, or name a TOML file"),
        ("dge\x1b[31m", r"no recipe 'dge\\x1b[31m'; did you mean 'dge'?"),
        ("nowhere/mine.toml", "nowhere/mine.toml: cannot be read"),
        ("../dge", "../dge: cannot be read"),
    ],
)
def test_a_recipe_that_is_not_there_is_told_with_those_that_are(name: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(name)
    assert told in str(caught.value)


@pytest.mark.parametrize("name", ["two words.toml", "-a.toml", "ü.toml", "a" * 70 + ".toml"])
def test_a_file_whose_name_could_not_be_that_of_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="the name of a recipe has letters, digits"):
        load_recipe(write(tmp_path, RIGHT, name))


def test_a_folder_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        load_recipe(str(tmp_path / "mine.toml"))


def test_recipes_of_the_working_folder_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    packaged = [path.stem for path in list_recipes()]
    assert packaged == PACKAGED
    folder = tmp_path / "config/recipes"
    folder.mkdir(parents=True)
    write(folder, RIGHT, "dge.toml")
    assert [path.stem for path in list_recipes()] == ["dge", *(name for name in PACKAGED if name != "dge")]
    assert load_recipe("dge")[1].table == "cells"


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        pytest.param(path, mode, id=f"{path.stem} {mode}")
        for path in list_recipes()
        for mode in RECIPES.list_modes(path)
    ],
)
def test_every_packaged_recipe_is_right_in_its_modes(path: Path, mode: str) -> None:
    name, recipe = load_recipe(str(path), mode)
    assert name == path.stem + ("-bug-compat" if mode == "bug-compat" else "")
    assert recipe.description
    assert (recipe.split.method == "sklearn") == (mode == "bug-compat")
