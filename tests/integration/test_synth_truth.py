"""The planted truth is what is in the cells, and no effect is none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from tahoe_engine.synth import write_atlas, write_tables
from tahoe_engine.vocabulary import load_cell_lines, load_drugs, load_genes, load_samples

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NONE = {"line_effect": 0.0, "drug_effect": 0.0, "well_effect": 0.0}


def truth(out: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(out / "truth" / f"{name}.parquet")


def sum_genes(out: Path, sample: str) -> NDArray[np.float64]:
    """Sum the counts of a well gene by gene, by token."""
    cells = pl.scan_parquet(out / "data").filter(pl.col("sample") == sample).select("genes", "expressions").collect()
    lists = cells.explode("genes", "expressions").filter(pl.col("genes") > 2)
    sums = np.zeros(62_713)
    np.add.at(sums, lists["genes"].to_numpy(), lists["expressions"].to_numpy())
    return sums


def test_no_effect_is_none_exactly(tmp_path: Path) -> None:
    write_atlas(tmp_path, wells=4, cells=40, **NONE)  # type: ignore[arg-type]
    assert truth(tmp_path, "drug_genes").height == 0
    for name in ("lines", "drugs", "wells"):
        assert truth(tmp_path, name).select(pl.col("log_depth", "log_mt").abs().max()).row(0) == (0.0, 0.0)
    assert truth(tmp_path, "well_blocks")["log_shift"].abs().max() == 0.0
    shares = truth(tmp_path, "line_genes").group_by("gene").agg(pl.col("share").n_unique())
    assert shares["share"].max() == 1


def test_planted_effects_are_found_in_the_counts(tmp_path: Path) -> None:
    # Some 2,000 cells a well; without line and well effects all differences are the drug's.
    write_atlas(
        tmp_path,
        wells=3,
        lines=["A-172"],
        cells=6_000,
        counts_spread=0.0,
        line_effect=0.0,
        well_effect=0.0,
        drug_genes=0.2,
    )
    wells = truth(tmp_path, "wells")
    treated = wells.filter(drug="Adagrasib").row(0, named=True)
    drug = truth(tmp_path, "drugs").filter(drug="Adagrasib").row(0, named=True)
    assert treated["response"] == pytest.approx(0.05 / (0.05 + drug["ec50_um"]), rel=1e-12)
    n_cells = dict(wells.select("sample", "n_cells").rows())
    here = sum_genes(tmp_path, "smp_1876") / n_cells["smp_1876"]
    control = sum_genes(tmp_path, "smp_1877") / n_cells["smp_1877"]
    stated = truth(tmp_path, "drug_genes").filter(drug="Adagrasib")
    shares = dict(truth(tmp_path, "line_genes").select("gene", "share").rows())
    top = sorted(stated.rows(), key=lambda row: -shares[row[1]])[:40]
    errors = []
    for _, gene, log2_fold_change in top:
        expected = log2_fold_change * treated["response"] + drug["log_depth"] * treated["response"] / np.log(2)
        spread = np.sqrt(1 / (here[gene] * n_cells["smp_1876"]) + 1 / (control[gene] * n_cells["smp_1877"])) / np.log(2)
        errors.append((np.log2(here[gene] / control[gene]) - expected) / spread)
    assert np.abs(errors).max() < 4.5
    assert np.mean(np.square(errors)) == pytest.approx(1.0, abs=0.7)


def test_shares_of_a_line_are_those_of_its_cells(tmp_path: Path) -> None:
    write_atlas(tmp_path, wells=2, lines=["H4"], cells=4_000, counts_spread=0.0, well_effect=0.0)
    shares = truth(tmp_path, "line_genes")
    assert shares["share"].sum() == pytest.approx(1.0, abs=1e-9)
    depth = np.exp(truth(tmp_path, "lines")["log_depth"][0])
    found = (sum_genes(tmp_path, "smp_1877") + sum_genes(tmp_path, "smp_1878"))[shares["gene"].to_numpy()]
    expected = 4_000 * 1_900.0 * depth * shares["share"].to_numpy()
    kind = shares.join(truth(tmp_path, "genes"), on="gene", how="left", maintain_order="left")["kind"]
    often = (expected > 30) & kind.is_in(["coding", "non-coding"]).to_numpy()
    chi = ((found[often] - expected[often]) ** 2 / expected[often]).sum()
    assert abs(chi - often.sum()) < 4 * np.sqrt(2 * often.sum())


def test_the_truth_states_the_law_the_options_and_the_counts(tmp_path: Path) -> None:
    written = write_atlas(tmp_path, plates=(4, 6), wells=5, lines=3, cells=300, seed=9)
    told = json.loads((tmp_path / "truth" / "truth.json").read_text())
    assert told["options"]["seed"] == 9
    assert told["options"]["plates"] == [4, 6]
    assert "Poisson" in told["law"]["count"]
    assert told["wells"] == {plate: list(samples) for plate, samples in written.wells.items()}
    assert set(told["lines"]) == set(written.lines) == {"CVCL_0131", "CVCL_1239", "CVCL_1715"}
    table = pl.scan_parquet(tmp_path / "data").select("sample", "cell_line_id").collect()
    found = table.group_by("sample", "cell_line_id").agg(n_cells=pl.len().cast(pl.Int64)).sort("sample", "cell_line_id")
    assert found.equals(truth(tmp_path, "counts").sort("sample", "cell_line_id"))
    wells = truth(tmp_path, "wells")
    doses = load_samples().select("sample", "drug", "dose_um")
    assert (
        wells.select("sample", "drug", "dose_um").join(doses, on=["sample", "drug", "dose_um"], how="anti").is_empty()
    )
    assert wells.filter(drug="DMSO_TF")["response"].to_list() == [0.0] * 4


def test_metadata_are_the_tables_of_what_is_used(tmp_path: Path) -> None:
    write_atlas(tmp_path, wells=5, lines=3, cells=30)
    folder = tmp_path / "metadata"
    assert load_genes(folder / "gene_metadata.parquet").equals(load_genes())
    assert load_samples(folder).height == 5
    assert set(load_drugs(folder)["drug"]) == set(load_samples(folder)["drug"]) - {"DMSO_TF"}
    assert load_cell_lines(folder)["Cell_ID_Cellosaur"].n_unique() == 3
    assert "assayed" not in pl.read_parquet_schema(folder / "cell_line_metadata.parquet")


def test_a_cell_has_the_same_truth_whatever_is_chosen_beside_it(tmp_path: Path) -> None:
    write_atlas(tmp_path / "few", wells=3, lines=["H4"], cells=20)
    write_atlas(tmp_path / "many", wells=9, lines=4, cells=20, plates=(4, 5))
    for name, keys in (("lines", ["cell_line_id"]), ("drugs", ["drug"]), ("wells", ["sample"])):
        few, many = (truth(tmp_path / atlas, name).drop("n_cells", strict=False) for atlas in ("few", "many"))
        assert many.join(few.select(keys), on=keys, how="semi").sort(keys).equals(few.sort(keys))


def test_tables_and_atlas_share_keys_and_libraries(tmp_path: Path) -> None:
    options = {"wells": 6, "lines": 5, "seed": 2}
    write_atlas(tmp_path / "atlas", cells=1_500, **options)  # type: ignore[arg-type]
    write_tables(tmp_path / "tables", 1_500, **options)  # type: ignore[arg-type]
    keys = ["BARCODE_SUB_LIB_ID", "sample", "drug", "cell_line_id", "plate", "moa-fine"]
    cells = pl.read_parquet(tmp_path / "atlas" / "data", columns=[*keys, "expressions"])
    table = pl.read_parquet(tmp_path / "tables" / "cells")
    assert cells.select(keys).equals(table.select(keys))
    values = cells.select(total=pl.col("expressions").list.sum() + 2, genes=pl.col("expressions").list.len() - 1)
    for mine, theirs in (("total_counts", "total"), ("n_genes_by_counts", "genes")):
        ratio = table[mine].cast(pl.Float64) / values[theirs].cast(pl.Float64)
        assert ratio.mean() == pytest.approx(1.0, abs=0.03)
        assert float(ratio.std() or 1) < 0.15  # type: ignore[arg-type]
