"""Designs as files: read back they are the same, damaged they are refused, and nobody's code is run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

import tahoe_engine as te
from made_tables import SUMMARIES, make, make_cells, make_recipe
from tahoe_engine import schema
from tahoe_engine.errors import StageError
from tahoe_engine.features.store import DESIGN, SPLIT_FILE, decode_design

if TYPE_CHECKING:
    from tahoe_engine.features import Features

BLOCKS = [
    SUMMARIES,
    {"kind": "numeric", "name": "depth", "columns": ["n", "b"], "steps": ["log1p", {"do": "svd", "components": 2}]},
    {"kind": "one_hot", "name": "drug", "column": "drug", "levels": "seen", "top": 2},
    {"kind": "one_hot_svd", "name": "both", "columns": ["drug", "cell_line_id"], "levels": "seen", "components": 3},
    {
        "kind": "target_statistics",
        "name": "of_drugs",
        "by": ["drug"],
        "of": "delta",
        "statistics": ["mean", "quantile"],
    },
]
STRANGE: list[Any] = [None, 3, "x", [], {}, [None]]


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Features:
    into = tmp_path_factory.mktemp("store") / "run"
    make(into, make_cells(8), make_recipe(features=BLOCKS))
    return te.load_features(into, "custom")


def test_all_that_was_decided_and_fitted_is_there_by_name(features: Features) -> None:
    assert {name for name in features.files if not name.startswith("transformers/")} == {"split.json", "lineage.json"}
    fitted = {name.removeprefix("transformers/") for name in features.files if name.startswith("transformers/")}
    assert {"design.json", "baselines-delta.parquet"} < fitted
    assert any(name.startswith("statistics-of_drugs") for name in fitted)
    # JSON and Parquet alone: nothing that runs when it is read.
    assert {name.rpartition(".")[2] for name in fitted} == {"json", "parquet"}


def test_a_design_read_back_makes_the_same_bits(features: Features) -> None:
    cells = make_cells(8)
    one, other = features.transform(cells), decode_design(features.files, "elsewhere")
    own = {"is_control": pl.col("drug") == schema.CONTROL_DRUG, "row_key": pl.lit(0, dtype=pl.UInt64)}
    assert other.make(cells.with_columns(**own)).equals(one)
    assert other.columns == features.design.columns
    assert other.columns[:5] == ("a", "b", "a^2", "a b", "b^2")
    assert "drug_code" in other.columns
    assert other.levels["drug"]["drug"][-1] == "Other"
    assert features.design.n_features == len(features.columns()) == 5 + 2 + 3 + 3 + 2


def test_a_file_that_is_missing_is_refused(features: Features) -> None:
    for name in features.files:
        if name != "lineage.json":
            rest = {other: content for other, content in features.files.items() if other != name}
            with pytest.raises(StageError, match=r"damaged|transformers"):
                decode_design(rest, "")


@pytest.mark.parametrize("seed", range(2))
def test_what_is_damaged_is_refused_or_harmless_but_never_a_traceback(features: Features, seed: int) -> None:
    rng = np.random.default_rng(seed)
    refused = 0
    for name, content in features.files.items():
        if name.endswith(".json") and name != "lineage.json":
            cut = content[: int(rng.integers(1, len(content) - 3))]
            with pytest.raises(StageError):
                decode_design({**features.files, name: cut}, "")
            told = json.loads(content)
            for key in rng.choice(list(told), size=2):
                for value in STRANGE:
                    try:
                        decode_design({**features.files, name: json.dumps({**told, key: value}).encode()}, "")
                    except StageError:
                        refused += 1
        elif name.endswith(".parquet"):
            with pytest.raises(StageError):
                decode_design({**features.files, name: content[: len(content) // 2]}, "")
    assert refused > 5


def test_the_provenance_is_that_of_the_rows(features: Features) -> None:
    told = json.loads(features.files[SPLIT_FILE])
    assert told["hash"] == features.manifest["split"]["hash"]
    rows = {name: one["rows"] for name, one in told["provenance"].items()}
    assert rows == {**features.manifest["split"]["rows"], "fitted_on": features.manifest["split"]["rows"]["train"]}
    assert told["provenance"]["fitted_on"] == told["provenance"]["train"] != told["provenance"]["test"]
    assert json.loads(features.files[DESIGN])["recipe"] == features.manifest["settings"]["features"]["recipe"]
