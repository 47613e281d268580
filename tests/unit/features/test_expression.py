"""Genes are those of the training groups, groups have the means of their cells; the oracle is NumPy on the cells."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_groups import FIRST_TOKEN, Group, draw_groups, make_wells, write_groups
from tahoe_engine import schema
from tahoe_engine.errors import ConfigError, StageError
from tahoe_engine.features.blocks import Expression
from tahoe_engine.features.expression import choose_training_genes, list_groups, read_expression
from tahoe_engine.features.genes import FittedGenes, choose_genes, decode_genes, digest_genes, encode_genes
from tahoe_engine.features.recipe import Recipe
from tahoe_engine.features.split import Split
from tahoe_engine.groups.pooled import PooledMoments
from tahoe_engine.schema import SPLIT

if TYPE_CHECKING:
    from pathlib import Path

GENES = 120
TRAIN = [0, 1, 3, 4, 9, 11]


def write_run(into: Path, groups: list[Group]) -> None:
    write_groups(into, groups)
    tokens = range(FIRST_TOKEN, FIRST_TOKEN + GENES)
    names = {schema.ENSEMBL_ID: [f"ENSG{token}" for token in tokens], schema.GENE_SYMBOL: ["A"] * GENES}
    pl.DataFrame({schema.TOKEN_ID: tokens, **names}).write_parquet(into / "metadata" / "genes.parquet")


def block(**options: Any) -> Expression:
    return Expression(kind="expression", name="expr", **options)


@pytest.fixture(scope="module")
def groups() -> list[Group]:
    wells = make_wells(("plate4", "plate10"), n_treated=3, n_control=1)
    return list(draw_groups(wells, n_genes=GENES))


@pytest.fixture(scope="module")
def made(groups: list[Group], tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("made") / "run"
    write_run(into, groups)
    return into


def stack(groups: list[Group], ids: list[int]) -> Any:
    return np.vstack([group.log1p_cp10k for group in groups if group.group_id in ids])


@pytest.mark.parametrize("flavor", ["seurat", "cell_ranger"])
def test_the_genes_are_those_that_scanpy_chooses_from_the_training_cells(
    made: Path, groups: list[Group], flavor: Any
) -> None:
    import anndata
    import scanpy

    logs = stack(groups, TRAIN)
    seen = np.flatnonzero(logs.any(axis=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = scanpy.pp.highly_variable_genes(
            anndata.AnnData(logs[:, seen]), flavor=flavor, n_top_genes=25, inplace=False
        )
    fitted = choose_genes(made, block(genes=25, flavor=flavor), TRAIN)
    assert fitted.genes == tuple(seen[theirs["highly_variable"].to_numpy()] + FIRST_TOKEN)
    assert fitted.columns == tuple(f"ENSG{gene}" for gene in fitted.genes)
    assert (len(fitted), fitted.n_groups, fitted.n_cells) == (25, len(TRAIN), len(logs))
    values = (np.expm1(logs) if flavor == "seurat" else logs)[:, np.asarray(fitted.genes) - FIRST_TOKEN]
    np.testing.assert_allclose(fitted.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(fitted.var, values.var(axis=0, ddof=1), rtol=1e-12)
    norm = theirs.loc[theirs["highly_variable"], "dispersions_norm"]
    np.testing.assert_allclose(fitted.dispersions_norm, norm.to_numpy(), rtol=1e-6)


def test_the_genes_of_all_groups_are_others(made: Path, groups: list[Group]) -> None:
    everyone = [group.group_id for group in groups]
    assert choose_genes(made, block(genes=25), everyone).genes != choose_genes(made, block(genes=25), TRAIN).genes


def test_nothing_about_other_groups_changes_a_bit(made: Path, groups: list[Group], tmp_path: Path) -> None:
    # The groups that do not train are other ones, more or none; their numbers move along, and parts may have any name.
    rng = np.random.default_rng(4)
    extra = Group(0, make_wells()[0], "CVCL_0001", rng.poisson(3, (5, GENES)))
    kept = [extra]
    train = []
    for group in groups:
        if group.group_id in TRAIN:
            train.append(len(kept))
            other = replace(group.well, plate={"plate4": "a", "plate10": "b"}[group.well.plate])
            kept.append(Group(len(kept), other, group.line, group.counts))
        elif group.group_id % 3:
            kept.append(Group(len(kept), group.well, group.line, rng.poisson(2, group.counts.shape)))
    write_run(tmp_path / "run", kept)
    for flavor in ("seurat", "cell_ranger"):
        wanted = block(genes=30, flavor=flavor)
        assert encode_genes(choose_genes(tmp_path / "run", wanted, train)) == encode_genes(
            choose_genes(made, wanted, TRAIN)
        )
    assert train != TRAIN


def test_the_order_of_the_ids_does_not_matter(made: Path) -> None:
    frame = pl.DataFrame({"group_id": [*TRAIN[::-1], TRAIN[0]]})
    assert choose_genes(made, block(genes=9), frame) == choose_genes(made, block(genes=9), TRAIN)


def test_of_genes_that_tie_for_the_last_place_the_first_are_taken(tmp_path: Path) -> None:
    # Every gene is in one cell, as often as all others: all have one mean and one dispersion but the last.
    counts = np.eye(GENES, dtype=np.int64)
    counts[-1, -1] = 0
    counts[: GENES // 2, -2] = 1
    counts[:, -1] = 1
    write_run(tmp_path / "run", [Group(0, make_wells()[0], "CVCL_0131", counts)])
    fitted = choose_genes(tmp_path / "run", block(genes=3), [0])
    logs = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    everyone = choose_genes(tmp_path / "run", block(genes=GENES), [0])
    norm = dict(zip(everyone.genes, everyone.dispersions_norm, strict=True))
    assert logs.shape == (GENES, GENES)
    assert len(fitted) == 3
    assert fitted.genes == tuple(sorted(sorted(norm, key=lambda gene: (-norm[gene], gene))[:3]))
    assert len([value for value in norm.values() if value == norm[fitted.genes[0]]]) > 3


def test_fewer_genes_than_asked_for_are_told(made: Path) -> None:
    fitted = choose_genes(made, block(genes=1_000), TRAIN)
    assert len(fitted) < GENES
    assert fitted.describe() == {
        "genes": len(fitted),
        "asked": 1_000,
        "flavor": "seurat",
        "groups": len(TRAIN),
        "cells": fitted.n_cells,
        "digest": digest_genes(fitted),
    }


@pytest.mark.parametrize(
    ("train", "said"), [([], "no group"), ([0, 77], "no group 77"), ([5], "less than two cells")], ids=str
)
def test_groups_that_cannot_train_are_refused(groups: list[Group], tmp_path: Path, train: list[int], said: str) -> None:
    few = [*groups[:5], Group(5, groups[5].well, groups[5].line, groups[5].counts[:1])]
    write_run(tmp_path / "run", few)
    with pytest.raises(ConfigError, match=said):
        choose_genes(tmp_path / "run", block(genes=5), train)


def test_groups_without_counts_are_cells_all_the_same(groups: list[Group], tmp_path: Path) -> None:
    silent = Group(1, groups[1].well, groups[1].line, np.zeros((50, GENES), np.int64))
    write_run(tmp_path / "run", [groups[0], silent])
    fitted = choose_genes(tmp_path / "run", block(genes=20, flavor="cell_ranger"), [0, 1])
    logs = np.vstack([groups[0].log1p_cp10k, np.zeros((50, GENES))])[:, np.asarray(fitted.genes) - FIRST_TOKEN]
    np.testing.assert_allclose(fitted.mean, logs.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(fitted.var, logs.var(axis=0, ddof=1), rtol=1e-12)
    write_run(tmp_path / "silent", [silent])
    with pytest.raises(ConfigError, match="no counts"):
        choose_genes(tmp_path / "silent", block(genes=5), [1])


def test_a_damaged_part_is_named(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(made, copy)
    part = min((copy / "groups" / "moments").rglob("*.parquet"))
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(StageError, match=part.name):
        choose_genes(copy, block(genes=5), TRAIN)


def test_a_group_has_the_means_of_its_cells(made: Path, groups: list[Group]) -> None:
    fitted = choose_genes(made, block(genes=30), TRAIN)
    wanted = [7, 0, 15, 7, 3]
    found = read_expression(made, fitted, pl.DataFrame({"group_id": wanted}))
    chosen = np.asarray(fitted.genes) - FIRST_TOKEN
    expected = np.vstack([groups[one].log1p_cp10k.mean(axis=0)[chosen] for one in wanted])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert ((found == 0) == (expected == 0)).all()
    assert read_expression(made, fitted, pl.DataFrame({"group_id": []}, {"group_id": pl.Int32})).shape == (0, 30)
    with pytest.raises(StageError, match="no group 99"):
        read_expression(made, fitted, pl.DataFrame({"group_id": [0, 99]}))
    with pytest.raises(ConfigError, match="this table has well"):
        read_expression(made, fitted, pl.DataFrame({"well": [0]}))


def test_a_gene_of_another_vocabulary_is_no_zero(made: Path) -> None:
    fitted = choose_genes(made, block(genes=2), TRAIN)
    for change in ({"genes": (4, FIRST_TOKEN + GENES)}, {"columns": ("ENSG4", "ENSG5")}):
        other = FittedGenes(**{**vars(fitted), **change})
        with pytest.raises(StageError, match="vocabulary"):
            read_expression(made, other, pl.DataFrame({"group_id": [0]}))


def test_groups_are_listed_by_their_keys(made: Path, groups: list[Group]) -> None:
    found = list_groups(made, [schema.CELL_LINE_ID, schema.SAMPLE])
    assert found.columns == ["group_id", schema.CELL_LINE_ID, schema.SAMPLE]
    assert found.rows() == [(group.group_id, group.line, group.well.sample) for group in groups]


@pytest.mark.parametrize(("by", "said"), [((), "let split.by name"), (("total_counts",), "by 'total_counts'")])
def test_a_split_that_may_cut_groups_in_two_is_refused(made: Path, by: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        list_groups(made, by)


def make_design(root: Path, sides: dict[str, int] | None, **options: Any) -> Any:
    """What is read of a design; its split is by well."""
    target = {"kind": "column", "name": "t", "column": "n_cells"}
    parts = {"targets": [target], "features": [block(genes=9).model_dump()]}
    rule = {"by": [schema.SAMPLE]} if sides else {}
    recipe = Recipe.model_validate({"table": "groups", "split": rule, **parts, **options})
    known = None
    if sides:
        known = pl.DataFrame({schema.SAMPLE: list(sides), SPLIT: list(sides.values())})
    return SimpleNamespace(recipe=recipe, split=Split(recipe.split, groups=known), root=str(root))


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ({}, [0, 1, 4, 5, 8, 9, 14, 15]),
        ({"fitted_on": "all"}, [*range(12), 14, 15]),
        ({"rows": {"keep": {schema.PLATE: ["plate10"]}}}, [8, 9, 14, 15]),
        ({"rows": {"keep": {schema.CELL_LINE_ID: ["CVCL_0131"], "dose_um": ["0.5"]}}}, [0, 4, 8, 14]),
    ],
    ids=str,
)
def test_the_groups_that_train_are_those_of_the_split(
    made: Path, groups: list[Group], options: dict[str, Any], ids: list[int]
) -> None:
    wells = list(dict.fromkeys(group.well.sample for group in groups))
    # Of the seventh well no row was kept.
    sides = dict(zip(wells, (0, 2, 0, 1, 0, 2, None, 0), strict=True))
    design = make_design(made, {well: side for well, side in sides.items() if side is not None}, **options)
    assert choose_training_genes(design, block(genes=9)) == choose_genes(made, block(genes=9), ids)


def test_rows_that_are_shared_out_one_by_one_choose_no_genes(made: Path, groups: list[Group]) -> None:
    with pytest.raises(ConfigError, match=r"split\.by"):
        choose_training_genes(make_design(made, None), block(genes=9))
    everyone = [group.group_id for group in groups]
    bad = make_design(made, None, fitted_on="all")
    assert choose_training_genes(bad, block(genes=9)) == choose_genes(made, block(genes=9), everyone)


def test_genes_come_back_bit_for_bit(made: Path) -> None:
    fitted = choose_genes(made, block(genes=30), TRAIN)
    content = encode_genes(fitted)
    assert decode_genes(content) == fitted
    assert encode_genes(decode_genes(content)) == content
    far = FittedGenes(**{**vars(fitted), "dispersions_norm": (float("inf"), *fitted.dispersions_norm[1:])})
    assert decode_genes(encode_genes(far)) == far
    assert digest_genes(far) != digest_genes(fitted)


DAMAGE: list[dict[str, Any]] = [
    {"format": 2},
    {"mean": ["0x1p0"]},
    {"mean": [0.5] * 5},
    {"genes": [1, 2, 3, 5, 4]},
    {"genes": ["1", "2", "3", "4", "5"]},
    {"columns": "abcde"},
    {"flavor": 3},
    {"strange": 1},
]


@pytest.mark.parametrize("damage", DAMAGE, ids=str)
def test_damaged_genes_are_refused(made: Path, damage: dict[str, Any]) -> None:
    content = json.loads(encode_genes(choose_genes(made, block(genes=5), TRAIN)))
    with pytest.raises(StageError, match="damaged"):
        decode_genes(json.dumps(content | damage).encode())
    for broken in (b"", b"[]", b"\xff", json.dumps({key: content[key] for key in ("format", "name")}).encode()):
        with pytest.raises(StageError, match="damaged"):
            decode_genes(broken)


@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=6).filter(lambda sizes: sum(sizes) > 1),
    seed=st.integers(0, 2**16),
    shift=st.sampled_from([0.0, 1e6]),
)
def test_pooled_moments_are_those_of_the_cells(sizes: list[int], seed: int, shift: float) -> None:
    # Far from zero, too, where differences of squares would leave nothing.
    rng = np.random.default_rng(seed)
    cells = [(shift + rng.normal(size=(n, 4))) * (rng.random(4) < 0.7) for n in sizes]
    pooled = PooledMoments(4)
    for values in cells:
        genes = np.flatnonzero(values.any(axis=0))
        var = values.var(axis=0, ddof=1) if len(values) > 1 else np.full(4, np.nan)
        pooled.add(len(values), genes, values.mean(axis=0)[genes], var[genes])
    together = np.vstack(cells)
    np.testing.assert_allclose(pooled.means(len(together)), together.mean(axis=0), rtol=1e-13, atol=1e-13)
    expected = together.var(axis=0, ddof=1)
    np.testing.assert_allclose(pooled.variances(len(together)), expected, rtol=1e-9, atol=1e-12)
