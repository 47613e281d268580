"""The lineage: which columns of the table a feature is made of, by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import tahoe_engine as te
from made_tables import DELTA, make, make_cells, make_recipe

if TYPE_CHECKING:
    from typing import Any

STATISTICS = {"kind": "target_statistics", "name": "moas", "by": ["moa-fine"], "of": "delta"}
BLOCKS = [
    {"kind": "numeric", "name": "products", "columns": ["ratio", "a"], "steps": ["impute", "polynomial"]},
    {"kind": "numeric", "name": "two", "columns": ["b", "n"], "steps": ["log1p", {"do": "svd", "components": 2}]},
    {"kind": "numeric", "name": "leaky", "columns": ["delta", "value"], "prefix": "leaky "},
    {"kind": "one_hot", "name": "drug", "column": "drug", "levels": "seen"},
    {"kind": "one_hot_svd", "name": "pair", "columns": ["drug", "plate"], "levels": "seen", "components": 1},
    STATISTICS,
]
CLASS = {"kind": "column", "name": "many", "column": "is_many", "without": ["drug", "two"]}


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    into = tmp_path_factory.mktemp("lineage") / "run"
    derive = {"share": "b / n", "ratio": "share * 2", "is_many": "n > 2000"}
    make(into, make_cells(8), make_recipe(features=BLOCKS, derive=derive, targets=[DELTA, CLASS]), allow_leaks=True)
    return te.load_features(into, "custom").lineage


def test_targets_know_their_values_and_their_keys(lineage: dict[str, Any]) -> None:
    assert lineage["targets"] == {
        "delta": {
            "kind": "delta",
            "value_columns": ["value"],
            "key_columns": ["cell_line_id", "plate"],
            "without": [],
        },
        "many": {"kind": "column", "value_columns": ["n"], "key_columns": [], "without": ["drug", "two"]},
    }


def test_a_derived_column_is_traced_to_those_of_the_table(lineage: dict[str, Any]) -> None:
    sources = {name: told["sources"] for name, told in lineage["columns"].items() if told["block"] == "products"}
    assert sources == {
        "ratio": ["b", "n"],
        "a": ["a"],
        "ratio^2": ["b", "n"],
        "ratio a": ["a", "b", "n"],
        "a^2": ["a"],
    }
    assert lineage["columns"]["a"]["steps"] == ["impute", "polynomial"]


def test_vectors_are_made_of_all_their_columns(lineage: dict[str, Any]) -> None:
    two = [told for told in lineage["columns"].values() if told["block"] == "two"]
    assert [told["sources"] for told in two] == [["b", "n"]] * 2
    (pair,) = (told for told in lineage["columns"].values() if told["block"] == "pair")
    assert (pair["sources"], pair["steps"]) == (["drug", "plate"], ["one_hot", "svd"])


def test_a_target_among_the_features_is_an_ancestor(lineage: dict[str, Any]) -> None:
    delta, value = lineage["columns"]["leaky delta"], lineage["columns"]["leaky value"]
    assert (delta["ancestor_targets"], delta["sources"]) == (["delta"], ["value"])
    assert (value["ancestor_targets"], value["sources"]) == ([], ["value"])


def test_statistics_out_of_fold_say_so(lineage: dict[str, Any]) -> None:
    (told,) = (told for told in lineage["columns"].values() if told["block"] == "moas")
    assert (told["sources"], told["out_of_fold"], told["steps"]) == (["moa-fine"], True, ["folds of delta"])


def test_codes_have_their_levels_and_the_names_of_their_columns(lineage: dict[str, Any]) -> None:
    told = lineage["columns"]["drug_code"]
    assert told["levels"] == ["DMSO_TF", "Drug 1", "Drug 2", "Drug 3"]
    assert told["names"][1] == "drug=Drug 1"
