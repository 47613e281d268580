"""Where made-up cells stand: proportions, order, barcodes, and options that cannot be."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tahoe_engine.errors import ConfigError
from tahoe_engine.synth.atlas import cut_evenly
from tahoe_engine.synth.columns import RowStream, text_columns
from tahoe_engine.synth.layout import Rows, iterate_sublibraries, plan_design, share_out
from tahoe_engine.synth.options import Options, clean_lines
from tahoe_engine.vocabulary import load_cell_counts, load_samples

OPTIONS = Options(
    kind="atlas",
    plates=(4,),
    wells=96,
    lines=50,
    cells=120_000,
    seed=3,
    line_effect=0.0,
    drug_effect=0.0,
    well_effect=0.0,
    drug_genes=0.0,
    median_counts=100.0,
    counts_spread=0.0,
    shard_rows=1_000,
    row_group_rows=100,
    sublibrary_cells=54_000,
    marker=True,
    vocabulary="packaged",
)


def all_rows(options: Options) -> tuple[list[Rows], Rows]:
    design = plan_design(options)
    parts = list(iterate_sublibraries(design, options.seed))
    return parts, RowStream(iter(parts)).take(10**9)


def test_cells_are_dealt_out_in_proportion_and_to_the_last() -> None:
    weights = np.array([5, 0, 1, 94], np.int64)
    counts = share_out(1_000, weights, 7)
    assert counts.sum() == 1_000
    assert np.all(np.abs(counts - weights * 10) <= 1)
    assert counts[1] == 0
    assert share_out(10**9, np.full(5_000, 20_000, np.int64), 0).sum() == 10**9


def test_wells_and_lines_have_the_real_proportions() -> None:
    options = replace(OPTIONS, cells=1_000_000)
    design = plan_design(options)
    grid = load_cell_counts()
    plate4 = int(grid.filter(plate="plate4")["n_cells"].sum())
    real = dict(grid.filter(plate="plate4").select("cell_name", "n_cells").group_by("cell_name").sum().rows())
    for name, n_cells in zip(design.names, design.counts.sum(axis=0), strict=True):
        assert n_cells == pytest.approx(real[name] / plate4 * 1e6, abs=97)
    assert design.counts.sum() == 1_000_000


def test_every_sublibrary_holds_all_wells_again_sorted_by_barcode() -> None:
    parts, rows = all_rows(OPTIONS)
    assert len(rows) == 120_000
    assert len(parts) == 3  # 120,000 of 54,000
    for part in parts:
        assert np.unique(part.well).size == 96
        assert np.all(np.diff(part.well.astype(int)) >= 0)
        place = part.well.astype(np.int64) * 192 * 192 + part.code
        assert np.all(np.diff(place) > 0)
        assert len(part) == pytest.approx(40_000, rel=0.02)
        assert Counter(part.well.tolist()).most_common()[-1][1] > 10
    assert len({int(part.library[0]) for part in parts}) == 3


def test_barcodes_are_unique_and_read_like_the_real_ones() -> None:
    design = plan_design(OPTIONS)
    _, rows = all_rows(OPTIONS)
    texts = text_columns(rows, design)["BARCODE_SUB_LIB_ID"].to_pylist()
    assert len(set(texts)) == 120_000
    first, library = texts[0].split("-")
    assert library == "lib_1001"
    assert first.startswith("01_")
    well, second, third = (int(number) for number in first.split("_"))
    assert (well, 1 <= second <= 192, 1 <= third <= 192) == (1, True, True)
    long = Rows(*(np.array([value]) for value in (0, 0, 0, 5 * 192 + 46, 12_345)))
    assert text_columns(long, design)["BARCODE_SUB_LIB_ID"].to_pylist() == ["01_006_047-lib_12345"]


def test_fewer_wells_keep_their_runs_of_some_560_rows() -> None:
    parts, _ = all_rows(replace(OPTIONS, wells=4, cells=9_000))
    assert len(parts) == 4
    runs = [n for part in parts for n in Counter(part.well.tolist()).values()]
    assert np.mean(runs) == pytest.approx(562, rel=0.05)


@pytest.mark.parametrize("wells", [1, 2, 3, 8, 96])
def test_the_controls_are_among_the_wells(wells: int) -> None:
    design = plan_design(replace(OPTIONS, wells=wells, plates=(4, 6)))
    for plate in ("plate4", "plate6"):
        chosen = [well for well in design.wells if well.plate == plate]
        assert len(chosen) == wells
        assert [well.sample for well in chosen] == sorted(well.sample for well in chosen)
        drugs = Counter(well.drug for well in chosen)
        assert drugs["DMSO_TF"] == (0 if wells == 1 else 2)
        assert (drugs["Adagrasib"] > 0) == (wells > 2)


def test_every_plate_owns_its_96_samples_and_their_drugs() -> None:
    design = plan_design(replace(OPTIONS, plates=tuple(range(1, 15)), cells=50_000))
    real = {row[0]: row[1:] for row in load_samples().select("sample", "plate", "drug", "dose_um").rows()}
    assert len(design.wells) == 1_344
    for well in design.wells:
        assert real[well.sample] == (well.plate, well.drug, well.dose_um)
        assert int(well.sample.removeprefix("smp_")) == 1495 + 96 * (int(well.plate[5:]) - 1) + well.barcode - 1


def test_missing_texts_are_empty_and_cids_are_texts_of_floats() -> None:
    design = plan_design(replace(OPTIONS, plates=tuple(range(1, 15))))
    of = {well.drug: well for well in design.wells}
    assert (of["DMSO_TF"].moa_fine, of["DMSO_TF"].smiles, of["DMSO_TF"].pubchem_cid) == ("", "", "")
    for drug in ("Sacubitril/Valsartan", "Verteporfin"):
        assert (of[drug].smiles, of[drug].pubchem_cid) == ("", "")
        assert of[drug].moa_fine == "unclear"
    assert of["8-Hydroxyquinoline"].pubchem_cid == "1923.0"
    assert of["8-Hydroxyquinoline"].smiles == "C1=CC2=C(C(=C1)O)N=CC=C2"


def test_lines_come_by_number_or_by_name() -> None:
    assert clean_lines(["A-172", "CVCL_1239"]) == ("CVCL_0131", "CVCL_1239")
    assert plan_design(replace(OPTIONS, lines=3)).lines == ("CVCL_0131", "CVCL_1239", "CVCL_1715")
    assert "CVCL_0546" in plan_design(replace(OPTIONS, lines=4)).lines  # SW480 has the most cells
    assert len(plan_design(OPTIONS).lines) == 50
    with pytest.raises(ConfigError, match=r"A172 is not in Tahoe-100M, nearest are A-172 \(CVCL_0131\)"):
        clean_lines(["A172"])


def test_a_stream_of_rows_can_be_cut_anywhere() -> None:
    parts, whole = all_rows(OPTIONS)
    stream = RowStream(iter(parts))
    sizes = [1, 999, 39_000, 45_000, 34_990, 10]
    cut = [stream.take(size) for size in sizes]
    assert [len(rows) for rows in cut] == sizes
    assert len(stream.take(5)) == 0
    assert np.array_equal(np.concatenate([rows.key for rows in cut]), whole.key)


def test_shards_are_as_even_as_can_be() -> None:
    assert cut_evenly(95_624_334, 28_225)[1_421:1_423] == [28_225, 28_224]  # as Tahoe's
    assert len(cut_evenly(95_624_334, 28_225)) == 3_388
    assert cut_evenly(28_224 * 12, 28_224) == [28_224] * 12
    assert cut_evenly(1, 10) == [1]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"plates": ()}, "plates"),
        ({"plates": (0,)}, "plates"),
        ({"plates": (4, 4)}, "plates"),
        ({"wells": 97}, "wells"),
        ({"cells": 0}, "cells"),
        ({"cells": True}, "cells"),
        ({"seed": -1}, "seed"),
        ({"line_effect": float("nan")}, "line_effect"),
        ({"drug_effect": -0.1}, "drug_effect"),
        ({"well_effect": 6.0}, "well_effect"),
        ({"drug_genes": 1.1}, "drug_genes"),
        ({"median_counts": 0.0}, "median_counts"),
        ({"row_group_rows": 0}, "row_group_rows"),
        ({"row_group_rows": 50_001}, "row_group_rows"),
        ({"sublibrary_cells": 5}, "sublibrary_cells"),
    ],
)
def test_an_option_that_cannot_be_is_named(change: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=f"^{named}: "):
        replace(OPTIONS, **change)  # type: ignore[arg-type]
