"""Task files: those that come along are right in each of their modes, and go with the recipes they name."""

from __future__ import annotations

from itertools import chain
from math import prod
from typing import TYPE_CHECKING

import pytest

from tahoe_engine.errors import ConfigError
from tahoe_engine.features import load_recipe
from tahoe_engine.features.columns import columns_of_block
from tahoe_engine.models.task import BASELINES, Task
from tahoe_engine.models.tasks import TASKS, list_tasks, load_task
from tahoe_engine.named import BUG_COMPAT, HONEST

if TYPE_CHECKING:
    from pathlib import Path

    from tahoe_engine.features.recipe import Recipe

PACKAGED = [
    *(
        "biospark-m3",
        "biospark-m4-forest",
        "biospark-m4-ridge",
        "cell-line",
        "compare-delta",
        "compare",
        "dge-benchmark",
    ),
]
MODES = [(path.stem, mode) for path in list_tasks() for mode in TASKS.list_modes(path)]


def open_both(name: str, mode: str) -> tuple[Task, Recipe]:
    task = load_task(name, mode)[1]
    return task, load_recipe(task.features, mode)[1]


def test_the_tasks_that_come_along_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [path.stem for path in list_tasks()] == PACKAGED
    both = {name for name, mode in MODES if mode == BUG_COMPAT}
    assert both == {"biospark-m3", "biospark-m4-forest", "biospark-m4-ridge", "dge-benchmark"}


@pytest.mark.parametrize(("name", "mode"), MODES)
def test_a_task_names_targets_blocks_and_ids_that_its_recipe_has(name: str, mode: str) -> None:
    called, task = load_task(name, mode)
    assert called == name + ("-bug-compat" if mode == BUG_COMPAT else "")
    assert task.description
    recipe = load_recipe(task.features, mode)[1]
    assert set(task.targets) <= {target.name for target in recipe.targets}
    blocks = {block.name for block in recipe.features}
    assert {*chain(*task.sets.values())} <= blocks
    assert set(task.folds.blocks) <= blocks
    ids = {"drug", "cell_line_id", "plate", "moa-fine", "sample", "dose_um"} if recipe.table == "cells" else {"gene"}
    assert set(task.groups) <= ids
    for model in task.models:
        by = model.parameters.get("by")
        assert (by is not None) == model.estimator.startswith("group_")
        assert set(by if isinstance(by, tuple) else ()) <= ids
        known = {
            f"{block.prefix}{column}"
            for block in recipe.features
            if block.kind == "numeric"
            for column in columns_of_block(recipe, block)
        }
        assert set(model.without) <= blocks | known


@pytest.mark.parametrize(("name", "mode"), MODES)
def test_no_set_is_all_that_the_recipe_leaves_out_for_the_target(name: str, mode: str) -> None:
    task, recipe = open_both(name, mode)
    for target in recipe.targets:
        if target.name in task.targets:
            out = set(target.without)
            assert all(set(blocks) - out for blocks in task.sets.values())


def test_the_grid_of_the_top_table_has_54_combinations_and_the_first_is_the_references() -> None:
    task = load_task("dge-benchmark", BUG_COMPAT)[1]
    (grid,) = (model for model in task.models if model.search)
    assert prod(len(values) for values in grid.search.values()) == 54
    first = {name: values[0] for name, values in grid.search.items()}
    # "none" in TOML is None in Python.
    assert first == {"n_estimators": 50, "max_depth": None, "min_samples_split": 2, "min_samples_leaf": 1}
    assert [model.estimator for model in task.models if not model.search] == [
        *("random_forest", "logistic", "svc", "gradient_boosting", "logistic"),
    ]
    assert task.folds.of == "all"
    assert task.seed == 42


def test_the_published_forest_is_there_with_and_without_the_column_that_names_the_line() -> None:
    task, recipe = open_both("biospark-m4-forest", BUG_COMPAT)
    models = {model.name: set(model.without) for model in task.models}
    assert models["forest-without-delta"] - models["forest-14-columns"] == {"scaled delta_mean"}
    assert {block.name for block in recipe.features} - models["forest-14-columns"] == {"scaled", "drug", "line"}


@pytest.mark.parametrize("name", [name for name, mode in MODES if mode == HONEST])
def test_an_honest_task_allows_no_leak_and_a_grid_of_a_job_is_small(name: str) -> None:
    task, recipe = open_both(name, HONEST)
    assert not task.allow
    assert task.folds.of == "train"
    assert recipe.fitted_on == "train"
    # A grid is tried on each fold, and for each fold's own model on all the others.
    fits = sum(
        prod(len(values) for values in model.search.values()) * task.folds.number**2
        for model in task.models
        if model.search and model.estimator not in {"ridge", *BASELINES}
    )
    assert fits * task.folds.rows <= 1_000_000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('features = "dge"\ntargets = "y"\n', "models"),
        ('features = "dge"\ntargets = "y"\nmodels = []\n', "models"),
        ('features = "dge"\ntargets = "y"\n[[models]]\nname = "a"\nestimater = "ridge"\n', "did you mean 'estimator'"),
        (
            'features = "dge"\ntargets = "y"\n[[models]]\nname = "a"\nestimator = "ridge"\nsets = "b"\n',
            "there is no set 'b'",
        ),
        (
            (
                'features = "dge"\ntargets = "y"\n[[models]]\nname = "a"\nestimator = "ridge"\n'
                "[models.search]\nalpha = [1]\n[models.parameters]\nalpha = 1\n"
            ),
            "'alpha' is fixed and searched for",
        ),
        (2 * '[[models]]\nname = "a"\nestimator = "ridge"\n', "'a' is there twice"),
    ],
)
def test_what_is_wrong_in_a_task_is_told(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text if text.startswith("features") else f'features = "dge"\ntargets = "y"\n{text}')
    with pytest.raises(ConfigError, match=told):
        load_task(str(path))


def test_a_task_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="no task 'biospark-m5'; did you mean 'biospark-m"):
        load_task("biospark-m5")
    with pytest.raises(ConfigError, match="no such mode"):
        load_task("compare", BUG_COMPAT)
