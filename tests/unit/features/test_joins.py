"""What is joined to the rows: a row a drug, a row a line, and the obs table without holding it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from tahoe_engine.errors import BadDataError, ConfigError, SourceError
from tahoe_engine.features.joins import join_obs, list_obs_columns, load_cell_line_columns, load_drug_columns
from tahoe_engine.vocabulary import load_cell_lines

if TYPE_CHECKING:
    from pathlib import Path


def test_every_drug_and_the_control_have_one_row() -> None:
    drugs = load_drug_columns(None)
    assert drugs["drug"].is_unique().all()
    assert drugs.columns == [
        "drug",
        "targets",
        "moa-broad",
        "drug_moa-fine",
        "human-approved",
        "clinical-trials",
        "gpt-notes-approval",
        "canonical_smiles",
        "pubchem_cid",
    ]
    control = drugs.filter(drug="DMSO_TF").row(0, named=True)
    assert control.pop("pubchem_cid") is None
    assert control == {name: "" for name in drugs.columns if name not in {"drug", "pubchem_cid"}} | {"drug": "DMSO_TF"}
    assert drugs.filter(drug="Talc")["targets"].to_list() == [None]


def test_a_run_joins_its_own_drugs(run: Path, atlas: Path) -> None:
    own = pl.read_parquet(atlas / "metadata/drug_metadata.parquet")
    assert load_drug_columns(run / "metadata").height == len({*own["drug"], "DMSO_TF"})
    assert load_drug_columns(run / "metadata").equals(load_drug_columns(atlas / "metadata"))


def test_a_drug_that_is_there_twice_is_named(tmp_path: Path) -> None:
    pl.DataFrame({"drug": ["a", "b", "a "], "moa-fine": ["x", "y", "z"]}).write_parquet(
        tmp_path / "drug_metadata.parquet"
    )
    with pytest.raises(BadDataError, match=r"table of drugs has 2 rows .* drug 'a'"):
        load_drug_columns(tmp_path)


def test_every_line_has_one_row_whatever_its_driver_events() -> None:
    lines = load_cell_line_columns(None)
    events = load_cell_lines()
    assert lines.height == events["Cell_ID_Cellosaur"].n_unique() == 102
    assert lines.columns == [
        "cell_line_id",
        "organ",
        "Cell_ID_DepMap",
        "driver_genes",
        "n_driver_genes",
        "n_driver_events",
        "n_driver_events_lof",
        "n_driver_events_gof",
        "n_driver_events_unknown",
    ]
    assert lines["n_driver_events"].sum() == 1_000  # the table's rows
    # Counted in the table: 524 LoF, 177 GoF, 299 without.
    assert lines.select(pl.col("^n_driver_events_.*$").sum()).row(0) == (524, 177, 299)
    for line in lines.sample(20, seed=1).iter_rows(named=True):
        own = [row for row in events.rows(named=True) if row["Cell_ID_Cellosaur"] == line["cell_line_id"]]
        genes = sorted({row["Driver_Gene_Symbol"] for row in own})
        assert line["driver_genes"] == "|".join(genes)
        assert line["n_driver_genes"] == len(genes)
        assert line["organ"] == own[0]["Organ"]
        assert line["n_driver_events_lof"] == sum(row["Driver_Mech_InferDM"] == "LoF" for row in own)


def test_a_table_of_lines_without_drivers_gives_what_it_has(tmp_path: Path) -> None:
    table = {
        "Cell_ID_Cellosaur": ["B", "A", "A", None],
        "cell_name": ["b", "a", "a", "n"],
        "Organ": ["x", "z", "y", "q"],
    }
    pl.DataFrame(table).write_parquet(tmp_path / "cell_line_metadata.parquet")
    assert load_cell_line_columns(tmp_path).to_dict(as_series=False) == {
        "cell_line_id": ["A", "B"],
        "organ": ["y|z", "x"],
    }


@pytest.fixture
def rows() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "BARCODE_SUB_LIB_ID": ["c", "a", "x", "b", None],
            "sample": ["s2", "s1", "s1", "s1", "s1"],
            "plate": ["plate6", "plate4", "plate4", "plate4", "plate4"],
            "phase": [0, 1, 2, 3, 4],
        }
    )


@pytest.fixture
def obs() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "plate": ["plate4", "plate4", "plate6", "plate6", "plate9"],
            "sample": ["s1", "s1", "s2", "s2", "s9"],
            "BARCODE_SUB_LIB_ID": ["a", "b", "c", "d", "a"],
            "phase": ["G1", "S", "G2M", "G1", "S"],
            "S_score": [0.1, 0.2, 0.3, 0.4, 0.5],
            "pass_filter": ["full", "minimal", "full", "full", "full"],
        }
    )


def write(table: pl.DataFrame, path: Path, **options: Any) -> Path:
    table.write_parquet(path, **options)
    return path


def test_rows_find_their_own_and_keep_their_order(rows: pl.DataFrame, obs: pl.DataFrame, tmp_path: Path) -> None:
    joined = join_obs(rows, write(obs, tmp_path / "obs.parquet"))
    assert joined.columns == [*rows.columns, "S_score", "pass_filter", "obs_found"]
    assert joined.select(rows.columns).equals(rows)  # a column of both is the rows' own
    assert joined["S_score"].to_list() == [0.3, 0.1, None, 0.2, None]
    assert joined["pass_filter"].to_list() == ["full", "full", None, "minimal", None]
    assert joined["obs_found"].to_list() == [True, True, False, True, False]


@pytest.mark.parametrize("lacking", [[], ["plate"], ["sample"]], ids=str)
def test_a_row_finds_the_same_alone_or_among_others(
    rows: pl.DataFrame, obs: pl.DataFrame, tmp_path: Path, lacking: list[str]
) -> None:
    # Row groups of one row, in files of a folder: all of them can be left out.
    for number, part in enumerate(obs.drop(lacking).iter_slices(2)):
        write(part, tmp_path / f"{number}.parquet", row_group_size=1)
    whole = join_obs(rows, tmp_path, ["S_score"])
    alone = pl.concat([join_obs(row, tmp_path, ["S_score"]) for row in rows.iter_slices(1)])
    assert whole.equals(alone)
    assert whole["S_score"].to_list() == [0.3, 0.1, None, 0.2, None]


def test_another_well_with_the_same_barcode_is_another_cell(
    rows: pl.DataFrame, obs: pl.DataFrame, tmp_path: Path
) -> None:
    path = write(obs.drop("plate", "sample"), tmp_path / "obs.parquet")
    # Without plate and sample the barcode "a" is there twice.
    with pytest.raises(BadDataError, match="2 rows that others have, too, such as BARCODE_SUB_LIB_ID 'a'"):
        join_obs(rows, path)


def test_text_that_is_stored_as_a_dictionary_is_text(rows: pl.DataFrame, obs: pl.DataFrame, tmp_path: Path) -> None:
    path = write(
        obs.with_columns(pl.col("plate", "sample", "BARCODE_SUB_LIB_ID").cast(pl.Categorical)), tmp_path / "obs.parquet"
    )
    assert join_obs(rows, path)["S_score"].to_list() == [0.3, 0.1, None, 0.2, None]


def test_no_rows_and_rows_without_a_well_find_nothing(rows: pl.DataFrame, obs: pl.DataFrame, tmp_path: Path) -> None:
    path = write(obs, tmp_path / "obs.parquet")
    assert join_obs(rows.clear(), path).columns == [*rows.columns, "S_score", "pass_filter", "obs_found"]
    nowhere = rows.with_columns(plate=pl.lit(None, dtype=pl.String))
    assert not join_obs(nowhere, path)["obs_found"].any()


def test_all_that_is_listed_can_be_joined(rows: pl.DataFrame, obs: pl.DataFrame, tmp_path: Path) -> None:
    path = write(obs, tmp_path / "obs.parquet")
    names = [name for name in list_obs_columns(tmp_path) if name not in rows.columns]
    assert names == ["S_score", "pass_filter", "obs_found"]
    assert join_obs(rows, path, names).columns == [*rows.columns, *names]


def test_what_cannot_be_joined_is_named(rows: pl.DataFrame, obs: pl.DataFrame, tmp_path: Path) -> None:
    path = write(obs, tmp_path / "obs.parquet")
    with pytest.raises(ConfigError, match="no column 'pass_fitler'; the nearest are pass_filter"):
        join_obs(rows, path, ["pass_fitler"])
    with pytest.raises(ConfigError, match="a column 'phase' already"):
        join_obs(rows, path, ["phase"])
    with pytest.raises(ConfigError, match="rows have no column 'cell'"):
        join_obs(rows, path, keys=["cell"])
    with pytest.raises(ConfigError, match="has no column 'phase2' to be joined by"):
        join_obs(rows.with_columns(phase2=1), path, keys=["phase2"])
    with pytest.raises(ConfigError, match="cannot be told apart by sample"):
        join_obs(rows, path, keys=["sample"])
    with pytest.raises(SourceError, match="is no Parquet file"):
        join_obs(rows, tmp_path / "nothing")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(SourceError, match="cannot be read"):
        join_obs(rows, tmp_path / "bad.parquet")
