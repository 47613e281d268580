"""`make demo`: make a small atlas, run the main job on it and on five real cells, and show the tables.

It runs the commands a user would type, prints them first, and then reads the tables as a user would.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ATLAS = "--plates 4,6 --wells 8 --lines 10 --cells 8000 --shard-rows 2000 --seed 1"
CELL_COLUMNS = (
    "drug",
    "dose_um",
    "cell_name",
    "plate",
    "n_genes_by_counts",
    "total_counts",
    "pct_counts_mt",
    "expr_mean",
    "expr_std",
    "expr_skew",
)
RECIPE = "biospark-m3"
TASK = "biospark-m4-ridge"
FEATURE_COLUMNS = (
    "drug",
    "cell_name",
    "plate",
    "fold",
    "delta_mean",
    "expr_mean",
    "expr_mean expr_std",
    "expr_len^2",
    "log1p(expr_mean)",
    "cell_line_id_code",
    "drug_code",
)
GENE_COLUMNS = ("gene_symbol", "ensembl_id", "n_cells_by_counts", "total_counts", "mean_cp10k", "pct_dropout_by_counts")


def tahoe(*arguments: str | Path) -> None:
    """Show a command and run it."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ tahoe {shlex.join(words)}", flush=True)
    if code := subprocess.run([sys.executable, "-m", "tahoe_engine", *words], check=False).returncode:
        sys.exit(f"tahoe {words[0]} ended with {code}")


def show(run: Path, title: str) -> None:
    """Print some rows of `cells`, spread over the table, and the genes with most counts."""
    import polars as pl

    import tahoe_engine as te

    tables = te.Run(run)
    cells = tables.table("cells").select(CELL_COLUMNS)
    genes = tables.table("genes").select(GENE_COLUMNS)
    print(f"\n=== {title}")
    with pl.Config(tbl_rows=10, tbl_cols=-1, tbl_width_chars=160, tbl_hide_dataframe_shape=True, float_precision=3):
        n_cells = cells.select(pl.len()).collect().item()
        print(f"cells: {n_cells:,} rows, five of them")
        print(cells.gather_every(max(1, n_cells // 5)).head(5).collect())
        print("genes: the ten with most counts")
        print(genes.sort("total_counts", descending=True).head(10).collect())
    print(f"the tables: {run / 'cells'}/*.parquet and {run / 'genes' / 'genes.parquet'}")


def show_contrasts(run: Path) -> None:
    """Print the genes that the strongest contrasts moved most."""
    import polars as pl

    import tahoe_engine as te

    tables = te.Run(run)
    index = tables.table("contrasts").select("contrast_id", "drug", "dose_um", "cell_line_id", "plate")
    genes = tables.table("genes").select("gene", "gene_symbol")
    hits = tables.table("contrasts/results").drop("plate").filter(pl.col("pvals_adj") < 0.05)  # noqa: PLR2004 - as usual
    best = hits.sort("pvals").head(10).join(index, on="contrast_id").join(genes, on="gene").sort("pvals")
    best = best.with_columns((-pl.col("pvals_adj").log10()).alias("-log10 pvals_adj"))
    columns = ("drug", "dose_um", "cell_line_id", "plate", "gene_symbol", "logfoldchanges", "-log10 pvals_adj")
    with pl.Config(tbl_rows=10, tbl_cols=-1, tbl_width_chars=160, tbl_hide_dataframe_shape=True, float_precision=3):
        print("\ncontrasts: the ten changes that are surest, each against DMSO_TF of its plate and line")
        print(best.select(columns).collect())


def show_features(run: Path) -> None:
    """Print a few rows that a model would train on."""
    import polars as pl

    import tahoe_engine as te

    features = te.load_features(run, RECIPE)
    train = features.table("train").select(FEATURE_COLUMNS).collect()
    with pl.Config(tbl_cols=-1, tbl_width_chars=160, tbl_hide_dataframe_shape=True, float_precision=3):
        n_columns = len(features.columns())
        print(f"\nfeatures {RECIPE}: five training rows; with codes spread out the matrix has {n_columns} columns")
        print(train.gather_every(max(1, train.height // 5)).head(5))


def main() -> None:
    """Run the demonstration; what an earlier one left is removed first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, required=True, help="where five real cells are looked for")
    parser.add_argument("--into", type=Path, required=True)
    asked = parser.parse_args()
    shutil.rmtree(asked.into, ignore_errors=True)

    atlas, runs = asked.into / "atlas", {"a made-up atlas": asked.into / "run"}
    tahoe("synth", atlas, *ATLAS.split())
    tahoe("cells", atlas, "--into", asked.into / "run")
    tahoe("groups", "--into", asked.into / "run")
    tahoe("contrasts", "--into", asked.into / "run")
    for recipe in (RECIPE, "biospark-m4"):
        tahoe("features", "--into", asked.into / "run", "--recipe", recipe)
    tahoe("train", "--into", asked.into / "run", "--task", TASK)
    five = asked.shared / "tahoe" / "five_real_cells.parquet"
    if five.is_file():
        runs["five real cells of Tahoe-100M"] = asked.into / "five_real_cells"
        tahoe("cells", five, "--into", asked.into / "five_real_cells", "--workers", "0")
    else:
        print(f"\n{five} is not there: only the made-up atlas is shown")
    for title, run in runs.items():
        show(run, title)
    show_contrasts(asked.into / "run")
    show_features(asked.into / "run")
    print(f"\nmodels {TASK}: read {asked.into}/run/models/{TASK}/card.md")


if __name__ == "__main__":
    main()
