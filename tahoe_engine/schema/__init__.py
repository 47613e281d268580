"""Names and types of every table: the one place where columns, also foreign ones, are spelt.

Types are words of Polars (`String`, `Int64`, ...), kept as text so that reading this module imports nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name : str
        As it stands in the file.
    dtype : str
        Name of a Polars type.
    nullable : bool
        Whether a null has a meaning there.
    """

    name: str
    dtype: str
    nullable: bool = False


@dataclass(frozen=True)
class Table:
    """One table: its name and its columns, in order.

    Examples
    --------
    >>> CELLS.names[:3]
    ('shard', 'row', 'BARCODE_SUB_LIB_ID')
    >>> CELLS_SUMMARY.names[-1]
    'expr_max'
    """

    name: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(column.name for column in self.columns)

    def select(self, names: tuple[str, ...]) -> Table:
        """Give the table with only these columns, in the table's own order."""
        return Table(self.name, tuple(column for column in self.columns if column.name in names))


# --- foreign names -----------------------------------------------------------------------------------------------
# Of the shards of Tahoe-100M.
GENES_LIST: Final = "genes"
EXPRESSIONS: Final = "expressions"
DRUG: Final = "drug"
SAMPLE: Final = "sample"
BARCODE: Final = "BARCODE_SUB_LIB_ID"
CELL_LINE_ID: Final = "cell_line_id"
MOA_FINE: Final = "moa-fine"
SMILES: Final = "canonical_smiles"
PUBCHEM_CID: Final = "pubchem_cid"
PLATE: Final = "plate"
HUGGINGFACE_KEY: Final = "huggingface"

# Of its metadata tables.
GENE_SYMBOL: Final = "gene_symbol"
ENSEMBL_ID: Final = "ensembl_id"
TOKEN_ID: Final = "token_id"
DRUG_AND_DOSE: Final = "drugname_drugconc"
CELL_NAME: Final = "cell_name"
CELLOSAURUS_ID: Final = "Cell_ID_Cellosaur"
DEPMAP_ID: Final = "Cell_ID_DepMap"
MOA_BROAD: Final = "moa-broad"

CONTROL_DRUG: Final = "DMSO_TF"

# --- the source --------------------------------------------------------------------------------------------------
SHARDS: Final = Table(
    "shards",
    (
        Column(GENES_LIST, "List(Int64)"),
        Column(EXPRESSIONS, "List(Float32)"),
        Column(DRUG, "String"),
        Column(SAMPLE, "String"),
        Column(BARCODE, "String"),
        Column(CELL_LINE_ID, "String"),
        Column(MOA_FINE, "String", nullable=True),  # sister data sets may lack the column
        Column(SMILES, "String"),
        Column(PUBCHEM_CID, "String"),
        Column(PLATE, "String"),
    ),
)

# What each kind of statistics reads of a shard; `min_genes` needs nothing more, list lengths are in the levels.
KEYS_READ: Final = (BARCODE, SAMPLE, DRUG, CELL_LINE_ID, PLATE, MOA_FINE)
COLUMNS_READ: Final = {
    "summary": (EXPRESSIONS, *KEYS_READ),
    "qc": (GENES_LIST, EXPRESSIONS, *KEYS_READ),
    "all": (GENES_LIST, EXPRESSIONS, *KEYS_READ),
}

# --- the tables of a run -----------------------------------------------------------------------------------------
CELLS: Final = Table(
    "cells",
    (
        Column("shard", "String"),
        Column("row", "Int64"),
        Column(BARCODE, "String"),
        Column(SAMPLE, "String"),
        Column(DRUG, "String"),
        Column("dose_um", "Float64", nullable=True),
        Column(CELL_LINE_ID, "String"),
        Column(CELL_NAME, "String", nullable=True),
        Column(PLATE, "String"),
        Column(MOA_FINE, "String", nullable=True),  # sister data sets may lack the column
        Column("n_genes_by_counts", "UInt32"),
        Column("total_counts", "UInt64"),
        Column("log1p_total_counts", "Float64"),
        Column("total_counts_mt", "UInt64"),
        Column("pct_counts_mt", "Float64", nullable=True),
        Column("pct_counts_in_top_50_genes", "Float64", nullable=True),
        Column("expr_len", "UInt32"),
        Column("expr_mean", "Float64", nullable=True),
        Column("expr_std", "Float64", nullable=True),
        Column("expr_skew", "Float64", nullable=True),
        Column("expr_max", "Float64", nullable=True),
        Column("mean_log1p_cp10k", "Float64", nullable=True),
    ),
)

# `--stats summary` reads the expressions column alone, hence neither tokens nor genes.
CELLS_SUMMARY: Final = CELLS.select(
    (
        *("shard", "row", BARCODE, SAMPLE, DRUG, "dose_um", CELL_LINE_ID, CELL_NAME, PLATE, MOA_FINE),
        *("total_counts", "expr_len", "expr_mean", "expr_std", "expr_skew", "expr_max"),
    )
)

GENES: Final = Table(
    "genes",
    (
        Column("gene", "Int32"),
        Column(ENSEMBL_ID, "String"),
        Column(GENE_SYMBOL, "String"),
        Column("n_cells_by_counts", "UInt64"),
        Column("total_counts", "UInt64"),
        Column("mean_counts", "Float64", nullable=True),
        Column("pct_dropout_by_counts", "Float64", nullable=True),
        Column("mean_cp10k", "Float64", nullable=True),
        Column("var_cp10k", "Float64", nullable=True),
        Column("mean_log1p_cp10k", "Float64", nullable=True),
        Column("var_log1p_cp10k", "Float64", nullable=True),
    ),
)

