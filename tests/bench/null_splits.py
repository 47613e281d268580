"""Splits of control wells that differ by nothing: what share of P-values is below .05, and are there discoveries?

`python -m bench.null_splits`, from the folder `tests`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from scipy.stats import false_discovery_control

from bench.report import write_report
from tahoe_engine.contrasts.limma import filter_by_expr, fit_counts
from tahoe_engine.synth import write_atlas

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL: Final = 0.05
CALLED: Final = (0.03, 0.07)  # bounds of the mean share of P below LEVEL
MOST_WITH_HITS: Final = 5  # splits of 40 that may have a gene at FDR .05
PLATES: Final = tuple(range(1, 15))


def make_controls(folder: Path, *, cells: int, seed: int = 1, well_effect: float = 0.1) -> pl.DataFrame:
    """Make an atlas of two control wells on each of 14 plates, and sum its counts by well: gene, then the wells."""
    # With two wells a plate, both are DMSO_TF; one line, as a fit is of one.
    write_atlas(folder, plates=PLATES, wells=2, lines=1, cells=cells, seed=seed, well_effect=well_effect)
    sums = [
        pl.scan_parquet(shard)
        .select((pl.col("plate") + "/" + pl.col("sample")).alias("well"), "genes", "expressions")
        .explode("genes", "expressions")
        .filter(pl.col("expressions") > 0)  # the marker entry is negative
        .group_by("well", "genes")
        .agg(pl.col("expressions").cast(pl.Float64).sum())
        .collect()
        for shard in sorted((folder / "data").glob("*.parquet"))
    ]
    whole = pl.concat(sums).group_by("well", "genes").agg(pl.col("expressions").sum())
    wide = whole.sort("well", "genes").pivot(on="well", index="genes", values="expressions", maintain_order=True)
    return wide.sort("genes").fill_null(0.0)


def split_wells(plates: list[str], rng: np.random.Generator, *, paired: bool) -> NDArray[np.float64]:
    """Put half of the wells to one side: one of each plate, or any."""
    side = np.zeros(len(plates))
    if not paired:
        side[rng.permutation(len(plates))[: len(plates) // 2]] = 1.0
        return side
    for plate in dict.fromkeys(plates):
        side[rng.choice([i for i, name in enumerate(plates) if name == plate])] = 1.0
    return side


def judge_split(
    counts: NDArray[np.float64], plates: list[str], side: NDArray[np.float64], *, paired: bool, robust: bool
) -> dict[str, float]:
    """Test one side against the other, within plates if the split is paired."""
    names = list(dict.fromkeys(plates))
    blocks = np.array([[plate == name for name in names] for plate in plates], dtype=float)
    design = np.column_stack([side, blocks if paired else np.ones(side.size)])
    groups = np.column_stack([side, 1 - side])
    kept = filter_by_expr(counts, groups)
    contrast = np.zeros((design.shape[1], 1))
    contrast[0] = 1.0
    tested = fit_counts(counts[kept], design).test(contrast, robust=robust)
    p_values = tested.p_value[:, 0]
    return {
        "genes": int(kept.sum()),
        "share": float((p_values < LEVEL).mean()),
        "hits": int((false_discovery_control(p_values) < LEVEL).sum()),
        "df_prior": float(np.max(tested.df_prior)),
    }


def judge_splits(controls: pl.DataFrame, *, splits: int, paired: bool, robust: bool, seed: int = 0) -> dict[str, Any]:
    """Test random splits of one kind; the same seed gives the same splits."""
    wells = controls.columns[1:]
    plates = [well.split("/")[0] for well in wells]
    counts = controls.select(wells).to_numpy()
    rng = np.random.default_rng(seed)
    done = [
        judge_split(counts, plates, split_wells(plates, rng, paired=paired), paired=paired, robust=robust)
        for _ in range(splits)
    ]
    shares = [one["share"] for one in done]
    return {
        "design": "split + plate" if paired else "split",
        "prior": "robust" if robust else "plain",
        "wells": len(wells),
        "splits": splits,
        "genes": int(np.median([one["genes"] for one in done])),
        "mean share P < .05": float(np.mean(shares)),
        "lowest": float(np.min(shares)),
        "highest": float(np.max(shares)),
        "splits with hits": sum(one["hits"] > 0 for one in done),
        "most hits": max(one["hits"] for one in done),
        "median df_prior": float(np.median([one["df_prior"] for one in done])),
    }


def is_calibrated(row: dict[str, Any]) -> bool:
    """Tell whether a row keeps to the bounds; the plain prior, which hypervariable genes fool, has none."""
    if row["prior"] != "robust":
        return True
    lowest, highest = CALLED
    return bool(lowest <= row["mean share P < .05"] <= highest and row["splits with hits"] <= MOST_WITH_HITS)


def main() -> None:
    """Make the controls, test the splits, print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.null_splits", description=__doc__)
    parser.add_argument("--cells", type=int, default=30_000, help="cells of the made-up atlas")
    parser.add_argument("--splits", type=int, default=40)
    parser.add_argument("--well-effect", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path("bench-results"))
    asked = parser.parse_args()
    folder = asked.results / f"null-{asked.cells}-{asked.well_effect:g}-{asked.seed}"
    controls = make_controls(folder, cells=asked.cells, seed=asked.seed, well_effect=asked.well_effect)
    rows = [
        judge_splits(controls, splits=asked.splits, paired=paired, robust=robust, seed=asked.seed)
        for paired in (True, False)
        for robust in (True, False)
    ]
    settings = {"cells": asked.cells, "well_effect": asked.well_effect, "seed": asked.seed}
    write_report(asked.results, "null_splits", settings, rows)
    if not all(is_calibrated(row) for row in rows):
        raise SystemExit("a kind of split is not within its bounds")


if __name__ == "__main__":
    main()
