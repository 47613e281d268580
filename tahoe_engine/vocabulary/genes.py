"""The gene vocabulary: packaged, or a file for a sister data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from tahoe_engine.errors import SourceError
from tahoe_engine.schema import ENSEMBL_ID, GENE_SYMBOL, TOKEN_ID
from tahoe_engine.vocabulary.tables import GENE_TABLE, load_packaged

if TYPE_CHECKING:
    import polars as pl

FIRST_TOKEN: Final = 3  # 0 pad, 1 cls (the marker), 2 eoc
LAST_TOKEN: Final = 2**31 - 1
MITOCHONDRIAL_PREFIX: Final = "MT-"


def load_genes(path: str | Path | None = None) -> pl.DataFrame:
    """Load and check a gene vocabulary.

    Parameters
    ----------
    path : str or Path, optional
        A `.parquet`, `.csv` or `.tsv` table with the columns `gene_symbol`, `ensembl_id` and `token_id`; without it
        the 62,710 genes of Tahoe-100M. EmeraldBay, with 574 genes more, needs its own.

    Returns
    -------
    polars.DataFrame
        `gene_symbol` String, `ensembl_id` String, `token_id` Int64; tokens ascend from 3 or more without repeats.

    Raises
    ------
    SourceError
        If there is no such table, or it is no vocabulary; the message says where and why.

    Examples
    --------
    >>> load_genes().height
    62710
    """
    if path is None:
        return load_packaged(GENE_TABLE)
    path = Path(path)
    table = _read(path)
    lacking = [name for name in (GENE_SYMBOL, ENSEMBL_ID, TOKEN_ID) if name not in table.columns]
    if lacking:
        raise SourceError(
            f"the vocabulary {path} lacks the column {', '.join(lacking)}; it has {', '.join(table.columns)}"
        )
    _check(path, table)
    return _with_types(path, table)


def mitochondrial(genes: pl.DataFrame) -> list[bool]:
    """Tell the mitochondrial genes: those whose symbol starts with ``MT-``.

    Parameters
    ----------
    genes : polars.DataFrame
        As `load_genes` gives it.

    Returns
    -------
    list of bool
        One a gene.

    Examples
    --------
    >>> sum(mitochondrial(load_genes()))
    37
    """
    flags: list[bool] = genes[GENE_SYMBOL].str.starts_with(MITOCHONDRIAL_PREFIX).to_list()
    return flags


def _read(path: Path) -> pl.DataFrame:
    import polars as pl

    kind = path.suffix.lower()
    if kind not in {".parquet", ".csv", ".tsv"}:
        raise SourceError(
            f"the vocabulary {path} must be a .parquet, .csv or .tsv file, with the columns of {GENE_TABLE}"
        )
    try:
        return (
            pl.read_parquet(path)
            if kind == ".parquet"
            else pl.read_csv(path, separator="\t" if kind == ".tsv" else ",")
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"the vocabulary {path} cannot be read: {error}") from error


def _check(path: Path, table: pl.DataFrame) -> None:
    import polars as pl

    if table.height == 0:
        raise SourceError(f"the vocabulary {path} has no genes")
    if not table[TOKEN_ID].dtype.is_integer():
        raise SourceError(f"the vocabulary {path}: {TOKEN_ID} must be whole numbers, found {table[TOKEN_ID].dtype}")
    for name in (GENE_SYMBOL, ENSEMBL_ID, TOKEN_ID):
        if (row := table[name].is_null().arg_max()) is not None and table[name].null_count():
            raise SourceError(f"the vocabulary {path}: row {row} has no {name}")
    tokens = table[TOKEN_ID].cast(pl.Int64, strict=False).fill_null(-1)
    outside = (tokens < FIRST_TOKEN) | (tokens > LAST_TOKEN)
    if outside.any():
        row = outside.arg_max() or 0
        raise SourceError(
            f"the vocabulary {path}: row {row} has {TOKEN_ID} {table[TOKEN_ID][row]}; "
            f"genes have {FIRST_TOKEN} to {LAST_TOKEN} (0, 1 and 2 are pad, cls and eoc)"
        )
    falls = (tokens.diff() <= 0).fill_null(value=False)
    if falls.any():
        row = falls.arg_max() or 0
        raise SourceError(
            f"the vocabulary {path}: {TOKEN_ID} must ascend without repeats, "
            f"but row {row} has {tokens[row]} after {tokens[row - 1]}; sort the table by {TOKEN_ID}"
        )
    twice = table[ENSEMBL_ID].is_duplicated()
    if twice.any():
        raise SourceError(
            f"the vocabulary {path}: {ENSEMBL_ID} {table[ENSEMBL_ID].filter(twice)[0]} stands there twice"
        )


def _with_types(path: Path, table: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    texts = [name for name in (GENE_SYMBOL, ENSEMBL_ID) if table[name].dtype != pl.String]
    if texts:
        raise SourceError(f"the vocabulary {path}: {', '.join(texts)} must be text")
    return table.select(GENE_SYMBOL, ENSEMBL_ID, pl.col(TOKEN_ID).cast(pl.Int64))