# Of the default keys; `groups_index` gives the table of others.
GROUPS: Final = Table(
    "groups",
    (
        Column("group_id", "Int32"),
        Column(SAMPLE, "String"),
        Column(CELL_LINE_ID, "String"),
        Column(DRUG, "String", nullable=True),  # null where the cells of a group have several
        Column("dose_um", "Float64", nullable=True),
        Column(PLATE, "String", nullable=True),
        Column("n_cells", "UInt64"),
        Column("total_counts", "UInt64"),
    ),
)

# Sparse: a gene without counts in a group has no row there.
MOMENTS: Final = Table(
    "groups/moments",
    (
        Column("group_id", "Int32"),
        Column("gene", "Int32"),
        Column("n_cells_by_counts", "UInt32"),
        Column("sum_counts", "UInt64"),
        Column("sum_sq_counts", "UInt64"),
        Column("mean_cp10k", "Float64"),
        Column("var_cp10k", "Float64", nullable=True),  # null in a group of one cell
        Column("mean_log1p_cp10k", "Float64"),
        Column("var_log1p_cp10k", "Float64", nullable=True),
    ),
)

CONTRASTS: Final = Table(
    "contrasts",
    (
        Column("contrast_id", "Int32"),
        Column(DRUG, "String", nullable=True),
        Column("dose_um", "Float64", nullable=True),
        Column(CELL_LINE_ID, "String", nullable=True),  # null where a contrast pools several
        Column(PLATE, "String", nullable=True),
        Column("n_cells_treated", "UInt64"),
        Column("n_cells_control", "UInt64"),
        Column("n_wells_treated", "UInt32", nullable=True),  # null where groups are not by well
        Column("n_wells_control", "UInt32", nullable=True),
        Column("method", "String"),
        Column("df_residual", "Float64", nullable=True),
        Column("df_prior", "Float64", nullable=True),
        Column("flags", "String"),
    ),
)

RESULTS: Final = Table(
    "contrasts/results",
    (
        Column("contrast_id", "Int32"),
        Column("gene", "Int32"),
        Column("logfoldchanges", "Float64", nullable=True),  # base 2
        Column("scores", "Float64", nullable=True),  # t
        Column("pvals", "Float64", nullable=True),
        Column("pvals_adj", "Float64", nullable=True),  # Benjamini-Hochberg within the contrast
        Column("mean_treated", "Float64", nullable=True),  # of log1p(CP10k) for welch, of log2-CPM for limma
        Column("mean_control", "Float64", nullable=True),
        Column("lfc_shrunken", "Float64", nullable=True),
    ),
)

RESULTS_LIMMA: Final = Table(
    RESULTS.name, (*RESULTS.columns, Column("AveExpr", "Float64"), Column("B", "Float64", nullable=True))
)

TABLES: Final = {table.name: table for table in (CELLS, GENES, GROUPS, MOMENTS, CONTRASTS, RESULTS)}
# Keys that groups may have, and what they are groups by where nothing else is said.
GROUP_KEYS: Final = (SAMPLE, CELL_LINE_ID)
GROUPABLE: Final = (SAMPLE, CELL_LINE_ID, DRUG, "dose_um", PLATE, CELL_NAME, MOA_FINE, "shard")
STATS: Final = ("summary", "qc", "all")

# Of the tables of features; their columns are those of the recipe.
FEATURES: Final = "features"
SPLITS: Final = ("train", "validation", "test")  # by their code: 0, 1, 2
FOLD: Final = "fold"
SPLIT: Final = "split"
TRAIN, VALIDATION, TEST = range(3)
# Of the models and what they predict; the tables of the stage are in `tahoe_engine.schema.models`.
MODELS: Final = "models"
Y: Final = "y"
Y_PRED: Final = "y_pred"
MODEL: Final = "model"
FIT_SECONDS: Final = "fit_seconds"  # what a clock told: the digest of a table leaves it out
# What the engine itself knows of rows while it makes features of them.
ROW_KEY: Final = "row_key"  # hash of what tells a row from others
ROW_NUMBER: Final = "row_number"  # among those that are kept
ROW: Final = "row"  # of a shard; of a table that is a file: among all of them
CONTROL: Final = "is_control"


def cells_table(stats: str) -> Table:
    """Give the cells table that a kind of statistics writes.

    Parameters
    ----------
    stats : {"summary", "qc", "all"}
        As in ``tahoe cells --stats``.

    Returns
    -------
    Table
        `CELLS_SUMMARY` for ``"summary"``, else `CELLS`.

    Examples
    --------
    >>> len(cells_table("summary").columns), len(cells_table("all").columns)
    (16, 22)
    """
    return CELLS_SUMMARY if stats == "summary" else CELLS


def groups_index(keys: tuple[str, ...]) -> Table:
    """Give the index of groups by these keys.

    Parameters
    ----------
    keys : tuple of str
        Columns of the cells table.

    Returns
    -------
    Table
        ``group_id``, the keys, then of drug, dose and plate those that are no keys, and the totals.

    Examples
    --------
    >>> groups_index(("drug", "cell_line_id")).names
    ('group_id', 'drug', 'cell_line_id', 'dose_um', 'plate', 'n_cells', 'total_counts')
    """
    cells = {column.name: column for column in CELLS.columns}
    own = tuple(cells[key] for key in keys)
    first, *rest = GROUPS.columns
    return Table(GROUPS.name, (first, *own, *(c for c in rest if c.name not in (*keys, *GROUP_KEYS))))
