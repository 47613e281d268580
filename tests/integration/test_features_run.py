"""Features of made-up cells: targets by hand, nothing of a test row in what is fitted, the same in any order."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

import tahoe_engine as te
from made_tables import DELTA, LINES, PLATES, SUMMARIES, fitted_files, make, make_cells, make_recipe, read_parts
from made_tables import write_parts as write
from runs import published
from tahoe_engine import schema
from tahoe_engine.errors import ConfigError, LeakError, StageError

if TYPE_CHECKING:
    from pathlib import Path

KEY = schema.BARCODE
STRATUM = [schema.PLATE, schema.CELL_LINE_ID]


@pytest.fixture(scope="module")
def cells() -> pl.DataFrame:
    return make_cells()


@pytest.fixture(scope="module")
def undisturbed(cells: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("undisturbed") / "run"
    make(into, cells)
    return into


def splits_of(into: Path) -> dict[str, str]:
    rows = read_parts(into)
    return dict(zip(rows[KEY], rows["split"], strict=True))


def test_summaries_are_those_of_scikit_learn_on_the_training_rows(cells: pl.DataFrame, undisturbed: Path) -> None:
    made = read_parts(undisturbed)
    raw = cells.sort(KEY)
    assert made[KEY].to_list() == raw[KEY].to_list()
    trains = (made["split"] == "train").to_numpy()
    matrix = raw.select("a", "b").to_numpy().copy()
    matrix[np.isnan(matrix[:, 0]), 0] = np.nanmean(matrix[trains, 0])
    expanded = PolynomialFeatures(2, include_bias=False).fit_transform(matrix)
    expected = StandardScaler().fit(expanded[trains]).transform(expanded)
    names = ["a", "b", "a^2", "a b", "b^2"]
    np.testing.assert_allclose(made.select(names).to_numpy(), expected, rtol=1e-9, atol=1e-10)
    assert 0 < trains.sum() < len(trains)


def test_wells_are_on_one_side_and_those_of_controls_train(undisturbed: Path) -> None:
    rows = read_parts(undisturbed)
    assert rows.group_by(schema.SAMPLE).agg(pl.col("split").n_unique())["split"].max() == 1
    assert set(rows.filter(drug=schema.CONTROL_DRUG)["split"]) == {"train"}
    # 12 wells of treated cells, a fifth of them.
    assert rows.filter(split="test")[schema.SAMPLE].n_unique() == 2
    trains = rows.filter(split="train")
    assert trains["fold"].null_count() == 0
    assert set(trains["fold"]) == {0, 1, 2, 3, 4}
    assert trains.group_by(schema.SAMPLE).agg(pl.col("fold").n_unique())["fold"].max() == 1
    assert rows.filter(split="test")["fold"].null_count() == rows.filter(split="test").height


def test_a_delta_is_the_value_less_the_mean_of_the_training_controls(cells: pl.DataFrame, undisturbed: Path) -> None:
    made = read_parts(undisturbed)
    means = {
        key: float(np.mean(own["value"].to_numpy()))
        for key, own in cells.filter(drug=schema.CONTROL_DRUG).group_by(STRATUM)
    }
    expected = [row["value"] - means[row[schema.PLATE], row[schema.CELL_LINE_ID]] for row in cells.sort(KEY).to_dicts()]
    np.testing.assert_allclose(made["delta"], expected, atol=1e-12)
    controls = made.filter(drug=schema.CONTROL_DRUG, split="train").group_by(STRATUM).agg(pl.col("delta").sum())
    assert controls.height == len(PLATES) * len(LINES)
    assert controls["delta"].abs().max() < 1e-9  # type: ignore[operator]


def test_a_line_without_controls_on_a_plate_has_no_delta_and_is_counted(cells: pl.DataFrame, tmp_path: Path) -> None:
    lost = (pl.col(schema.PLATE) == "plate2") & (pl.col(schema.CELL_LINE_ID) == LINES[1])
    report = make(tmp_path / "run", cells.filter(~(lost & (pl.col("drug") == schema.CONTROL_DRUG))))
    rows = read_parts(tmp_path / "run")
    n_lost = cells.filter(lost & (pl.col("drug") != schema.CONTROL_DRUG)).height
    assert n_lost == 72
    assert report.manifest["targets"] == {"delta": {"missing": n_lost}}
    assert rows.filter(lost)["delta"].null_count() == n_lost == rows["delta"].null_count()


def test_the_references_way_has_zeros_all_plates_and_a_scale_of_all_rows(cells: pl.DataFrame, tmp_path: Path) -> None:
    lost = pl.col(schema.CELL_LINE_ID) == LINES[2]
    table = cells.filter(~(lost & (pl.col("drug") == schema.CONTROL_DRUG)))
    target = DELTA | {"by": ["cell_line_id"], "baseline": "all", "missing": "zero", "standardize": True}
    recipe = make_recipe(targets=[target], fitted_on="all")
    make(tmp_path / "run", table, recipe, allow_leaks=True)
    controls = table.filter(drug=schema.CONTROL_DRUG).group_by("cell_line_id").agg(pl.col("value").mean().alias("m"))
    raw = table.join(controls, on="cell_line_id", how="left").sort(KEY)
    deltas = (raw["value"] - raw["m"].fill_null(0.0)).to_numpy()
    rows = read_parts(tmp_path / "run")
    np.testing.assert_allclose(rows["delta"], (deltas - deltas.mean()) / deltas.std(), rtol=1e-9, atol=1e-10)
    assert rows["delta"].null_count() == 0


@pytest.mark.slow
def test_two_workers_give_the_bytes_of_none(cells: pl.DataFrame, undisturbed: Path, tmp_path: Path) -> None:
    # The name of the folder is no part of it: not where it is, nor blanks in it.
    into = tmp_path / "my run"
    make(into, write(cells, tmp_path / "my table"), workers=2)
    assert published(into) == published(undisturbed)


def test_shuffled_rows_in_other_parts_have_the_same_split_and_the_same_features(
    cells: pl.DataFrame, undisturbed: Path, tmp_path: Path
) -> None:
    into = tmp_path / "run"
    folder = write(cells.sample(fraction=1, shuffle=True, seed=3), tmp_path / "table", n_parts=5)
    for path in folder.iterdir():
        path.rename(folder / f"shard-{path.name[::-1].partition('.')[2]}.parquet")
    report = make(into, folder)
    assert splits_of(into) == splits_of(undisturbed)
    before = json.loads((undisturbed / "features/custom/_MANIFEST.json").read_bytes())
    assert report.manifest["split"] == before["split"]
    ours, theirs = fitted_files(into), fitted_files(undisturbed)
    assert set(ours) == set(theirs)
    for name in ("baselines-delta.parquet", "design.json"):
        assert ours[name] == theirs[name], name
    one, other = (read_parts(at) for at in (into, undisturbed))
    for name in ("delta", "a", "b", "a^2", "a b", "b^2"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_of_a_test_row_is_in_what_is_fitted_or_in_training_parts(
    cells: pl.DataFrame, undisturbed: Path, tmp_path: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    tests = [key for key, split in splits_of(undisturbed).items() if split == "test"]
    chosen = rng.choice(tests, size=len(tests) if seed == 0 else int(rng.integers(1, 12)), replace=False)
    is_chosen = pl.col(KEY).is_in(chosen)
    column = ("a", "b", "value", "n", "drug", "moa-fine")[seed]
    strange: float = [np.nan, -0.5, 1e6, 3.5, 0.0, 1e-300][seed]
    value = pl.lit(f"Strange {seed}") if cells.schema[column] == pl.String else pl.lit(strange)
    changed = cells.with_columns(pl.when(is_chosen).then(value).otherwise(pl.col(column)).alias(column))
    assert not changed.equals(cells, null_equal=True)
    blocks = [
        SUMMARIES,
        {"kind": "one_hot", "name": "drugs", "column": "drug", "levels": "seen"},
        {"kind": "one_hot_svd", "name": "both", "columns": ["drug", "cell_line_id"], "levels": "seen", "components": 2},
        {"kind": "target_statistics", "name": "moas", "by": ["moa-fine"], "of": "delta", "statistics": ["mean", "std"]},
        {"kind": "numeric", "name": "depth", "columns": ["n", "b"], "steps": ["log1p", {"do": "svd", "components": 1}]},
    ]
    recipe = make_recipe(features=blocks)
    for name, table in (("before", cells), ("after", changed)):
        make(tmp_path / name, table, recipe)
    assert fitted_files(tmp_path / "before") == fitted_files(tmp_path / "after")
    parts = [
        {path.name: path.read_bytes() for path in sorted((tmp_path / name / "features/custom/train").iterdir())}
        for name in ("before", "after")
    ]
    assert parts[0] == parts[1]
    rows = [read_parts(tmp_path / name).filter(split="test") for name in ("before", "after")]
    assert not rows[0].equals(rows[1])


def test_features_read_in_another_process_are_the_same_bits(undisturbed: Path, cells: pl.DataFrame) -> None:
    features = te.load_features(undisturbed, "custom")
    code = (
        "import sys, hashlib, tahoe_engine as te\n"
        "features = te.load_features(sys.argv[1], 'custom')\n"
        "digest = hashlib.sha256()\n"
        "for split in ('train', 'test'):\n"
        "    for rows, matrix in features.blocks(split):\n"
        "        digest.update(matrix.toarray().tobytes())\n"
        "print(digest.hexdigest(), *features.columns(), sep=',')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, undisturbed], capture_output=True, text=True, check=True)
    digest = hashlib.sha256()
    for split in ("train", "test"):
        for rows, matrix in features.blocks(split):
            assert matrix.shape == (rows.height, 5)
            stored = rows.select(features.columns()).to_numpy()
            digest.update(np.ascontiguousarray(stored).tobytes())
    assert done.stdout.strip().split(",") == [digest.hexdigest(), "a", "b", "a^2", "a b", "b^2"]
    # What was decided and fitted makes the parts again, from the rows of the table.
    made = read_parts(undisturbed)
    for number in (0, 2):
        again = features.transform(cells)
        again = again.filter(pl.col("split") == number).drop("split").sort(KEY)
        assert again.equals(made.filter(split=schema.SPLITS[number]).drop("split"))


def test_new_cells_make_the_features_stale_and_new_ones_are_made_anew(atlas: Path, tmp_path: Path) -> None:
    into = tmp_path / "run"
    recipe = make_recipe(
        features=[{"kind": "numeric", "name": "s", "columns": ["expr_std", "expr_len"], "steps": ["standardize"]}],
        targets=[DELTA | {"value": "mean_log1p_cp10k"}],
        split={"by": [schema.SAMPLE], "test": 0.3},
    )
    te.scan_cells(atlas, into, workers=0)
    before = te.make_features(into, recipe, workers=0).manifest
    te.scan_cells(atlas, into, workers=0, new=True, settings=te.load_settings(overrides=["cells.min_genes=1000"]))
    with pytest.raises(StageError):
        te.load_features(into, "custom")
    with pytest.raises(StageError, match="--new"):
        te.make_features(into, recipe, workers=0)
    after = te.make_features(into, recipe, workers=0, new=True).manifest
    assert after["rows"]["in"] < before["rows"]["in"] == 1200
    assert te.load_features(into, "custom").manifest == after


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"features": [{"kind": "numeric", "name": "s", "columns": ["value"], "steps": ["standardize"]}]}, "lineage"),
        ({"fitted_on": "all"}, "fitted_on_test"),
        ({"split": {}}, "straddle"),
    ],
)
def test_what_the_guard_refuses_is_not_published_unless_it_is_told_to(
    cells: pl.DataFrame, tmp_path: Path, parts: dict[str, Any], told: str
) -> None:
    into = tmp_path / "run"
    with pytest.raises(LeakError, match=told):
        make(into, cells, make_recipe(**parts))
    assert not published(into)
    with pytest.raises(StageError):
        te.load_features(into, "custom")
    report = make(into, cells, make_recipe(**parts), allow_leaks=True)
    assert report.manifest["leaks_allowed"]
    assert told in {leak["kind"] for leak in report.manifest["leaks"]}
    assert te.load_features(into, "custom").manifest["leaks"] == report.manifest["leaks"]


def test_rows_that_lack_a_column_are_told_which(undisturbed: Path, cells: pl.DataFrame) -> None:
    features = te.load_features(undisturbed, "custom")
    for name in ("a", schema.PLATE, schema.BARCODE):
        with pytest.raises(ConfigError, match=f"there is no column '{name}'"):
            features.transform(cells.drop(name))
    with pytest.raises(ConfigError, match="custom: no target 'gamma'; there is delta"):
        features.columns("gamma")


def test_rows_of_wells_and_plates_that_were_not_there_have_features_and_no_side(
    undisturbed: Path, cells: pl.DataFrame
) -> None:
    features = te.load_features(undisturbed, "custom")
    known = features.transform(cells)
    well = features.transform(cells.with_columns(sample=pl.lit("smp_9999")))
    assert well["split"].null_count() == well["fold"].null_count() == cells.height
    assert well.select("delta", "a", "b^2").equals(known.select("delta", "a", "b^2"))
    plate = features.transform(cells.with_columns(plate=pl.lit("plate99")))
    assert plate["delta"].null_count() == cells.height
    assert plate.select("a", "b^2").equals(known.select("a", "b^2"))
