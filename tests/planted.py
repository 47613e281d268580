"""Estimated beside planted fold changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from scipy.stats import spearmanr

import tahoe_engine as te
from tahoe_engine.schema import CONTROL_DRUG

if TYPE_CHECKING:
    from pathlib import Path

FEWEST_COUNTS = 20  # of the control


def correlate(into: Path, atlas: Path, *, of_another_drug: bool = False) -> pl.DataFrame:
    """Spearman's correlation of estimated and planted log2 fold changes.

    Over genes with at least 20 counts in the control that the law moves (`truth/truth.json`: neither mitochondrial
    genes nor MALAT1), one row a contrast. Genes with no planted change have no order among themselves: they are left
    out where a drug does not move all genes.
    """
    run = te.Run(into)
    truth = {path.stem: pl.read_parquet(path) for path in sorted((atlas / "truth").glob("*.parquet"))}
    groups, moments = run.table("groups").collect(), run.table("groups/moments").collect()
    index, results = run.table("contrasts").collect(), run.table("contrasts/results").collect()
    moved = truth["genes"].filter(pl.col("kind").is_in(["coding", "non-coding"])).select("gene")
    drugs = sorted(set(index["drug"]))
    rows = []
    for contrast in index.to_dicts():
        key = {"cell_line_id": contrast["cell_line_id"], "plate": contrast["plate"]}
        controls = groups.filter(drug=CONTROL_DRUG, **key)["group_id"].implode()
        counts = moments.filter(pl.col("group_id").is_in(controls)).group_by("gene").agg(pl.col("sum_counts").sum())
        drug = contrast["drug"]
        if of_another_drug:
            drug = drugs[(drugs.index(drug) + 1) % len(drugs)]
        found = (
            results.filter(contrast_id=contrast["contrast_id"])
            .join(counts.filter(pl.col("sum_counts") >= FEWEST_COUNTS), on="gene")
            .join(moved, on="gene")
            .join(truth["drug_genes"].filter(drug=drug), on="gene")
        )
        told = spearmanr(found["logfoldchanges"], found["log2_fold_change"]).statistic if found.height else None
        rows.append(
            {
                **{name: contrast[name] for name in ("drug", "dose_um", *key, "n_cells_treated", "n_cells_control")},
                "n_genes": found.height,
                "spearman": told,
            }
        )
    return pl.DataFrame(rows)
