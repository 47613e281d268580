"""A made-up atlas, read back: schema, order, values, truth, and the same bytes again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tahoe_engine.errors import ConfigError
from tahoe_engine.synth import write_atlas
from tahoe_engine.vocabulary import load_genes

FIVE = Path(__file__).parents[3] / "shared" / "tahoe" / "five_real_cells.parquet"
MALAT1 = 39_721
SMALL = {"plates": (6, 4), "wells": 4, "lines": ["A-172", "H4"], "shard_rows": 150, "row_group_rows": 50, "cells": 400}


def shards(out: Path) -> list[Path]:
    return sorted((out / "data").glob("train-*.parquet"))


def read_atlas(out: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(path) for path in shards(out))


def digest_values(out: Path) -> str:
    """Hash the values alone: whatever wrote them, and however they are compressed."""
    table = read_atlas(out).combine_chunks()
    found = hashlib.sha256()
    for name in table.column_names:
        column = table[name].chunk(0)
        if pa.types.is_list(column.type):
            found.update(column.offsets.to_numpy().astype("<i4").tobytes())
            found.update(column.values.to_numpy().tobytes())
        else:
            found.update("\n".join(column.to_pylist()).encode())
    return found.hexdigest()


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two thousand cells of one plate, all wells and lines."""
    out = tmp_path_factory.mktemp("atlas") / "made"
    write_atlas(out, cells=2_000, shard_rows=2_000)
    return out


@pytest.fixture(scope="module")
def entries(atlas: Path) -> pl.DataFrame:
    """One row an entry, without markers."""
    table = pl.read_parquet(shards(atlas)).with_row_index("cell")
    lists = table.select("cell", "cell_line_id", "sample", "genes", "expressions")
    return lists.explode("genes", "expressions").filter(pl.col("genes") != 1)


@pytest.mark.skipif(not FIVE.is_file(), reason="../shared/tahoe is not beside the repository")
def test_the_schema_is_that_of_the_real_cells(atlas: Path) -> None:
    made, real = pq.ParquetFile(shards(atlas)[0]), pq.ParquetFile(FIVE)
    assert made.schema_arrow.equals(real.schema_arrow, check_metadata=True)
    assert made.schema.equals(real.schema)
    assert made.schema_arrow.metadata == real.schema_arrow.metadata


def test_pages_are_written_as_tahoes(atlas: Path) -> None:
    facts = pq.ParquetFile(shards(atlas)[0]).metadata
    assert [facts.row_group(at).num_rows for at in range(facts.num_row_groups)] == [1_000, 1_000]
    for at in range(10):
        column = facts.row_group(0).column(at)
        assert column.compression == "SNAPPY"
        assert column.has_dictionary_page
        assert set(column.encodings) == {"PLAIN", "RLE", "RLE_DICTIONARY"}


def test_a_row_is_the_marker_then_ascending_genes_with_whole_counts(atlas: Path) -> None:
    table = read_atlas(atlas)
    for genes, values in zip(table["genes"].to_pylist(), table["expressions"].to_pylist(), strict=True):
        assert (genes[0], values[0]) == (1, -2.0)
        assert len(genes) == len(values)
        assert np.all(np.diff(genes) > 0)
        assert 3 <= genes[1] <= genes[-1] <= 62_712
        assert all(value >= 1 and value == int(value) for value in values[1:])


def test_values_are_in_the_measured_ranges(entries: pl.DataFrame) -> None:
    mt = load_genes().filter(pl.col("gene_symbol").str.starts_with("MT-"))["token_id"].implode()
    count = pl.col("expressions")
    cells = entries.group_by("cell").agg(
        n=pl.len(),
        total=count.sum(),
        ones=(count == 1).mean(),
        most=count.max(),
        malat1=count.filter(pl.col("genes") == MALAT1).sum() / count.sum(),
        mt=count.filter(pl.col("genes").is_in(mt)).sum() / count.sum(),
    )
    middle = cells.median().row(0, named=True)
    mean = cells.mean().row(0, named=True)
    assert 1_200 <= middle["n"] <= 1_400
    assert 1_350 <= mean["n"] <= 1_550
    assert 0.75 <= middle["ones"] <= 0.87
    assert float(cells["ones"].quantile(0.25) or 0) >= 0.75
    assert 0.05 <= mean["malat1"] <= 0.07
    assert 0.03 <= mean["mt"] <= 0.06
    assert 80 <= middle["most"] <= 300
    assert float(cells["n"].max() or 0) > 4_000  # type: ignore[arg-type]


