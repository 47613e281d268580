"""Genes chosen from the moments of the training groups: no cell that is tested has a say."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import ConfigError, StageError
from tahoe_engine.groups.gather import GROUP, find_genes, list_moments, read_index
from tahoe_engine.groups.select import MOMENTS_OF, select_genes
from tahoe_engine.run import Layout
from tahoe_engine.schema import ENSEMBL_ID, GENE_SYMBOL
from tahoe_engine.vocabulary.joined import load_run_genes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl

    from tahoe_engine.features.blocks import Expression

FORMAT: Final = 1
NUMBERS: Final = ("mean", "var", "dispersions_norm")


@dataclass(frozen=True)
class FittedGenes:
    """The genes of a block, and what they were chosen by.

    Parameters
    ----------
    name : str
        Of the block.
    flavor : {"seurat", "cell_ranger"}
        How they were chosen.
    asked : int
        How many were wanted; fewer genes may have a dispersion.
    n_groups, n_cells : int
        Groups they were chosen from, and their cells.
    genes : tuple of int
        Token ids, ascending.
    columns : tuple of str
        Their Ensembl ids, which are the names of the columns.
    gene_symbols : tuple of str
        Their symbols; not all differ.
    mean, var : tuple of float
        Moments over these cells: of counts per ten thousand for seurat, of their log1p for cell_ranger.
    dispersions_norm : tuple of float
        Normalised dispersions; infinite where cell_ranger has a bin whose other genes do not differ.
    """

    name: str
    flavor: str
    asked: int
    n_groups: int
    n_cells: int
    genes: tuple[int, ...]
    columns: tuple[str, ...]
    gene_symbols: tuple[str, ...]
    mean: tuple[float, ...]
    var: tuple[float, ...]
    dispersions_norm: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.genes)

    def describe(self) -> dict[str, Any]:
        """Give what a report says of them.

        Returns
        -------
        dict
            JSON-able.
        """
        return {
            "genes": len(self),
            "asked": self.asked,
            "flavor": self.flavor,
            "groups": self.n_groups,
            "cells": self.n_cells,
            "digest": digest_genes(self),
        }


def choose_genes(root: str | Path, block: Expression, train: pl.DataFrame | Sequence[int]) -> FittedGenes:
    """Choose genes that vary among the cells of the training groups.

    Parameters
    ----------
    root : str or Path
        A run with the stage `groups`.
    block : Expression
        How many genes, and how.
    train : polars.DataFrame or sequence of int
        Ids of the training groups (``group_id``).

    Returns
    -------
    FittedGenes
        The genes of `tahoe_engine.select_genes` over all cells of these groups together, among the genes that they
        have counts of. Not more than were asked for: of genes that tie for the last place, those of the lowest ids.

    Raises
    ------
    ConfigError
        If there is no such group, or less than two cells, or no gene has a dispersion.
    StageError
        If the stage is not finished, or its tables are not what its manifest says.

    Notes
    -----
    One pass over the moments of these groups, part by part; the order of addition depends on them alone, so that
    nothing about other groups shows, not even in the last bit.

    Examples
    --------
    >>> from tahoe_engine.features.blocks import Expression
    >>> choose_genes("demo/run", Expression(kind="expression", name="genes", genes=200), [0, 1, 5])  # doctest: +SKIP
    """
    import numpy as np
    import polars as pl

    layout = Layout(Path(root))
    vocabulary = load_run_genes(layout.metadata)
    n_cells = _count_cells(layout, train)
    if sum(n_cells.values()) < 2:  # noqa: PLR2004 - one cell does not vary
        raise ConfigError(f"block {block.name!r}: the training groups have less than two cells to choose genes by")
    columns = MOMENTS_OF[block.flavor]
    mean, var = _pool_moments(layout, n_cells, vocabulary["gene"].to_numpy(), columns)
    counted = mean > 0
    table = vocabulary.filter(counted).with_columns(
        pl.Series(columns[0], mean[counted]), pl.Series(columns[1], var[counted])
    )
    if not table.height:
        raise ConfigError(f"block {block.name!r}: the training groups have no counts to choose genes by")
    norm = select_genes(table, flavor=block.flavor, n_top_genes=block.genes)
    known = norm.filter(pl.col("dispersions_norm").is_not_null())
    best = known.sort("dispersions_norm", "gene", descending=[True, False]).head(block.genes).sort("gene")
    if not best.height:
        raise ConfigError(
            f"block {block.name!r}: no gene of the training groups has a dispersion; choose another flavor, or train "
            "on more cells"
        )
    values = {column: best[column].to_numpy().astype(np.float64).tolist() for column in (*columns, "dispersions_norm")}
    return FittedGenes(
        name=block.name,
        flavor=block.flavor,
        asked=block.genes,
        n_groups=len(n_cells),
        n_cells=sum(n_cells.values()),
        genes=tuple(best["gene"].to_list()),
        columns=name_genes(best),
        gene_symbols=tuple(best[GENE_SYMBOL].to_list()),
        mean=tuple(values[columns[0]]),
        var=tuple(values[columns[1]]),
        dispersions_norm=tuple(values["dispersions_norm"]),
    )


def name_genes(table: pl.DataFrame) -> tuple[str, ...]:
    """Name columns of genes.

    Parameters
    ----------
    table : polars.DataFrame
        Rows of the run's vocabulary, as `load_run_genes` gives it.

    Returns
    -------
    tuple of str
        Ensembl ids; of a gene without one its token.
    """
    return tuple(name or f"gene-{gene}" for name, gene in table.select(ENSEMBL_ID, "gene").iter_rows())


def encode_genes(fitted: FittedGenes) -> bytes:
    """Write chosen genes down.

    Parameters
    ----------
    fitted : FittedGenes
        Which.

    Returns
    -------
    bytes
        JSON; equal ones for equal genes. Numbers are hexadecimal, hence exact.

    Examples
    --------
    >>> some = FittedGenes("expr", "seurat", 1, 2, 9, (3,), ("ENSG1",), ("A",), (0.1,), (2.0,), (float("inf"),))
    >>> decode_genes(encode_genes(some)) == some
    True
    """
    content = {"format": FORMAT, **asdict(fitted)}
    for name in NUMBERS:
        content[name] = [value.hex() for value in content[name]]
    return (json.dumps(content, sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode()


def decode_genes(content: bytes) -> FittedGenes:
    """Read chosen genes back.

    Parameters
    ----------
    content : bytes
        What `encode_genes` gave.

    Returns
    -------
    FittedGenes
        Equal to what was written, in every bit.

    Raises
    ------
    StageError
        If it is damaged.
    """
    try:
        told: dict[str, Any] = json.loads(content)
        if told.pop("format") != FORMAT:
            raise ValueError("another format")  # noqa: TRY301 - told like any other damage
        for name in NUMBERS:
            told[name] = [float.fromhex(text) for text in told[name]]
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in told.items()
        }
        fitted = FittedGenes(**values)
        _require_shape(fitted)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise StageError(f"the chosen genes are damaged ({error}); run `tahoe features` again with --new") from error
    return fitted


def digest_genes(fitted: FittedGenes) -> str:
    """Give the sha256 of chosen genes.

    Parameters
    ----------
    fitted : FittedGenes
        Which.

    Returns
    -------
    str
        Hexadecimal.
    """
    return hashlib.sha256(encode_genes(fitted)).hexdigest()


def _require_shape(fitted: FittedGenes) -> None:
    kinds = {
        "str": str,
        "int": int,
        "tuple[int, ...]": int,
        "tuple[str, ...]": str,
        "tuple[float, ...]": float,
    }
    for field in fields(fitted):
        value = getattr(fitted, field.name)
        several = str(field.type).startswith("tuple")
        if isinstance(value, tuple) != several or (several and len(value) != len(fitted.genes)):
            raise ValueError(f"{field.name} has another length")
        if not all(type(one) is kinds[str(field.type)] for one in (value if several else (value,))):
            raise ValueError(f"{field.name} has another type")
    if list(fitted.genes) != sorted(set(fitted.genes)):
        raise ValueError("the genes are not in order")


def _count_cells(layout: Layout, train: pl.DataFrame | Sequence[int]) -> dict[int, int]:
    """Give the cells of each training group."""
    import polars as pl

    ids = pl.Series(train[GROUP] if isinstance(train, pl.DataFrame) else train, dtype=pl.Int32).unique().sort()
    index = read_index(layout)
    known = index.filter(pl.col(GROUP).is_in(ids.implode())).sort(GROUP)
    strange = ids.filter(~ids.is_in(known[GROUP].implode()))
    if len(strange):
        raise ConfigError(f"the run has no group {strange[0]}; the groups were computed anew since")
    if not len(ids):
        raise ConfigError("no group of the run is trained on, so that there is nothing to choose genes by")
    return dict(known.select(GROUP, pl.col("n_cells").cast(pl.Int64)).rows())


def _pool_moments(
    layout: Layout, n_cells: dict[int, int], tokens: np.ndarray, columns: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Pool mean and variance of all genes over groups."""
    import numpy as np

    from tahoe_engine.groups.pooled import PooledMoments

    pooled = PooledMoments(len(tokens))
    for frame in list_moments(layout).read_each(list(n_cells), columns):
        places = find_genes(tokens, frame["gene"].to_numpy())
        mean, var = (frame[name].fill_null(0.0).to_numpy() for name in columns)
        groups = frame[GROUP].to_numpy()
        cuts = np.flatnonzero(np.diff(groups)) + 1
        for start, end in zip([0, *cuts], [*cuts, len(groups)], strict=True):
            if start < end:
                pooled.add(n_cells[int(groups[start])], places[start:end], mean[start:end], var[start:end])
    total = sum(n_cells.values())
    return pooled.means(total), pooled.variances(total)
