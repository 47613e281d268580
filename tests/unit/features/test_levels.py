"""Levels: the run's own lists, and codes that mean what scikit-learn's columns mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from tahoe_engine.errors import ConfigError, StageError
from tahoe_engine.features.levels import encode_levels, keep_frequent, list_levels

if TYPE_CHECKING:
    from pathlib import Path


def test_tahoes_levels_are_all_there() -> None:
    drugs = list_levels("drug", None)
    assert drugs is not None
    assert len(drugs) == 380  # 379 drugs and the control
    assert "DMSO_TF" in drugs
    assert list(drugs) == sorted(drugs)
    sizes = {
        column: len(list_levels(column, None) or ())
        for column in ("cell_line_id", "cell_name", "moa-fine", "drug_moa-fine", "moa-broad", "plate", "sample")
    }
    # '' is a level of the names and mechanisms; the cells have 50 lines of the 102 that are listed.
    assert sizes == {
        "cell_line_id": 50,
        "cell_name": 51,
        "moa-fine": 27,
        "drug_moa-fine": 27,
        "moa-broad": 4,
        "plate": 14,
        "sample": 1_344,
    }
    # Joined columns, too: 14 organs and none; yes, no and the control's.
    assert len(list_levels("organ", None) or ()) == 16
    assert list_levels("human-approved", None) == ("", "no", "yes")
    mechanisms = list_levels("moa-fine", None)
    assert mechanisms is not None
    assert mechanisms[0] == ""
    assert "unclear" in mechanisms


def test_a_number_has_no_list_of_levels() -> None:
    assert list_levels("total_counts", None) is None
    assert list_levels("pubchem_cid", None) is None


def test_a_run_has_its_own_levels(run: Path, atlas: Path) -> None:
    wells = pl.read_parquet(atlas / "metadata/sample_metadata.parquet")
    drugs = pl.read_parquet(atlas / "metadata/drug_metadata.parquet")
    expected = sorted({*wells["drug"].str.strip_chars(), *drugs["drug"].str.strip_chars(), "DMSO_TF"})
    assert list(list_levels("drug", run / "metadata") or ()) == expected
    assert list(list_levels("drug", atlas / "metadata") or ()) == expected
    assert list_levels("plate", run / "metadata") == ("plate4", "plate6")
    cells = pl.concat([pl.read_parquet(path) for path in (run / "cells").glob("*.parquet")])
    for column in ("drug", "cell_line_id", "cell_name", "moa-fine"):
        assert set(cells[column].fill_null("")) <= set(list_levels(column, run / "metadata") or ())


def test_a_damaged_table_of_the_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "drugs.parquet").write_bytes(b"PAR1")
    with pytest.raises(StageError, match=r"drugs\.parquet is damaged"):
        list_levels("drug", tmp_path)


@pytest.mark.parametrize("seed", range(5))
def test_expanded_codes_are_the_columns_of_scikit_learn(seed: int) -> None:
    encoders = pytest.importorskip("sklearn.preprocessing")

    random = np.random.default_rng(seed)
    levels = ("", "Zeta", "a", "alpha β", "b")
    values = random.choice([*levels, "unknown", "also unknown"], 500)
    theirs = encoders.OneHotEncoder(categories=[list(levels)], handle_unknown="ignore", sparse_output=False)
    expected = theirs.fit_transform(values.astype(object).reshape(-1, 1))
    nulls = [None if value == "" and random.random() < 0.5 else str(value) for value in values]
    codes = encode_levels(pl.Series("moa", nulls), levels, None)
    assert codes.dtype == pl.Int32
    assert codes.null_count() == 0
    # A last row of zeros, which is where -1 points.
    np.testing.assert_array_equal(np.vstack([np.eye(len(levels)), np.zeros(len(levels))])[codes.to_numpy()], expected)


def test_the_rest_takes_what_is_no_level() -> None:
    levels = keep_frequent({"z": 2, "y": 7, "x": 2, "w": 1}, top=2)
    assert levels == ("x", "y", "Other")  # of x and z, equally frequent, the first by name
    codes = encode_levels(pl.Series(["x", "z", None, "y", "never seen"]), levels, "Other")
    assert codes.to_list() == [0, 2, 2, 1, 2]


def test_without_a_limit_all_levels_are_kept() -> None:
    assert keep_frequent({"b": 1, "a": 5, "Other": 2}, top=0) == ("Other", "a", "b")


def test_a_level_may_not_be_called_like_the_rest() -> None:
    with pytest.raises(ConfigError, match="'Other' is a level"):
        keep_frequent({"Other": 1, "a": 2}, top=1)


def test_codes_do_not_depend_on_how_text_is_stored() -> None:
    values = ["b", None, "a", "c"]
    expected = [1, -1, 0, -1]
    for dtype in (pl.String, pl.Categorical, pl.Enum(["c", "b", "a"])):
        assert encode_levels(pl.Series("x", values, dtype=dtype), ("a", "b"), None).to_list() == expected
    assert encode_levels(pl.Series("x", [None, None]), ("", "a"), None).to_list() == [0, 0]


def test_wrong_levels_are_named() -> None:
    with pytest.raises(ConfigError, match="'a' of 'x' is there twice"):
        encode_levels(pl.Series("x", ["a"]), ("a", "b", "a"), None)
    with pytest.raises(ConfigError, match="'Other', which stands for the rest"):
        encode_levels(pl.Series("x", ["a"]), ("a",), "Other")
    with pytest.raises(ConfigError, match="'x' is Int64"):
        encode_levels(pl.Series("x", [1]), ("1",), None)