def test_texts_are_those_of_the_wells_and_missing_ones_are_empty(atlas: Path) -> None:
    rows = read_atlas(atlas).drop_columns(["genes", "expressions"])
    assert all(column.null_count == 0 for column in rows.columns)
    table = pl.DataFrame(pl.from_arrow(rows))
    control = table.filter(drug="DMSO_TF").select("moa-fine", "canonical_smiles", "pubchem_cid").unique()
    assert control.rows() == [("", "", "")]
    assert set(table.filter(drug="DMSO_TF")["sample"]) == {"smp_1877", "smp_1878"}
    assert table["plate"].unique().to_list() == ["plate4"]
    assert table["sample"].n_unique() == 96
    assert table["cell_line_id"].n_unique() > 40
    number = table["BARCODE_SUB_LIB_ID"].str.slice(0, 2).cast(int)
    assert (number == table["sample"].str.slice(4).cast(int) - 1782).all()
    assert table.filter(drug="8-Hydroxyquinoline")["pubchem_cid"].unique().to_list() == ["1923.0"]


def test_plates_come_in_blocks_and_wells_again_in_each_sublibrary(tmp_path: Path) -> None:
    write_atlas(tmp_path, plates=(6, 4), wells=3, lines=2, cells=600, sublibrary_cells=3_200, median_counts=50.0)
    table = pl.read_parquet(shards(tmp_path), columns=["plate", "sample", "BARCODE_SUB_LIB_ID"])
    assert table["plate"].rle().struct.field("value").to_list() == ["plate6", "plate4"]
    runs = table.with_columns(library=pl.col("BARCODE_SUB_LIB_ID").str.split("-").list.last())
    order = runs.select(pl.struct("library", "sample").rle().struct.field("value")).unnest("value")
    assert order.group_by("library", maintain_order=True).agg("sample")["sample"].to_list() == [
        ["smp_2068", "smp_2069", "smp_2070"] if plate == 6 else ["smp_1876", "smp_1877", "smp_1878"]
        for plate in json.loads((tmp_path / "truth" / "truth.json").read_text())["sublibraries"]["plate6"] * [6]
        + json.loads((tmp_path / "truth" / "truth.json").read_text())["sublibraries"]["plate4"] * [4]
    ]
    barcodes = table["BARCODE_SUB_LIB_ID"].str.split("-")
    for _, part in table.with_columns(library=barcodes.list.last()).group_by("library"):
        assert part["BARCODE_SUB_LIB_ID"].is_sorted()


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_atlas(tmp_path / name, **SMALL)  # type: ignore[arg-type]
    one = files(tmp_path / "one")
    assert one == files(tmp_path / "two")
    assert len([name for name in one if name.startswith("data/")]) == 3
    write_atlas(tmp_path / "three", **(SMALL | {"seed": 1}))  # type: ignore[arg-type]
    assert digest_values(tmp_path / "three") != digest_values(tmp_path / "one")


def test_the_values_of_a_seed_never_change(tmp_path: Path) -> None:
    # Whoever changes this changes every atlas ever made: raise FORMAT in folder.py and tell it in the CHANGELOG.
    write_atlas(tmp_path, **SMALL)  # type: ignore[arg-type]
    assert digest_values(tmp_path) == "78f72ba407ba8d46fecb55e8574bbe81fbbdd274b9864b3e282d036487fa2d65"


def test_shards_and_row_groups_do_not_change_the_values(tmp_path: Path) -> None:
    write_atlas(tmp_path / "one", **SMALL)  # type: ignore[arg-type]
    write_atlas(tmp_path / "two", **(SMALL | {"shard_rows": 400, "row_group_rows": 7}))  # type: ignore[arg-type]
    assert digest_values(tmp_path / "one") == digest_values(tmp_path / "two")


