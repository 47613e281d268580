"""The genes of an exported file: all of the run's vocabulary, in its order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tahoe_engine.errors import ConfigError
from tahoe_engine.export.frames import FrameWriter
from tahoe_engine.export.h5ad import name_uniquely
from tahoe_engine.groups.select import CHOSEN, select_genes
from tahoe_engine.schema import ENSEMBL_ID
from tahoe_engine.vocabulary.joined import load_run_genes

if TYPE_CHECKING:
    import polars as pl

    from tahoe_engine.export.h5ad import Target
    from tahoe_engine.run import Run

    Flavor = Literal["seurat", "cell_ranger"]


def load_var(run: Run, flavor: Flavor | None = None, n_top_genes: int | None = None) -> pl.DataFrame:
    """Load the genes that the run's cells were counted over.

    Parameters
    ----------
    run : Run
        With the stage `cells`.
    flavor, n_top_genes : str and int, optional
        Add the selection of genes, from the run's table of genes.

    Returns
    -------
    polars.DataFrame
        ``gene_symbol``, ``ensembl_id``, ``gene`` Int32 (its token id, ascending).

    Raises
    ------
    StageError
        If the table is gone or damaged, or genes are to be selected and the run has no table of their moments.
    ConfigError
        If there is no such selection.
    """
    import polars as pl

    genes = load_run_genes(run.path / "metadata")
    if flavor is None:
        if n_top_genes is not None:
            raise ConfigError("--n-top-genes: say how they are selected with --flavor seurat or cell_ranger")
        return genes
    counted = run.table("genes").filter(pl.col("n_cells_by_counts") > 0).collect()
    chosen = select_genes(counted, flavor=flavor, n_top_genes=n_top_genes).select("gene", *CHOSEN)
    selected = genes.join(chosen, on="gene", how="left", validate="1:1", maintain_order="left")
    # A gene that nothing was counted of is not chosen, and its mean is known.
    return selected.with_columns(pl.col(CHOSEN[0]).fill_null(value=False), pl.col("means").fill_null(0.0))


def write_var(file: Target, genes: pl.DataFrame) -> None:
    """Write ``var``; its names are the Ensembl ids.

    Parameters
    ----------
    file : Target
        An h5ad file.
    genes : polars.DataFrame
        As `load_var` gives it, and possibly further columns.
    """
    tokens = genes["gene"].to_list()
    ids = [name or f"gene-{token}" for name, token in zip(genes[ENSEMBL_ID].to_list(), tokens, strict=True)]
    names = name_uniquely(ids, tokens)
    same = ENSEMBL_ID if names == genes[ENSEMBL_ID].to_list() else None
    writer = FrameWriter(file, "var", dict(genes.schema), {}, n_rows=genes.height, compression="none", named_by=same)
    writer.append(names, genes)


def write_no_var(file: Target) -> None:
    """Write ``var`` without genes.

    Parameters
    ----------
    file : Target
        An h5ad file.
    """
    FrameWriter(file, "var", {}, {}, n_rows=0, compression="none")
