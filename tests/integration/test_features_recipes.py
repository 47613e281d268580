"""Recipes over made-up atlases: what the reference did is refused, honest ones pass, of every kind of block."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

import tahoe_engine as te
from runs import published
from tahoe_engine import schema
from tahoe_engine.errors import LeakError
from tahoe_engine.features.recipe import Recipe
from tahoe_engine.synth import write_atlas, write_tables

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")

DELTA: dict[str, Any] = {"kind": "delta", "name": "delta", "value": "mean_log1p_cp10k"}
SUMMARIES: dict[str, Any] = {
    "kind": "numeric",
    "name": "summaries",
    "columns": ["expr_mean", "expr_std", "expr_skew", "expr_len"],
    "steps": ["impute", "polynomial", "standardize"],
}
DRUG, LINE, MOA = (
    {"kind": "one_hot", "name": name, "column": column}
    for name, column in (("drug", schema.DRUG), ("line", schema.CELL_LINE_ID), ("moa", schema.MOA_FINE))
)
PLAIN = [SUMMARIES, DRUG, LINE, MOA]
IDS = (
    *("sample", "plate", "drug", "moa", "line", "drug x line", "rows", "no controls"),
    *("statistics", "left out", "vectors", "joins", "classes", "derived"),
)
OF_DRUGS: dict[str, Any] = {"kind": "target_statistics", "name": "of_drugs", "by": [schema.DRUG], "of": "delta"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12,000 made-up cells of 8 lines in 24 wells of two plates, in three parts."""
    folder = tmp_path_factory.mktemp("tables") / "made up"
    write_tables(folder, 12_000, plates=(4, 6), wells=12, lines=8, seed=3, part_rows=5_000)
    return folder / "cells"


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 3,000 cells whose groups are summed."""
    folder = tmp_path_factory.mktemp("grouped")
    write_atlas(folder / "atlas", plates=(4, 6), wells=8, lines=4, cells=3_000, seed=7, shard_rows=600)
    te.scan_cells(folder / "atlas", folder / "run", workers=0)
    te.sum_groups(folder / "run", workers=0)
    return folder / "run"


def honest(**parts: Any) -> Recipe:
    own = {"table": "cells", "split": {"by": [schema.SAMPLE]}, "targets": [DELTA], "features": PLAIN}
    return Recipe.model_validate(own | parts)


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"split": {"by": [schema.PLATE]}},
        {"split": {"by": [schema.DRUG]}},
        {"split": {"by": [schema.MOA_FINE]}},
        {"split": {"by": [schema.CELL_LINE_ID]}},
        {"split": {"by": [schema.DRUG, schema.CELL_LINE_ID], "validation": 0.1}},
        {"split": {"stratify": [schema.CELL_LINE_ID]}, "allow": [schema.SAMPLE]},
        {"rows": {"controls": "drop", "where": "expr_len >= 500"}},
        {"features": [*PLAIN, OF_DRUGS | {"statistics": ["mean", "std", "quantile"]}]},
        {"features": [*PLAIN, OF_DRUGS | {"method": "leave_one_out", "noise": 0.1}]},
        {
            "features": [
                {
                    "kind": "one_hot_svd",
                    "name": "all",
                    "columns": ["drug", "cell_line_id", "moa-fine"],
                    "components": 5,
                },
                SUMMARIES | {"steps": ["impute", "standardize", {"do": "svd", "components": 2}]},
            ]
        },
        {
            "joins": ["drug", "cell_line"],
            "features": [
                SUMMARIES,
                {"kind": "one_hot", "name": "broad", "column": "moa-broad", "levels": "seen"},
                {"kind": "one_hot", "name": "organ", "column": "organ", "levels": "seen"},
            ],
        },
        {"targets": [{"kind": "column", "name": "line_of", "column": schema.CELL_LINE_ID, "without": ["line"]}]},
        {
            "derive": {"depth": "log1p(total_counts)"},
            "features": [DRUG, {**SUMMARIES, "columns": ["depth", "expr_std"]}],
        },
    ],
    ids=IDS,
)
def test_the_guard_is_silent_about_what_is_honest(table: Path, tmp_path: Path, parts: dict[str, Any]) -> None:
    report = te.make_features(tmp_path / "run", honest(**parts), table=table, workers=0)
    assert report.manifest["leaks"] == []
    rows = report.manifest["split"]["rows"]
    assert rows["train"] > 0 < rows["test"]
    assert report.manifest["rows"]["in"] == 12_000
    assert report.manifest["rows"]["in"] == report.manifest["rows"]["kept"] + report.manifest["rows"]["filtered"]


@pytest.mark.parametrize("name", ["biospark-m3", "biospark-m4"])
def test_packaged_recipes_are_honest_and_say_which_lines_there_are(table: Path, tmp_path: Path, name: str) -> None:
    manifest = te.make_features(tmp_path / "run", name, table=table, workers=0).manifest
    assert manifest["leaks"] == []
    assert manifest["wanted"]["cell_line_id"]["present"] == ["CVCL_0131", "CVCL_1239"]
    assert "CVCL_0021" in manifest["wanted"]["cell_line_id"]["absent"]
    assert manifest["targets"]["delta_mean"]["missing"] == 0
    filtered = manifest["filtered"]
    assert sum(filtered.values()) == manifest["rows"]["filtered"]
    assert filtered["keep"] > filtered["controls"] > 0


def test_the_published_features_of_m4_tell_the_line_and_are_refused(table: Path, tmp_path: Path) -> None:
    into = tmp_path / "run"
    with pytest.raises(LeakError) as caught:
        te.make_features(into, "biospark-m4", mode="bug-compat", table=table, workers=0)
    assert caught.value.exit_code == 4
    found = re.search(
        r"scaled delta_mean: affine_within_classes: scaled delta_mean = ([\d.]+)·scaled mean_expression \+ "
        r"b\(cell_line\).*\(residual (\S+) of its sd\), and b tells the class: CVCL_0131: (\S+), CVCL_1239: (\S+) ",
        str(caught.value),
    )
    assert found is not None, str(caught.value)
    assert float(found[2]) < 1e-6
    assert not published(into)

    manifest = te.make_features(
        into, "biospark-m4", mode="bug-compat", table=table, workers=0, allow_leaks=True
    ).manifest
    assert manifest["leaks_allowed"]
    kinds = {leak["kind"] for leak in manifest["leaks"]}
    assert kinds >= {"affine_within_classes", "duplicate", "fitted_on_test", "straddle"}
    # What it says is so: a line of one slope for each class.
    features = te.load_features(into, "biospark-m4-bug-compat")
    rows = pl.concat([features.table(split).collect() for split in ("train", "test")])
    for line, shift in zip(("CVCL_0131", "CVCL_1239"), (found[3], found[4]), strict=True):
        own = rows.filter(cell_line=line)
        expected = float(found[1]) * own["scaled mean_expression"].to_numpy() + float(shift)
        np.testing.assert_allclose(own["scaled delta_mean"], expected, atol=1e-5)


def test_a_top_table_is_honest_without_its_fold_change(shared: Path, tmp_path: Path) -> None:
    given = shared / "reference/dge_top_table/gene_expression_data.csv"
    with pytest.raises(LeakError, match=r"logFC: auc: logFC separates direction = true .* AUC 1\.0"):
        te.make_features(tmp_path / "run", "dge", mode="bug-compat", table=given, workers=0)
    manifest = te.make_features(tmp_path / "run", "dge", table=given, workers=0).manifest
    assert manifest["leaks"] == []
    assert manifest["rows"]["kept"] == 300
    assert any("were selected" in note for note in manifest["notes"])


def test_genes_are_features_of_cells_and_chosen_of_training_wells(grouped: Path, tmp_path: Path) -> None:
    into = tmp_path / "run"
    shutil.copytree(grouped, into)
    blocks = [{"kind": "expression", "name": "genes", "genes": 40}, DRUG]
    manifest = te.make_features(into, honest(features=blocks), workers=0).manifest
    assert manifest["leaks"] == []
    features = te.load_features(into, "custom")
    genes = features.design.genes["genes"]
    assert len(genes.genes) == 40
    raw = te.Run(into).table("cells").collect()
    trains = features.table("train").collect()
    assert set(trains[schema.SAMPLE]).isdisjoint(features.table("test").collect()[schema.SAMPLE])
    assert genes.n_cells == trains.height < raw.height
    # Parts again, from the rows of the table.
    made = features.transform(raw)
    expected = made.filter(pl.col("split") == 0).drop("split").sort(schema.BARCODE)
    assert expected.equals(trains.sort(schema.BARCODE))
    matrix = trains.select(genes.columns).to_numpy()
    assert (matrix >= 0).all()
    assert ((matrix > 0).sum(axis=0) > 0).all()


def test_vectors_of_genes_are_features_of_groups(grouped: Path, tmp_path: Path) -> None:
    into = tmp_path / "run"
    shutil.copytree(grouped, into)
    target = {"kind": "delta", "name": "delta", "value": "depth"}
    recipe = honest(
        table="groups",
        derive={"depth": "log1p(total_counts / n_cells)"},
        targets=[target],
        features=[{"kind": "expression", "name": "genes", "genes": 60, "svd": 3}, LINE],
    )
    one = te.make_features(into, recipe, workers=0).manifest
    assert one["leaks"] == []
    rows = te.load_features(into, "custom").table("train").collect()
    names = [name for name in rows.columns if "svd" in name]
    assert len(names) == 3
    assert rows.select(names).null_count().sum_horizontal().item() == 0
    index = te.Run(into).table("groups").collect()
    assert one["rows"] == {"in": index.height, "kept": index.height, "filtered": 0, "rejected": 0, "quarantined": 0}
