"""The tables that are joined to the cells: chosen and checked here once, copied into the run, read by every worker."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tahoe_engine import schema
from tahoe_engine.errors import StageError
from tahoe_engine.run.manifest import digest_of
from tahoe_engine.run.parts import replace_file

if TYPE_CHECKING:
    import polars as pl

    from tahoe_engine import _rust
    from tahoe_engine.run.layout import Layout

TABLES = ("genes", "samples", "drugs", "cell_lines")


@dataclass(frozen=True)
class Joined:
    """The gene, sample, drug and cell-line tables of a run.

    Parameters
    ----------
    genes, samples, drugs, cell_lines : pl.DataFrame
        As `tahoe_engine.vocabulary` loads them.
    """

    genes: pl.DataFrame
    samples: pl.DataFrame
    drugs: pl.DataFrame
    cell_lines: pl.DataFrame

    @cached_property
    def digests(self) -> dict[str, str]:
        """A digest of the values of each table; the file's bytes depend on who wrote it."""
        return {name: digest_of(getattr(self, name).to_dict(as_series=False)) for name in TABLES}

    @cached_property
    def core_tables(self) -> tuple[_rust.Vocabulary, _rust.Joins]:
        """What the core needs of them."""
        from tahoe_engine import _rust
        from tahoe_engine.vocabulary.genes import mitochondrial

        tokens = self.genes[schema.TOKEN_ID].to_list()
        names = self.cell_lines.select(schema.CELLOSAURUS_ID, schema.CELL_NAME).drop_nulls()
        doses = self.samples.select(schema.SAMPLE, "dose_um").drop_nulls()
        return (
            _rust.Vocabulary(tokens, mitochondrial(self.genes)),
            _rust.Joins(dict(names.unique(maintain_order=True).rows()), dict(doses.rows())),
        )


def load_joined(folder: str | Path | None, genes: str | Path | None) -> Joined:
    """Load the tables to join.

    Parameters
    ----------
    folder : str or Path, optional
        The source's own metadata; without it Tahoe's.
    genes : str or Path, optional
        Gene table of a sister data set; without it the one in `folder`, or Tahoe's.

    Returns
    -------
    Joined
        Checked tables.

    Raises
    ------
    SourceError
        If a table is missing or wrong.
    """
    from tahoe_engine.vocabulary.genes import load_genes
    from tahoe_engine.vocabulary.tables import load_cell_lines, load_drugs, load_samples

    own = None if folder is None else Path(folder) / "gene_metadata.parquet"
    return Joined(
        genes=load_genes(genes or own),
        samples=load_samples(folder),
        drugs=load_drugs(folder),
        cell_lines=load_cell_lines(folder),
    )


def copy_joined(joined: Joined, layout: Layout) -> list[dict[str, Any]]:
    """Write the joined tables into the run.

    Parameters
    ----------
    joined : Joined
        What is joined; the recorded plan has made sure that it is what was joined before.
    layout : Layout
        The run.

    Returns
    -------
    list of dict
        name, rows, size and sha256 of each file.
    """
    layout.metadata.mkdir(exist_ok=True)
    files = []
    for name in TABLES:
        table: pl.DataFrame = getattr(joined, name)
        buffer = io.BytesIO()
        table.write_parquet(buffer, compression="zstd", statistics=False)
        content = buffer.getvalue()
        replace_file(layout, layout.metadata / f"{name}.parquet", content)
        sha256 = hashlib.sha256(content).hexdigest()
        files.append({"name": f"{name}.parquet", "rows": table.height, "size": len(content), "sha256": sha256})
    return files


def load_run_genes(folder: Path) -> pl.DataFrame:
    """Load the genes that a run's cells were counted over.

    Parameters
    ----------
    folder : Path
        ``RUN/metadata``.

    Returns
    -------
    polars.DataFrame
        ``gene_symbol``, ``ensembl_id``, ``gene`` Int32 (its token id, ascending).

    Raises
    ------
    StageError
        If the table is gone or damaged.
    """
    import polars as pl

    path = folder / "genes.parquet"
    try:
        table = pl.read_parquet(path, glob=False)
        return table.select(
            pl.col(schema.GENE_SYMBOL).fill_null(""),
            schema.ENSEMBL_ID,
            pl.col(schema.TOKEN_ID).cast(pl.Int32).alias("gene"),
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StageError(f"{path}: cannot be read ({error}); run `tahoe cells` again to restore it") from error


@lru_cache(maxsize=2)
def read_core_tables(folder: str, key: str) -> tuple[_rust.Vocabulary, _rust.Joins]:
    """Build the core's tables from a run's metadata, once a process.

    Parameters
    ----------
    folder : str
        ``RUN/metadata``.
    key : str
        Digest of the tables: what was joined to the first cell is joined to the last, whatever becomes of the files.

    Returns
    -------
    Vocabulary, Joins
        Immutable.

    Raises
    ------
    StageError
        If the tables are not those.
    """
    import polars as pl

    try:
        joined = Joined(*(pl.read_parquet(Path(folder) / f"{name}.parquet") for name in TABLES))
    except pl.exceptions.PolarsError as error:
        raise StageError(f"{folder}: a table is damaged ({error}); run the same command again") from error
    if digest_of(joined.digests) != key:
        raise StageError(f"{folder}: the tables are not those this launch has written; run the same command again")
    return joined.core_tables
