"""Which contrasts there are, counted by hand."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from tahoe_engine.contrasts.design import Contrast, Stratum, design_contrasts
from tahoe_engine.errors import ConfigError, StageError
from tahoe_engine.sections import ContrastsSettings

DMSO = "DMSO_TF"
A, B = "CVCL_0131", "CVCL_1239"


def index_of(*wells: tuple[str, str, str, float | None, dict[str, int]]) -> pl.DataFrame:
    """An index of groups: of each well its plate, sample, drug and dose, and the cells of each line."""
    rows = [
        {"sample": sample, "cell_line_id": line, "drug": drug, "dose_um": dose, "plate": plate, "n_cells": n}
        for plate, sample, drug, dose, lines in wells
        for line, n in lines.items()
    ]
    # Ids have gaps, as those of the stage may.
    return pl.DataFrame(rows, infer_schema_length=None).with_columns(
        group_id=pl.int_range(len(rows), dtype=pl.Int32) * 3, total_counts=pl.col("n_cells") * 10
    )


TWO_PLATES = index_of(
    ("plate10", "smp_5", DMSO, 0.0, {A: 70, B: 7}),
    ("plate10", "smp_6", "Talc", 5.0, {A: 20, B: 2}),
    ("plate2", "smp_1", DMSO, 0.0, {A: 100, B: 10}),
    ("plate2", "smp_2", DMSO, 0.0, {A: 50}),
    ("plate2", "smp_3", "Talc", 0.5, {A: 30, B: 3}),
    ("plate2", "smp_4", "Trametinib (DMSO_TF solvate)", 0.05, {A: 40}),
)


def told(contrast: Contrast) -> tuple[Any, ...]:
    side = contrast.treated
    return (contrast.drug, contrast.dose_um, contrast.cell_line_id, contrast.plate, side.n_cells, side.n_wells)


def design(index: pl.DataFrame, **settings: Any) -> tuple[Stratum, ...]:
    return design_contrasts(index, ContrastsSettings.model_validate(settings))


def test_each_treatment_meets_the_control_of_its_own_plate_and_line() -> None:
    strata = design(TWO_PLATES)
    assert [stratum.name for stratum in strata] == [
        "plate=plate2/CVCL_0131",
        "plate=plate2/CVCL_1239",
        "plate=plate10/CVCL_0131",
        "plate=plate10/CVCL_1239",
    ]
    assert [told(contrast) for stratum in strata for contrast in stratum.contrasts] == [
        ("Talc", 0.5, A, "plate2", 30, 1),
        ("Trametinib (DMSO_TF solvate)", 0.05, A, "plate2", 40, 1),
        ("Talc", 0.5, B, "plate2", 3, 1),
        ("Talc", 5.0, A, "plate10", 20, 1),
        ("Talc", 5.0, B, "plate10", 2, 1),
    ]
    assert [contrast.contrast_id for stratum in strata for contrast in stratum.contrasts] == [0, 1, 2, 3, 4]
    controls = [(s.control.groups, s.control.n_cells, s.control.n_wells) for s in strata]
    assert controls == [((12, 18), 150, 2), ((15,), 10, 1), ((0,), 70, 1), ((3,), 7, 1)]
    assert strata[0].groups == (12, 18, 21, 27)


def test_the_order_of_the_index_does_not_show() -> None:
    assert design(TWO_PLATES.reverse()) == design(TWO_PLATES)


def test_a_treatment_without_control_is_kept_and_nothing_is_borrowed() -> None:
    without = TWO_PLATES.filter(~((pl.col("plate") == "plate10") & (pl.col("drug") == DMSO)))
    strata = design(without)
    alone = [stratum for stratum in strata if not stratum.control.groups]
    assert [stratum.name for stratum in alone] == ["plate=plate10/CVCL_0131", "plate=plate10/CVCL_1239"]
    assert [told(c) for s in alone for c in s.contrasts] == [
        ("Talc", 5.0, A, "plate10", 20, 1),
        ("Talc", 5.0, B, "plate10", 2, 1),
    ]
    assert (alone[0].control.n_cells, alone[0].control.n_wells) == (0, 0)


def test_several_references_are_one_control() -> None:
    (stratum, *_) = design(TWO_PLATES, reference=[DMSO, "Talc"])
    assert stratum.control.groups == (12, 18, 21)
    assert [told(contrast)[:2] for contrast in stratum.contrasts] == [("Trametinib (DMSO_TF solvate)", 0.05)]


def test_pooled_plates_have_the_plate_as_block() -> None:
    strata = design(TWO_PLATES, within=["cell_line_id"], block=["plate"], treatment=["drug"])
    assert [stratum.name for stratum in strata] == [
        "plate=__HIVE_DEFAULT_PARTITION__/CVCL_0131",
        "plate=__HIVE_DEFAULT_PARTITION__/CVCL_1239",
    ]
    assert [told(contrast) for contrast in strata[0].contrasts] == [
        ("Talc", None, A, None, 50, 2),
        ("Trametinib (DMSO_TF solvate)", 0.05, A, None, 40, 1),
    ]
    assert strata[0].blocks == {
        0: ("plate10",),
        6: ("plate10",),
        12: ("plate2",),
        18: ("plate2",),
        21: ("plate2",),
        27: ("plate2",),
    }


def test_a_drug_across_lines_has_the_line_as_block() -> None:
    strata = design(TWO_PLATES, within=["plate"], block=["cell_line_id"])
    assert [stratum.name for stratum in strata] == ["plate=plate2/all", "plate=plate10/all"]
    # Trametinib met one line, its controls two.
    assert [told(contrast) for contrast in strata[0].contrasts] == [
        ("Talc", 0.5, None, "plate2", 33, 1),
        ("Trametinib (DMSO_TF solvate)", 0.05, None, "plate2", 40, 1),
    ]
    assert strata[0].blocks[12] == (A,)
    assert strata[0].control.n_wells == 2


def test_a_blank_behind_a_drug_is_no_part_of_its_name() -> None:
    index = index_of(
        ("plate2", "smp_1", f"{DMSO} ", 0.0, {A: 10}),
        ("plate2", "smp_2", "Erdafitinib ", 0.5, {A: 20}),
        ("plate2", "smp_3", "Erdafitinib", 0.5, {A: 30}),
    )
    (stratum,) = design(index, reference=[" DMSO_TF"])
    assert [told(contrast) for contrast in stratum.contrasts] == [("Erdafitinib", 0.5, A, "plate2", 50, 2)]
    assert stratum.control.groups == (0,)


def test_an_unknown_dose_is_a_level_of_its_own_and_comes_last() -> None:
    index = index_of(
        ("plate2", "smp_1", DMSO, None, {A: 10}),
        ("plate2", "smp_2", "Talc", None, {A: 20}),
        ("plate2", "smp_3", "Talc", 0.5, {A: 30}),
    )
    (stratum,) = design(index)
    assert [contrast.dose_um for contrast in stratum.contrasts] == [0.5, None]


def test_names_are_percent_encoded_in_the_name_of_a_part() -> None:
    index = index_of(
        ("plate 2/a", "smp_1", DMSO, 0.0, {"a/../b": 1}), ("plate 2/a", "smp_2", "Talc", 1.0, {"a/../b": 1})
    )
    (stratum,) = design(index)
    assert stratum.name == "plate=plate%202%2Fa/a%2F..%2Fb"


def test_groups_without_wells_do_for_welch_alone() -> None:
    coarse = TWO_PLATES.drop("sample")
    (stratum, *_) = design(coarse, method="welch")
    assert stratum.control.n_wells is None
    with pytest.raises(ConfigError, match=r"not by well.*--by sample,cell_line_id.*--method welch"):
        design(coarse, method="limma")


def test_no_groups_give_no_contrasts() -> None:
    assert design(TWO_PLATES.clear()) == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"within": ["plat"]}, "contrasts.within: 'plat' cannot stand there; did you mean 'plate'"),
        ({"within": ["drug"]}, "contrasts.within: 'drug' cannot stand there"),
        ({"treatment": ["drug", "plate"]}, "contrasts.treatment: 'plate' cannot stand there"),
        ({"treatment": ["dose_um"]}, "it needs 'drug'"),
        ({"block": ["sample"]}, "contrasts.block: 'sample' cannot stand there"),
        ({"block": ["plate"]}, "contrasts.block: 'plate' stands in contrasts.within too"),
        ({"block": ["moa-fine"]}, "the groups of this run have no 'moa-fine'"),
        ({"within": ["plate", "plate"]}, "name each key once"),
        ({"within": ["plate"], "block": ["cell_line_id"], "method": "welch"}, "welch has no covariates"),
        ({"reference": ["DMSO"]}, "no group is of 'DMSO'; the nearest: DMSO_TF"),
        ({"reference": ["DMSO_TF", "Talk"]}, "no group is of 'Talk'; the nearest: Talc"),
        ({"reference": []}, "contrasts.reference: none"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        design(TWO_PLATES, **settings)


def test_groups_that_mix_plates_are_refused() -> None:
    mixed = TWO_PLATES.with_columns(plate=pl.lit(None, pl.String))
    with pytest.raises(StageError, match="10 groups hold cells of several values of 'plate'"):
        design(mixed)
    # Where nothing is told apart by the plate, they will do.
    assert [stratum.plate for stratum in design(mixed, within=["cell_line_id"])] == [None, None]
