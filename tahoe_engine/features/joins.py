"""Columns that are joined to the rows: of the drugs, of the cell lines, of `obs_metadata`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from tahoe_engine.errors import BadDataError, ConfigError, SourceError, escape_controls
from tahoe_engine.features.metadata import DRUG_MOA_FINE, read_cell_lines, read_drugs
from tahoe_engine.schema import (
    BARCODE,
    CELL_LINE_ID,
    CELL_NAME,
    CELLOSAURUS_ID,
    CONTROL_DRUG,
    DRUG,
    MOA_FINE,
    PLATE,
    SAMPLE,
)
from tahoe_engine.vocabulary import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

OBS_FOUND: Final = "obs_found"
SEPARATOR: Final = "|"
# Of the table of cell lines; they are read here and nowhere else.
_ORGAN: Final = "Organ"
_DRIVER_GENE: Final = "Driver_Gene_Symbol"
_DRIVER_MECHANISM: Final = "Driver_Mech_InferDM"
_DRIVER: Final = "Driver_"  # every column that differs between the driver events of a line
_MECHANISMS: Final = ("LoF", "GoF", None)
# A row of the obs table belongs to one well of one plate: by these its row groups are left out unread.
_WHERE: Final = (PLATE, SAMPLE)


def load_drug_columns(folder: Path | None) -> pl.DataFrame:
    """Load what is known of the drugs, one row a drug.

    Parameters
    ----------
    folder : Path, optional
        ``RUN/metadata``, or a source's own ``metadata/``; without it Tahoe's.

    Returns
    -------
    polars.DataFrame
        ``drug`` and the columns of the table under their own names, but for ``moa-fine``, which the cells have, too: it
        is ``drug_moa-fine``. The control has a row, with ``''`` for texts and null for numbers.

    Raises
    ------
    BadDataError
        If a drug has two rows.
    StageError, SourceError
        If the table cannot be read.

    Examples
    --------
    >>> drugs = load_drug_columns(None)
    >>> drugs.height, drugs.filter(drug="Bortezomib").select("targets", "drug_moa-fine").row(0)
    (380, ('PSMB5', 'Proteasome inhibitor'))
    """
    import polars as pl

    table = read_drugs(folder).rename({MOA_FINE: DRUG_MOA_FINE}, strict=False)
    if CONTROL_DRUG not in table[DRUG]:
        texts = {name: "" for name, dtype in table.schema.items() if dtype == pl.String}
        control = pl.DataFrame([texts | {DRUG: CONTROL_DRUG}], schema_overrides=dict.fromkeys(texts, pl.String))
        table = pl.concat([table, control], how="diagonal")
    _refuse_twice(table, [DRUG], "the table of drugs")
    return table.sort(DRUG)


def load_cell_line_columns(folder: Path | None) -> pl.DataFrame:
    """Load what is known of the cell lines, one row a line.

    Parameters
    ----------
    folder : Path, optional
        As for `load_drug_columns`.

    Returns
    -------
    polars.DataFrame
        ``cell_line_id``; ``organ``; ``driver_genes``, sorted, as ``"CDKN2A|KRAS"``; ``n_driver_genes``;
        ``n_driver_events``, which are rows of the table, and of these ``n_driver_events_lof``, ``_gof`` and
        ``_unknown`` by how the gene is changed (Int64); other columns that do not tell of driver events keep their
        names, and several values of a line are sorted and joined like genes. What the table lacks is left out.

    Raises
    ------
    StageError, SourceError
        If the table cannot be read.

    Examples
    --------
    >>> lines = load_cell_line_columns(None)
    >>> lines.filter(cell_line_id="CVCL_0023").select("organ", "driver_genes", "n_driver_events_lof").row(0)
    ('Lung', 'CDKN2A|CDKN2B|KRAS|SMARCA4|STK11|ZFHX3', 4)
    """
    import polars as pl

    table = (
        read_cell_lines(folder).drop("assayed", CELL_NAME, strict=False).filter(pl.col(CELLOSAURUS_ID).is_not_null())
    )
    ids = pl.col(CELLOSAURUS_ID).alias(CELL_LINE_ID)
    others = [name for name in table.columns if name not in {CELLOSAURUS_ID, _ORGAN} and not name.startswith(_DRIVER)]
    made = [_join_texts(name).alias(name) for name in others]
    if _ORGAN in table.columns:
        made.insert(0, _join_texts(_ORGAN).alias("organ"))
    if _DRIVER_GENE in table.columns:
        genes = pl.col(_DRIVER_GENE).drop_nulls()
        made += [
            _join_texts(_DRIVER_GENE).alias("driver_genes"),
            genes.n_unique().cast(pl.Int64).alias("n_driver_genes"),
            genes.len().cast(pl.Int64).alias("n_driver_events"),
        ]
        if _DRIVER_MECHANISM in table.columns:
            made += [_count_events(mechanism) for mechanism in _MECHANISMS]
    return table.group_by(ids).agg(made).sort(CELL_LINE_ID)


def list_obs_columns(obs: str | Path) -> tuple[str, ...]:
    """List what `join_obs` can add.

    Parameters
    ----------
    obs : str or Path
        A Parquet file, or a folder of them.

    Returns
    -------
    tuple of str
        The columns of the table, and ``obs_found``.

    Raises
    ------
    SourceError
        If there is no such table, or it cannot be read.
    """
    return (*_scan(obs).collect_schema().names(), OBS_FOUND)


def join_obs(
    frame: pl.DataFrame,
    obs: str | Path,
    columns: Sequence[str] | None = None,
    keys: Sequence[str] = (BARCODE, SAMPLE),
) -> pl.DataFrame:
    """Join columns of `obs_metadata` to rows.

    Parameters
    ----------
    frame : polars.DataFrame
        Rows, a slice of a table.
    obs : str or Path
        A Parquet file, or a folder of them.
    columns : sequence of str, optional
        Those to add; without it all that the frame lacks.
    keys : sequence of str
        Columns that tell rows apart. The obs table may lack the sample and the plate; where both tables have them, they
        must agree, whether or not they are among the keys.

    Returns
    -------
    polars.DataFrame
        The rows in their order, with the columns and ``obs_found``, false where the obs table has no such row and the
        columns are null.

    Raises
    ------
    SourceError
        If there is no such table, or it cannot be read.
    ConfigError
        If a key or a column is missing, or a column is there already.
    BadDataError
        If the obs table has a row of the frame twice.

    Notes
    -----
    In memory are the rows that are joined and the row groups being read; those of other plates and samples are left
    out by their statistics. What is joined to a row does not depend on the other rows.
    """
    import polars as pl

    table = _scan(obs)
    have = table.collect_schema()
    by = _choose_keys(frame, list(have), keys, obs)
    added = _choose_columns(frame, list(have), columns, obs)
    # Keys that are stored otherwise (as dictionaries, say) are brought to the frame's type.
    other = [pl.col(name).cast(frame.schema[name], strict=False) for name in by if have[name] != frame.schema[name]]
    table = table.select(*by, *added).with_columns(other)
    for name in _WHERE:
        if name in by:
            table = table.filter(_within(name, frame[name]))
    wanted = frame.lazy().select(by).unique()
    try:
        found = table.join(wanted, on=by, how="semi").collect(engine="streaming")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"{obs} cannot be read as a Parquet table: {error}") from error
    _refuse_twice(found, by, str(obs))
    found = found.with_columns(pl.lit(value=True).alias(OBS_FOUND))
    joined = frame.join(found, on=by, how="left", maintain_order="left")
    return joined.with_columns(pl.col(OBS_FOUND).fill_null(value=False))


def _join_texts(name: str) -> pl.Expr:
    import polars as pl

    return pl.col(name).cast(pl.String).drop_nulls().unique().sort().str.join(SEPARATOR)


def _count_events(mechanism: str | None) -> pl.Expr:
    import polars as pl

    hits = pl.col(_DRIVER_MECHANISM).eq_missing(pl.lit(mechanism, dtype=pl.String)) & pl.col(_DRIVER_GENE).is_not_null()
    return hits.sum().cast(pl.Int64).alias(f"n_driver_events_{(mechanism or 'unknown').lower()}")


def _scan(obs: str | Path) -> pl.LazyFrame:
    import polars as pl

    path = Path(obs)
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise SourceError(f"{obs} is no Parquet file and no folder of them; give that of obs_metadata, on this machine")
    try:
        table = pl.scan_parquet(files, hive_partitioning=False, glob=False)
        table.collect_schema()
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"{obs} cannot be read as a Parquet table: {error}") from error
    return table


def _choose_keys(frame: pl.DataFrame, have: list[str], keys: Sequence[str], obs: str | Path) -> list[str]:
    for key in keys:
        if key not in frame.columns:
            raise ConfigError(f"the rows have no column {key!r} to join {obs} by; they have {', '.join(frame.columns)}")
        if key not in have and key not in _WHERE:
            raise ConfigError(f"{obs} has no column {key!r} to be joined by; it has {', '.join(have)}")
    by = dict.fromkeys(key for key in keys if key in have)
    if not set(by) - set(_WHERE):
        raise ConfigError(f"rows of {obs} cannot be told apart by {', '.join(keys)}: name the barcode among the keys")
    return [*by, *(name for name in _WHERE if name not in by and name in have and name in frame.columns)]


def _choose_columns(frame: pl.DataFrame, have: list[str], columns: Sequence[str] | None, obs: str | Path) -> list[str]:
    if columns is None:
        return [name for name in have if name not in frame.columns]
    wanted = list(dict.fromkeys(name for name in columns if name != OBS_FOUND))
    for name in wanted:
        if name not in have:
            near = ", ".join(nearest(name, have))
            raise ConfigError(f"{obs} has no column {name!r}; the nearest are {near}")
        if name in frame.columns:
            raise ConfigError(f"the rows have a column {name!r} already: it is not joined; leave it out")
    return wanted


def _within(name: str, values: pl.Series) -> pl.Expr:
    """Between the least and the greatest, which row groups are left out by, and one of them."""
    import polars as pl

    there = values.drop_nulls().unique().sort()
    if there.is_empty():
        return pl.lit(value=False)
    # A text alone would be taken for the name of a column.
    least, greatest = (pl.lit(there[at], dtype=there.dtype) for at in (0, -1))
    within = pl.col(name).is_between(least, greatest)
    return within if there.len() == 1 else within & pl.col(name).is_in(there.implode())


def _refuse_twice(table: pl.DataFrame, by: list[str], what: str) -> None:
    twice = table.select(by).is_duplicated()
    if twice.any():
        values = table.select(by).row(twice.arg_max() or 0, named=True)
        shown = ", ".join(f"{name} {value!r}" for name, value in values.items())
        raise BadDataError(
            escape_controls(
                f"{what} has {int(twice.sum())} rows that others have, too, such as {shown}; keep one of each"
            )
        )
