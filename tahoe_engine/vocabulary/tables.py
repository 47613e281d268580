"""The gene, sample, drug and cell-line tables: packaged, or a source's own."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tahoe_engine.errors import SourceError
from tahoe_engine.schema import CELL_NAME, CELLOSAURUS_ID, DRUG, DRUG_AND_DOSE, PLATE, SAMPLE
from tahoe_engine.vocabulary.doses import to_micromolar

if TYPE_CHECKING:
    import polars as pl

PACKAGED: Final = Path(__file__).parent
GENE_TABLE: Final = "gene_metadata.parquet"
SAMPLE_TABLE: Final = "sample_metadata.parquet"
DRUG_TABLE: Final = "drug_metadata.parquet"
CELL_LINE_TABLE: Final = "cell_line_metadata.parquet"
GRID_TABLE: Final = "obs_cell_grid.parquet"


def load_samples(folder: str | Path | None = None) -> pl.DataFrame:
    """Load the wells.

    Parameters
    ----------
    folder : str or Path, optional
        A source's own `metadata/`; without it the packaged table of Tahoe-100M.

    Returns
    -------
    polars.DataFrame
        One row a well: `sample`, `plate`, `drug` (without blanks at its ends) and the source's other columns,
        and `dose_um` (Float64, micromole a litre; null where there is no single dose).

    Raises
    ------
    SourceError
        If the table is missing, or lacks a column, or a dose cannot be read.

    Examples
    --------
    >>> load_samples().filter(sample="smp_1783").select("plate", "drug", "dose_um").row(0)
    ('plate4', '8-Hydroxyquinoline', 0.05)
    """
    import polars as pl

    table = _load(SAMPLE_TABLE, folder, (SAMPLE, PLATE, DRUG, DRUG_AND_DOSE))
    doses = [None if text is None else to_micromolar(text) for text in table[DRUG_AND_DOSE].to_list()]
    stripped = pl.col(SAMPLE, PLATE, DRUG).str.strip_chars()
    return table.with_columns(stripped, pl.Series("dose_um", doses, dtype=pl.Float64))


def load_drugs(folder: str | Path | None = None) -> pl.DataFrame:
    """Load the drugs.

    Parameters
    ----------
    folder : str or Path, optional
        As for `load_samples`.

    Returns
    -------
    polars.DataFrame
        One row a drug: `drug` (without blanks at its ends), `targets`, `moa-broad`, `moa-fine`, `canonical_smiles`,
        `pubchem_cid` (Float64) and more. The control, DMSO_TF, is no drug.

    Raises
    ------
    SourceError
        If the table is missing or lacks a column.

    Examples
    --------
    >>> load_drugs().height
    379
    """
    import polars as pl

    return _load(DRUG_TABLE, folder, (DRUG,)).with_columns(pl.col(DRUG).str.strip_chars())


def load_cell_lines(folder: str | Path | None = None) -> pl.DataFrame:
    """Load the cell lines.

    Parameters
    ----------
    folder : str or Path, optional
        As for `load_samples`.

    Returns
    -------
    polars.DataFrame
        One row a driver event of a line; `assayed` tells the lines that are in the data from those only listed.

    Raises
    ------
    SourceError
        If the table is missing or lacks a column.

    Notes
    -----
    A table without `assayed` is that of a source: of its lines those are taken as absent which Tahoe-100M lists
    and does not have.

    Examples
    --------
    >>> lines = load_cell_lines().unique("Cell_ID_Cellosaur")
    >>> lines.height, lines.filter("assayed").height
    (102, 50)
    """
    import polars as pl

    table = _load(CELL_LINE_TABLE, folder, (CELLOSAURUS_ID, CELL_NAME))
    table = table.with_columns(pl.col(CELLOSAURUS_ID, CELL_NAME).str.strip_chars())
    if "assayed" not in table.columns:
        packaged = load_packaged(CELL_LINE_TABLE)
        listed = packaged.filter(~pl.col("assayed"))[CELLOSAURUS_ID].unique().to_list()
        table = table.with_columns(assayed=~pl.col(CELLOSAURUS_ID).is_in(listed))
    return table


def load_cell_counts() -> pl.DataFrame:
    """Load the real numbers of cells of each plate, drug, dose and line.

    Returns
    -------
    polars.DataFrame
        `plate`, `drug`, `conc` (micromole a litre), `cell_name`, `n_cells`; all 100,648,790 cells of Tahoe-100M.

    Examples
    --------
    >>> load_cell_counts()["n_cells"].sum()
    100648790
    """
    import polars as pl

    return load_packaged(GRID_TABLE).with_columns(pl.col("n_cells").cast(pl.Int64))


def doses_um(folder: str | Path | None = None) -> dict[str, float]:
    """Give the dose of each well.

    Parameters
    ----------
    folder : str or Path, optional
        As for `load_samples`.

    Returns
    -------
    dict of str to float
        Sample id to micromole a litre; wells without a single dose are left out.

    Examples
    --------
    >>> doses_um()["smp_1783"]
    0.05
    """
    rows = load_samples(folder).select(SAMPLE, "dose_um").drop_nulls().rows()
    return dict(rows)


def cell_names(folder: str | Path | None = None) -> dict[str, str]:
    """Give the name of each cell line.

    Parameters
    ----------
    folder : str or Path, optional
        As for `load_samples`.

    Returns
    -------
    dict of str to str
        Cellosaurus id to name, of all lines that are listed.

    Examples
    --------
    >>> cell_names()["CVCL_0131"]
    'A-172'
    """
    return dict(load_cell_lines(folder).select(CELLOSAURUS_ID, CELL_NAME).unique(maintain_order=True).rows())


def _load(name: str, folder: str | Path | None, needed: tuple[str, ...]) -> pl.DataFrame:
    import polars as pl

    if folder is None:
        return load_packaged(name)
    path = Path(folder) / name
    try:
        table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"{path} cannot be read as a Parquet table: {error}") from error
    lacking = [column for column in needed if column not in table.columns]
    if lacking:
        raise SourceError(f"{path} lacks the column {', '.join(lacking)}; it has {', '.join(table.columns)}")
    return table


@cache
def load_packaged(name: str) -> pl.DataFrame:
    """Load a table of this package, once a process.

    Parameters
    ----------
    name : str
        File name.

    Returns
    -------
    polars.DataFrame
        The table as packaged.
    """
    import polars as pl

    return pl.read_parquet(PACKAGED / name)