def test_a_second_call_writes_nothing_and_a_broken_one_is_completed(tmp_path: Path) -> None:
    first = write_atlas(tmp_path, **SMALL)  # type: ignore[arg-type]
    before = files(tmp_path)
    assert first.written == len(before)
    assert write_atlas(tmp_path, **SMALL).written == 0  # type: ignore[arg-type]
    lost, torn, *_ = shards(tmp_path)
    lost.unlink()
    torn.write_bytes(torn.read_bytes()[:500])
    (tmp_path / "data" / ".unfinished-123").write_bytes(b"PAR1")
    assert write_atlas(tmp_path, **SMALL).written == 2  # type: ignore[arg-type]
    assert files(tmp_path) == before


def test_a_stopped_call_leaves_whole_files_only(tmp_path: Path) -> None:
    def stop(done: int, _total: int) -> None:
        if done > 200:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atlas(tmp_path, on_progress=stop, **SMALL)  # type: ignore[arg-type]
    assert len(shards(tmp_path)) == 1
    assert not list(tmp_path.rglob(".unfinished-*"))
    write_atlas(tmp_path, **SMALL)  # type: ignore[arg-type]
    write_atlas(tmp_path.with_name("undisturbed"), **SMALL)  # type: ignore[arg-type]
    assert files(tmp_path) == files(tmp_path.with_name("undisturbed"))


def test_progress_is_told_to_the_last_cell(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    write_atlas(tmp_path, on_progress=lambda done, total: told.append((done, total)), **SMALL)  # type: ignore[arg-type]
    assert told[-1] == (400, 400)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty and is no made-up atlas"):
        write_atlas(tmp_path, **SMALL)  # type: ignore[arg-type]
    assert files(tmp_path) == {"thesis.txt": b"mine"}
    with pytest.raises(ConfigError, match="is a file"):
        write_atlas(tmp_path / "thesis.txt", **SMALL)  # type: ignore[arg-type]


def test_an_atlas_of_other_options_is_left_alone_and_the_difference_named(tmp_path: Path) -> None:
    write_atlas(tmp_path, **SMALL)  # type: ignore[arg-type]
    before = files(tmp_path)
    with pytest.raises(ConfigError, match=r"other options \(seed 0 there, 5 here; drug_effect 1.0 there, 0.0 here\)"):
        write_atlas(tmp_path, **(SMALL | {"seed": 5, "drug_effect": 0.0}))  # type: ignore[arg-type]
    assert files(tmp_path) == before


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"made_by": "me", "options": {}, "format": 1}'])
def test_a_truth_that_is_none_is_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "truth.json").write_text(content)
    with pytest.raises(ConfigError, match="is no truth of a made-up atlas"):
        write_atlas(tmp_path, **SMALL)  # type: ignore[arg-type]
    assert files(tmp_path) == {"truth/truth.json": content.encode()}


def test_no_marker_where_none_is_wanted_and_a_vocabulary_of_ones_own(tmp_path: Path) -> None:
    genes = load_genes()
    more = pl.DataFrame(
        {
            "gene_symbol": [f"NEW{n}" for n in range(574)],
            "ensembl_id": [f"ENSG9{n:010d}" for n in range(574)],
            "token_id": range(62_713, 63_287),
        }
    )
    path = tmp_path / "emerald.parquet"
    pl.concat([genes, more]).write_parquet(path)
    write_atlas(tmp_path / "made", marker=False, vocabulary=path, **SMALL)  # type: ignore[arg-type]
    tokens = pl.read_parquet(shards(tmp_path / "made"), columns=["genes"]).explode("genes")["genes"]
    assert (tokens >= 3).all()
    assert (tokens > 62_712).any()
    assert pl.read_parquet(tmp_path / "made" / "metadata" / "gene_metadata.parquet").height == 63_284
    assert str(tmp_path) not in (tmp_path / "made" / "truth" / "truth.json").read_text()
