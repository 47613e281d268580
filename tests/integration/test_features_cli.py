"""`tahoe features` and its neighbours, as their user has them: words, JSON, exit codes."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

import tahoe_engine as te
from made_tables import make_cells, write_parts
from runs import published

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Tahoe = Callable[..., subprocess.CompletedProcess[str]]

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")

PACKAGED = ["biospark-m3", "biospark-m4", "cell-line", "compare", "dge"]
RECIPE = """description = "Mine"
table = "cells"
[split]
by = ["sample"]
test = 0.3
[[targets]]
kind = "delta"
name = "delta"
value = "mean_log1p_cp10k"
[[features]]
kind = "numeric"
name = "summaries"
columns = ["expr_mean", "expr_std"]
steps = ["impute", "standardize"]
[[features]]
kind = "one_hot"
name = "drug"
column = "drug"
[bug_compat]
fitted_on = "all"
"""


@pytest.fixture
def scanned(run: Path, tmp_path: Path) -> Path:
    shutil.copytree(run, tmp_path / "my run")
    return tmp_path / "my run"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "my recipes").mkdir()
    path = tmp_path / "my recipes/mine.toml"
    path.write_text(RECIPE)
    return path


def test_features_are_planned_made_told_inspected_and_verified(scanned: Path, recipe: Path, tahoe: Tahoe) -> None:
    before = published(scanned)
    asked = ("--into", scanned, "--recipe", recipe)
    planned = tahoe("plan", "features", *asked, "--json")
    assert planned.returncode == 0, planned.stderr
    facts = json.loads(planned.stdout)
    assert (facts["name"], facts["rows"], facts["targets"]) == ("mine", 1200, ["delta"])
    assert published(scanned) == before

    done = tahoe("features", *asked, "--workers", 0)
    assert done.returncode == 0, done.stderr
    words = {line.rpartition("  ")[0].strip(): line.rpartition("  ")[2] for line in done.stdout.splitlines()}
    assert (words["features"], words["rows"]) == ("mine", "1,200 of 1,200")
    told = json.loads(tahoe("features", *asked, "--workers", 0, "--json").stdout)
    assert (told["parts_done"], told["name"], told["leaks"]) == (0, "mine", [])
    assert words["train"] == f"{told['split']['rows']['train']:,}"
    assert told["split"]["rows"]["train"] + told["split"]["rows"]["test"] == 1200
    assert words["columns"] == str(told["n_features"]) == str(len(te.load_features(scanned, "mine").columns()))
    inspected = tahoe("inspect", scanned)
    assert "features/mine\n" in inspected.stdout
    assert "mode=honest, table=cells, split by=sample, targets=delta, features=summaries,drug" in inspected.stdout
    assert tahoe("verify", scanned, "--deep").returncode == 0
    (scanned / "features/mine/lineage.json").write_text("{}")
    damaged = tahoe("verify", scanned, "--deep")
    assert damaged.returncode == 3
    assert "features/mine/lineage.json" in damaged.stdout + damaged.stderr


def test_a_plan_is_told_in_words(run: Path, recipe: Path, tahoe: Tahoe) -> None:
    planned = tahoe("plan", "features", "--into", run, "--recipe", recipe)
    assert planned.returncode == 0, planned.stderr
    assert "1,200 of the table, in 6 units" in planned.stdout
    assert "by sample, 30% for test, 5 folds" in planned.stdout


def test_recipes_are_listed(tahoe: Tahoe) -> None:
    listed = tahoe("features", "--list")
    assert listed.returncode == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()[2:]] == PACKAGED
    told = json.loads(tahoe("features", "--list", "--json").stdout)
    assert [row["recipe"] for row in told["recipes"]] == PACKAGED
    both = {row["recipe"] for row in told["recipes"] if row["modes"] == ["honest", "bug-compat"]}
    assert both == {"biospark-m3", "biospark-m4", "dge"}
    assert all(row["modes"][0] == "honest" and row["description"] for row in told["recipes"])


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--recipe", "biospark-m5"], 64, "no recipe 'biospark-m5'; did you mean 'biospark-m"),
        (["--recipe", "biospark-m3", "--mode", "bug"], 64, "features.mode = 'bug': input should be 'honest' or"),
        (["--recipe", "dge"], 64, "this recipe is about a table of yours; name its file with --table"),
        (["--recipe", "biospark-m3", "--table", "nothing.csv"], 66, "nothing.csv: no such table"),
        ([], 64, "no recipe is named; say --recipe NAME (`tahoe features --list` shows them)"),
    ],
)
def test_what_is_asked_wrongly_is_told(scanned: Path, tahoe: Tahoe, options: list[str], code: int, told: str) -> None:
    done = tahoe("features", "--into", scanned, *options)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (scanned / "features").exists()


def test_a_run_must_be_named_and_have_cells(tmp_path: Path, tahoe: Tahoe) -> None:
    assert "name the run folder" in tahoe("features", "--recipe", "biospark-m3").stderr
    missing = tahoe("features", "--into", tmp_path / "new", "--recipe", "biospark-m3")
    assert missing.returncode == 64
    assert "run `tahoe cells` first" in missing.stderr


@pytest.mark.slow
def test_a_leak_ends_with_4_and_a_line_a_finding_and_may_be_allowed(scanned: Path, recipe: Path, tahoe: Tahoe) -> None:
    before = published(scanned)
    asked = ("features", "--into", scanned, "--recipe", recipe, "--mode", "bug-compat", "--workers", 0)
    refused = tahoe(*asked)
    assert (refused.returncode, refused.stdout) == (4, "")
    lines = refused.stderr.splitlines()
    assert lines[0] == "tahoe: mine-bug-compat: refused by the leak guard, nothing is published:"
    assert lines[1].startswith("  summaries: fitted_on_test: summaries was fitted on 1,200 rows, and there are")
    assert published(scanned) == before
    allowed = tahoe(*asked, "--allow-leaks")
    assert allowed.returncode == 0
    assert "tahoe: leak allowed: summaries: fitted_on_test" in allowed.stderr
    manifest = te.load_features(scanned, "mine-bug-compat").manifest
    assert manifest["leaks_allowed"]
    assert {leak["kind"] for leak in manifest["leaks"]} >= {"fitted_on_test"}


def test_a_line_that_is_not_there_is_told(scanned: Path, tahoe: Tahoe) -> None:
    lines = te.Run(scanned).table("cells").collect()["cell_line_id"].unique().sort().to_list()
    text = RECIPE.replace("[split]", f'[rows]\nkeep = {{ cell_line_id = ["{lines[0]}", "CVCL_9999"] }}\n[split]')
    (scanned.parent / "one.toml").write_text(text)
    done = tahoe("features", "--into", scanned, "--recipe", scanned.parent / "one.toml", "--workers", 0)
    assert done.returncode == 0, done.stderr
    assert "cell_line_id not there  CVCL_9999" in done.stdout
    manifest = te.load_features(scanned, "one").manifest
    assert manifest["wanted"] == {"cell_line_id": {"present": lines[:1], "absent": ["CVCL_9999"]}}


def test_a_job_makes_cells_and_features(atlas: Path, recipe: Path, tmp_path: Path, tahoe: Tahoe) -> None:
    job: dict[str, Any] = {"source": str(atlas), "into": str(tmp_path / "a run")}
    lines = ["[job]", *(f'{name} = "{value}"' for name, value in job.items()), 'stages = ["cells", "features"]']
    (tmp_path / "job.toml").write_text("\n".join([*lines, "[features]", f'recipe = "{recipe}"', ""]))
    done = tahoe("run", tmp_path / "job.toml", "--workers", 0)
    assert done.returncode == 0, done.stderr
    assert "shards" in done.stdout
    assert "mine" in done.stdout
    told = json.loads(tahoe("run", tmp_path / "job.toml", "--workers", 0, "--json").stdout)
    assert list(told) == ["cells", "features/mine"]
    assert told["features/mine"]["parts_done"] == 0
    assert te.load_features(tmp_path / "a run", "mine").manifest["rows"]["kept"] == 1200


def test_a_table_of_the_users_needs_no_run(tmp_path: Path, recipe: Path, tahoe: Tahoe) -> None:
    cells = make_cells().rename({"a": "expr_mean", "b": "expr_std", "value": "mean_log1p_cp10k"})
    folder = write_parts(cells, tmp_path / "my table")
    asked = ("--into", tmp_path / "run", "--recipe", recipe, "--table", folder, "--workers", 0, "--json")
    done = tahoe("features", *asked)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["rows"]["kept"] == cells.height
    assert told["needs"] == {}
