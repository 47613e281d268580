"""The tables of wells, drugs and lines as a run has them, or a source, or Tahoe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from tahoe_engine.errors import StageError
from tahoe_engine.schema import DRUG, MOA_FINE
from tahoe_engine.vocabulary import load_cell_lines, load_drugs, load_samples

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

# The drugs' table has a column that the cells have too: joined, it is called otherwise.
DRUG_MOA_FINE: Final = f"{DRUG}_{MOA_FINE}"


def read_samples(folder: Path | None) -> pl.DataFrame:
    """Read the wells.

    Parameters
    ----------
    folder : Path, optional
        ``RUN/metadata``, or a source's own ``metadata/``; without it Tahoe's.

    Returns
    -------
    polars.DataFrame
        As `tahoe_engine.vocabulary.load_samples` gives it.

    Raises
    ------
    StageError
        If the run's table cannot be read.
    SourceError
        If the source's cannot.

    Examples
    --------
    >>> read_samples(None).height
    1344
    """
    return _read(folder, "samples", load_samples)


def read_drugs(folder: Path | None) -> pl.DataFrame:
    """Read the drugs; see `read_samples`.

    Parameters
    ----------
    folder : Path, optional
        Likewise.

    Returns
    -------
    polars.DataFrame
        As `tahoe_engine.vocabulary.load_drugs` gives it.

    Raises
    ------
    StageError, SourceError
        Likewise.

    Examples
    --------
    >>> read_drugs(None).height
    379
    """
    return _read(folder, "drugs", load_drugs)


def read_cell_lines(folder: Path | None) -> pl.DataFrame:
    """Read the cell lines; see `read_samples`.

    Parameters
    ----------
    folder : Path, optional
        Likewise.

    Returns
    -------
    polars.DataFrame
        As `tahoe_engine.vocabulary.load_cell_lines` gives it.

    Raises
    ------
    StageError, SourceError
        Likewise.

    Examples
    --------
    >>> read_cell_lines(None).height
    1000
    """
    return _read(folder, "cell_lines", load_cell_lines)


def _read(folder: Path | None, name: str, load: Callable[[str | Path | None], pl.DataFrame]) -> pl.DataFrame:
    import polars as pl

    if folder is None or not (path := Path(folder) / f"{name}.parquet").is_file():
        return load(folder)
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StageError(f"{path} is damaged ({error}); run `tahoe cells` again") from error
