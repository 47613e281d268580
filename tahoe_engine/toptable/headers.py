"""The file of a top table, and what its columns are called."""

from __future__ import annotations

import csv
import gzip
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from tahoe_engine.errors import BadDataError, ConfigError, SourceError, escape_controls

if TYPE_CHECKING:
    import polars as pl

MISSING: Final = ("NA", "NaN", "nan", "N/A", "#N/A", "NULL", "null", "")
NUMBERS: Final = ("logFC", "AveExpr", "t", "P.Value", "adj.P.Val", "B")
NEEDED: Final = ("gene", "logFC", "t", "P.Value")
CONTRAST: Final = "contrast_id"
# Headers in small letters without other signs, the likeliest first: of limma, edgeR, DESeq2, scanpy, ours.
VARIANTS: Final = {
    "gene": (
        *("gene", "symbol", "genesymbol", "hgncsymbol", "label", "names", "genename", "id", "geneid", "geneids"),
        *("ensembl", "ensemblid", "ensemblgeneid", "entrezid", "entrez", "probeid", "probe"),
        *("", "rownames", "unnamed0", "index", "x1", "x", "1"),  # row names, by R, pandas and readr
    ),
    "logFC": ("logfc", "log2foldchange", "log2fc", "logfoldchange", "logfoldchanges", "lfc"),
    "AveExpr": ("aveexpr", "averageexpression", "amean", "logcpm"),
    "t": ("t", "tstat", "tstatistic", "tvalue", "moderatedt", "modt", "stat", "statistic", "scores", "target"),
    "P.Value": ("pvalue", "pval", "pvals", "p", "rawp", "rawpvalue"),
    "adj.P.Val": (
        *("adjpval", "adjpvalue", "padj", "pvalsadj", "pvaladj", "pvalueadj", "adjp", "adjustedpvalue", "adjustedpval"),
        *("fdr", "qvalue", "qval", "q"),
    ),
    "B": ("b", "lods", "logodds"),
}


class PandasFrame(Protocol):
    """What is used of a table of pandas."""

    @property
    def index(self) -> Any: ...  # noqa: ANN401, D102 -- as pandas has it
    def reset_index(self) -> Any: ...  # noqa: ANN401, D102 -- likewise
    def rename(self, *, columns: Any) -> Any: ...  # noqa: ANN401, D102 -- likewise


def read_table(source: str | Path | pl.DataFrame | PandasFrame) -> tuple[str, pl.DataFrame]:
    """Read a table as it is.

    Parameters
    ----------
    source : str, Path or DataFrame
        As for `tahoe_engine.toptable.read_top_table`.

    Returns
    -------
    what : str
        What to call it in messages.
    frame : polars.DataFrame
        The table.

    Raises
    ------
    SourceError
        If it cannot be read.
    """
    import polars as pl

    if isinstance(source, pl.DataFrame):
        return "the top table", source
    if not isinstance(source, (str, Path)):
        # Genes are often the index; a plain count of rows is no column.
        named = source if list(source.index) == list(range(len(source.index))) else source.reset_index()
        return "the top table", pl.from_pandas(named.rename(columns=str))
    path = Path(source)
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    if kind not in {".csv", ".tsv", ".txt", ".tab", ".parquet"}:
        raise SourceError(f"the top table {path} must be a .csv, .tsv, .txt or .parquet file")
    try:
        return str(path), pl.read_parquet(path) if kind == ".parquet" else _read_text(path)
    except (OSError, UnicodeDecodeError, csv.Error, EOFError, pl.exceptions.PolarsError) as error:
        raise SourceError(escape_controls(f"the top table {path} cannot be read: {error}")) from error


