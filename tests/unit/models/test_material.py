"""What models train on: every row with a target once, its codes, its group, and its columns."""

from __future__ import annotations

import pickle
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from made_tables import DELTA, make, make_cells, make_recipe, read_parts
from tahoe_engine import schema
from tahoe_engine.errors import BadDataError, ConfigError, StageError
from tahoe_engine.models.draws import choose_clusters, choose_rows
from tahoe_engine.models.material import open_material

if TYPE_CHECKING:
    from pathlib import Path

LINE = {"kind": "one_hot", "name": "line", "column": "cell_line_id", "levels": "seen"}
NUMBERS: dict[str, Any] = {
    "kind": "numeric",
    "name": "numbers",
    "columns": ["n", "a"],
    "steps": ["impute"],
    "prefix": "x ",
}
OF_LINE = {"kind": "column", "name": "line_of", "column": "cell_line_id", "without": ["line"]}
HALF = {"kind": "column", "name": "half", "column": "half"}
PLATE_OF = {"kind": "column", "name": "odd", "column": "odd"}


@pytest.fixture(scope="module")
def into(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A target that every third row lacks, and one with a class in a single well, that is tested."""
    into = tmp_path_factory.mktemp("material") / "run"
    cells = make_cells(8).with_row_index("at")
    cells = cells.with_columns(
        half=pl.when(pl.col("at") % 3 == 1)
        .then(None)
        .when(pl.col("at") % 3 == 2)
        .then(float("nan"))
        .otherwise("value"),
        odd=pl.col("b") > 1,
    ).drop("at")
    recipe = make_recipe(targets=[DELTA, OF_LINE, HALF, PLATE_OF], features=[NUMBERS, LINE])
    make(into, cells, recipe)
    return into


@pytest.fixture(scope="module")
def stored(into: Path) -> pl.DataFrame:
    return read_parts(into)


def test_rows_without_the_target_are_left_out_and_counted(into: Path, stored: pl.DataFrame) -> None:
    material = open_material(into, "custom", "half")
    have = stored.filter(pl.col("half").is_not_null() & pl.col("half").is_not_nan())
    for split in schema.SPLITS:
        rows = have.filter(split=split)
        assert material.count_rows([split]) == rows.height
        assert material.missing[split] == stored.filter(split=split).height - rows.height
        loaded = [material.load(piece) for piece in material.pieces[split]]
        numbers = np.concatenate([block.numbers for block in loaded]) if loaded else np.zeros(0)
        assert numbers.tolist() == list(range(rows.height))
        for block in loaded:
            expected = block.rows.join(rows, on=schema.BARCODE, how="left", maintain_order="left")
            np.testing.assert_array_equal(block.y, expected["half"].to_numpy())
            np.testing.assert_array_equal(block.x[:, [0]].toarray()[:, 0], expected["x n"].to_numpy())
            np.testing.assert_array_equal(block.fold, expected[schema.FOLD].cast(int).fill_null(-1).to_numpy())
    assert sum(material.missing.values()) == 256


def test_classes_are_sorted_texts_and_rows_have_their_codes(into: Path) -> None:
    material = open_material(into, "custom", "line_of")
    assert (material.kind, material.strange) == ("classification", ())
    assert material.classes == ("CVCL_0131", "CVCL_0480", "CVCL_1239")
    block = material.gather()
    assert block.y.dtype == np.int64
    assert [material.classes[code] for code in block.y] == block.rows["cell_line_id"].to_list()
    assert open_material(into, "custom", "odd").classes == ("false", "true")


def test_a_class_that_only_the_test_has_comes_after_the_others(into: Path, tmp_path: Path) -> None:
    wells = {True: "test", False: "train"}
    split = {name: wells[side == "test"] for name, side in _sides(into).items()}
    tested = next(name for name, side in split.items() if side == "test")
    cells = make_cells(8).with_columns(
        kind=pl.when(pl.col(schema.SAMPLE) == tested).then(pl.lit("A")).otherwise(pl.col("cell_line_id"))
    )
    make(tmp_path / "run", cells, make_recipe(targets=[{"kind": "column", "name": "kind_of", "column": "kind"}]))
    material = open_material(tmp_path / "run", "custom", "kind_of")
    assert (material.classes[0], material.strange) == ("CVCL_0131", ("A",))
    block = material.gather(["test"])
    assert set(block.y[(block.rows[schema.SAMPLE] == tested).to_numpy()]) == {3}


def test_a_row_knows_the_group_of_the_split(into: Path) -> None:
    material = open_material(into, "custom", "delta")
    block = material.gather(["train", "test"])
    assert [material.cluster_names[code] for code in block.clusters] == block.rows[schema.SAMPLE].to_list()
    assert material.split_by == "sample"


def test_rows_that_were_split_one_by_one_have_a_thousand_clusters(tmp_path: Path) -> None:
    make(tmp_path / "run", make_cells(30), make_recipe(split={}, allow=["sample"]))
    material = open_material(tmp_path / "run", "custom", "delta")
    block = material.gather()
    assert len(block.y) > 1000
    assert block.clusters.tolist() == [number % 1000 for number in range(len(block.y))]
    assert len(material.cluster_names) == 1000


def test_a_derived_column_of_the_split_goes_along(tmp_path: Path) -> None:
    value = {"kind": "column", "name": "delta", "column": "value"}
    recipe = make_recipe(split={"by": ["twice"], "test": 0.5}, derive={"twice": "dose_um * 2"}, targets=[value])
    make(tmp_path / "run", make_cells(8), recipe)
    material = open_material(tmp_path / "run", "custom", "delta")
    assert (material.cluster_columns, material.split_by) == (("twice",), "twice")


def test_wells_stand_for_a_group_that_is_stored_as_a_feature_only(tmp_path: Path) -> None:
    value = {"kind": "column", "name": "delta", "column": "value"}
    doses = {"kind": "numeric", "name": "doses", "columns": ["twice"], "steps": ["log1p"]}
    split = {"by": ["twice"], "test": 0.5}
    recipe = make_recipe(split=split, derive={"twice": "dose_um * 2"}, targets=[value], features=[doses])
    make(tmp_path / "run", make_cells(8), recipe)
    material = open_material(tmp_path / "run", "custom", "delta")
    assert material.cluster_columns == (schema.SAMPLE,)
    assert material.split_by == "twice (intervals over wells)"


def test_columns_are_those_of_the_set_without_some(into: Path) -> None:
    lines = tuple(f"cell_line_id={line}" for line in ("CVCL_0131", "CVCL_0480", "CVCL_1239"))
    material = open_material(into, "custom", "delta")
    assert material.columns == ("x n", "x a", *lines)
    assert material.sources == ("x n", "x a", *["cell_line_id_code"] * 3)
    assert material.narrow(["line"], ()).columns == lines
    assert material.narrow((), ["numbers"]).columns == lines
    assert material.narrow((), ["x n", "cell_line_id_code"]).columns == ("x a",)
    few = material.narrow((), ["x n", lines[1]])
    assert few.columns == ("x a", lines[0], lines[2])
    whole, part = material.gather().x.toarray(), few.gather().x.toarray()
    np.testing.assert_array_equal(part, whole[:, [1, 2, 4]])


def test_blocks_that_the_recipe_leaves_out_stay_out(into: Path) -> None:
    assert open_material(into, "custom", "line_of", blocks=["numbers", "line"]).columns == ("x n", "x a")
    with pytest.raises(ConfigError, match="no column is left for the target 'line_of'"):
        open_material(into, "custom", "line_of", blocks=["line"])


def test_a_column_that_is_not_there_is_told_with_the_nearest(into: Path) -> None:
    with pytest.raises(ConfigError, match="no block 'lines'; did you mean 'line'"):
        open_material(into, "custom", "delta", blocks=["lines"])
    with pytest.raises(ConfigError, match="no block or column 'x nn'; did you mean 'x n'"):
        open_material(into, "custom", "delta", without=["x nn"])
    with pytest.raises(ConfigError, match="no target 'x'"):
        open_material(into, "custom", "x")


def test_gathered_rows_are_those_with_the_smallest_hash_in_order(into: Path) -> None:
    material = open_material(into, "custom", "delta")
    whole, some = material.gather(), material.gather(n_rows=50, seed=3)
    chosen = choose_rows(len(whole.y), 50, 3)
    assert some.numbers.tolist() == chosen.tolist() == sorted(set(chosen.tolist()))
    np.testing.assert_array_equal(some.y, whole.y[chosen])
    np.testing.assert_array_equal(some.x.toarray(), whole.x.toarray()[chosen])
    assert some.rows.equals(whole.rows[chosen])
    assert choose_rows(len(whole.y), 50, 4).tolist() != chosen.tolist()
    # More rows are the same and some more.
    assert set(chosen) < set(choose_rows(len(whole.y), 60, 3))


def test_whole_groups_are_taken_where_they_fit(into: Path) -> None:
    material = open_material(into, "custom", "delta")
    wells = Counter(material.gather().rows[schema.SAMPLE])
    some = Counter(material.gather(n_rows=100, clustered=True).rows[schema.SAMPLE])
    assert sum(some.values()) == 96  # wells have 24 cells
    assert all(wells[name] == n for name, n in some.items())
    assert len(material.gather(n_rows=10, clustered=True).y) == 10
    assert choose_clusters(np.array([0, 1, 1, 1]), ["a", "b"], 2, 0).tolist() == [0]  # type: ignore[union-attr]


def test_rows_of_several_splits_come_in_the_order_of_the_table(into: Path) -> None:
    material = open_material(into, "custom", "delta")
    block = material.gather(schema.SPLITS)
    cells = make_cells(8)
    assert set(block.rows[schema.BARCODE]) == set(cells[schema.BARCODE])
    # Without a number of the row in the features one split comes after the other within a part of the table.
    parts = [cells.slice(128 * at, 128)[schema.BARCODE].to_list() for at in range(3)]
    for at, part in enumerate(parts):
        assert set(block.rows[schema.BARCODE][128 * at : 128 * (at + 1)]) == set(part)
    assert block.numbers.tolist() == list(range(384))


def test_only_rows_of_the_asked_folds_are_loaded(into: Path) -> None:
    material = open_material(into, "custom", "delta")
    assert material.n_folds == 5
    for fold in range(5):
        n_rows = 0
        for piece in material.pieces["train"]:
            block = material.load(piece, folds=frozenset({fold}), bare=True)
            assert set(block.fold) <= {fold}
            n_rows += len(block.y)
        assert n_rows == material.fold_rows[fold]
    assert sum(material.fold_rows) == material.count_rows()


def test_bare_blocks_have_the_same_matrix_without_ids(into: Path) -> None:
    material = open_material(into, "custom", "line_of")
    for piece in material.pieces["test"]:
        whole, bare = material.load(piece), material.load(piece, bare=True)
        assert (whole.x != bare.x).nnz == 0
        np.testing.assert_array_equal(whole.y, bare.y)
        assert bare.rows.width == 0


def test_a_material_travels(into: Path) -> None:
    material = open_material(into, "custom", "delta")
    again = pickle.loads(pickle.dumps(material))  # noqa: S301 - our own
    assert again == material


def test_a_missing_number_is_refused_by_its_name(tmp_path: Path) -> None:
    raw = {"kind": "numeric", "name": "raw", "columns": ["a", "b"]}
    make(tmp_path / "run", make_cells(4), make_recipe(features=[raw]))
    material = open_material(tmp_path / "run", "custom", "delta")
    with pytest.raises(
        BadDataError, match=r"'custom', train/part-\d: 'a' has no number in a row; impute it in the recipe"
    ):
        material.gather()
    assert material.narrow((), ["a"]).gather().x.shape == (material.count_rows(), 1)


@pytest.mark.parametrize(
    ("column", "kind", "message"),
    [
        (pl.lit("same"), "auto", "all training rows have 'y' = 'same'"),
        (pl.lit(None, dtype=pl.Float64), "auto", "no training row has the target 'y'"),
        (pl.lit("text"), "regression", "'y' is String, no number; write kind = 'classification'"),
    ],
)
def test_targets_that_teach_nothing_are_refused(column: pl.Expr, kind: Any, message: str, tmp_path: Path) -> None:
    cells = make_cells(4).with_columns(of=column)
    make(tmp_path / "run", cells, make_recipe(targets=[{"kind": "column", "name": "y", "column": "of"}]))
    with pytest.raises(ConfigError, match=message):
        open_material(tmp_path / "run", "custom", "y", kind=kind)


def test_numbers_are_classes_where_the_task_says_so(tmp_path: Path) -> None:
    cells = make_cells(4).with_columns(of=(pl.col("n") % 2).cast(pl.Int32) * 10)
    make(tmp_path / "run", cells, make_recipe(targets=[{"kind": "column", "name": "y", "column": "of"}]))
    material = open_material(tmp_path / "run", "custom", "y", kind="classification")
    assert material.classes == ("0", "10")
    assert open_material(tmp_path / "run", "custom", "y").kind == "regression"


def test_other_bytes_and_other_features_are_refused(tmp_path: Path) -> None:
    into = tmp_path / "run"
    make(into, make_cells(4))
    material = open_material(into, "custom", "delta")
    piece = material.pieces["train"][0]
    path = into / "features/custom" / f"{piece.name}.parquet"
    whole = path.read_bytes()
    material.load(piece)
    path.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with pytest.raises(StageError, match="not what the manifest says"):
        material.load(piece)
    path.write_bytes(whole)
    other = open_material(into, "custom", "delta")
    assert other == material
    make(into, make_cells(4, seed=2), new=True)
    open_columns = open_material(into, "custom", "delta")
    assert open_columns.manifest != material.manifest


def _sides(into: Path) -> dict[str, str]:
    rows = read_parts(into).select(schema.SAMPLE, "split").unique()
    return dict(rows.iter_rows())