def map_headers(raw: pl.DataFrame, what: str) -> tuple[pl.DataFrame, dict[str, str]]:
    """Give the columns limma's names.

    Parameters
    ----------
    raw : polars.DataFrame
        As it was read.
    what : str
        What to call it in messages.

    Returns
    -------
    frame : polars.DataFrame
        With the columns of `TopTable`.
    headers : dict of str to str
        What they were called.

    Raises
    ------
    BadDataError
        If a column is missing, or has something that is no number.
    ConfigError
        If there are several contrasts.

    Notes
    -----
    Of several columns that may name the gene the first is taken that is complete: symbols often are not.
    """
    import polars as pl

    if CONTRAST in raw.columns and raw[CONTRAST].n_unique() > 1:
        raise ConfigError(f"{what} has {raw[CONTRAST].n_unique()} contrasts: keep the rows of one {CONTRAST}")
    headers = {}
    for name, variants in VARIANTS.items():
        fitting = [header for _, header in sorted(_rank_headers(raw.columns, name, variants))]
        if name == "gene":
            fitting = [h for h in fitting if not raw[h].null_count()] or fitting
        if fitting:
            headers[name] = fitting[0]
    lacking = [name for name in NEEDED if name not in headers]
    if lacking:
        has = ", ".join(repr(header) for header in raw.columns)
        raise BadDataError(
            escape_controls(
                f"{what} has no column for {', '.join(lacking)}; it has {has}: rename the one that is meant"
            )
        )
    if raw.is_empty():
        raise BadDataError(f"{what} has no rows")
    numbers = [_as_numbers(raw[headers[name]], what).alias(name) for name in NUMBERS if name in headers]
    used = {*headers.values(), *headers}
    gene = raw[headers["gene"]].cast(pl.String).alias("gene")
    return pl.DataFrame([gene, *numbers, *(raw[other] for other in raw.columns if other not in used)]), headers


def _rank_headers(columns: list[str], name: str, variants: tuple[str, ...]) -> list[tuple[tuple[bool, int, int], str]]:
    """Place each header that may mean this: limma's own spelling first, then in the order of the variants."""
    plain = [re.sub(r"[^a-z0-9]", "", column.casefold()) for column in columns]
    return [
        ((column != name, variants.index(word), at), column)
        for at, (column, word) in enumerate(zip(columns, plain, strict=True))
        if word in variants
    ]


def _as_numbers(series: pl.Series, what: str) -> pl.Series:
    import polars as pl

    if series.dtype == pl.String:
        numbers = series.str.strip_chars().cast(pl.Float64, strict=False)
        wrong = numbers.is_null() & series.is_not_null() & ~series.str.strip_chars().is_in(MISSING)
        if wrong.any():
            row = wrong.arg_max() or 0
            raise BadDataError(
                escape_controls(f"{what}, row {row + 1}: {series.name!r} is {series[row]!r}, which is no number")
            )
        return numbers.fill_nan(None)
    if not (series.dtype.is_numeric() or series.dtype == pl.Null):
        raise BadDataError(escape_controls(f"{what}: {series.name!r} is {series.dtype}, and must be numbers"))
    return series.cast(pl.Float64).fill_nan(None)


def _read_text(path: Path) -> pl.DataFrame:
    import polars as pl

    opened: Any = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
        blank, first = 0, file.readline()
        while first and not first.strip():
            blank, first = blank + 1, file.readline()
        second = file.readline()
    separator = max(",\t;", key=first.count)
    header, row = (next(csv.reader([line], delimiter=separator), []) for line in (first, second))
    options: dict[str, Any] = {
        "separator": separator,
        "null_values": list(MISSING),
        "infer_schema_length": None,
        "skip_lines": blank,
    }
    if len(row) == len(header) + 1:
        # R's write.table gives row names no header of their own.
        options["skip_lines"] = blank + 1
        return pl.read_csv(path, has_header=False, new_columns=["", *header], **options)
    frame = pl.read_csv(path, **options)
    return frame.rename({frame.columns[0]: header[0]}) if frame.columns and frame.columns[0] != header[0] else frame
