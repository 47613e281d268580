"""scanpy's t-test on cells, for the contrasts of one line of a plate; the engine's Welch test needs no cells.

`python -m bench.contrast_peers TIMES GENES SHARD...` runs it in a process of its own and prints JSON: CPU seconds of
`rank_genes_groups` alone, with matrix, normalization and logs made before.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from bench.atlas import Atlas
    from bench.report import Result

CONTROL = "DMSO_TF"
SAMPLES = ("sample", "drug")


def compare_scanpy(atlas: Atlas, *, shards: int, times: int, genes: int) -> list[Result]:
    """CPU of a contrast; each cell is taken several times, so that groups are as large as Tahoe's."""
    from measure import run

    command: list[str | Path] = [sys.executable, "-m", "bench.contrast_peers", str(times), str(genes)]
    done = run([*command, *atlas.shards[:shards]], timeout=3600)
    if done.code != 0:
        raise SystemExit(f"scanpy ended with {done.code}:\n{done.stdout}{done.stderr}")
    facts = json.loads(done.stdout.splitlines()[-1])
    return [{"task": "scanpy t-test", **facts, "peak MiB": done.peak_mib}]


def main() -> None:
    """Test every treatment of the commonest line against the controls of its plate."""
    times, most_genes, *shards = sys.argv[1:]
    import anndata as ad
    import numpy as np
    import polars as pl
    import scanpy as sc
    from scipy import sparse

    cells = pl.scan_parquet(shards).select("sample", "drug", "cell_line_id")
    line = cells.group_by("cell_line_id").len().sort("len", "cell_line_id").last().collect()["cell_line_id"][0]
    table = (
        pl.scan_parquet(shards)
        .filter(pl.col("cell_line_id") == line)
        .select(*SAMPLES, pl.col("genes").list.slice(1), pl.col("expressions").list.slice(1))
        .collect()
    )
    ends = np.concatenate([[0], table["genes"].list.len().to_numpy().cumsum()])
    tokens = table["genes"].explode().to_numpy()
    counts = table["expressions"].explode().to_numpy().astype(np.float32)
    matrix = sparse.csr_matrix((counts, tokens, ends))
    kept = np.sort(np.argsort(-np.asarray(matrix.sum(axis=0))[0])[: int(most_genes)])
    matrix = sparse.vstack([matrix[:, kept]] * int(times), format="csr")
    wells = pl.concat([table.select(SAMPLES)] * int(times))
    labels = wells.select(pl.when(pl.col("drug") == CONTROL).then(pl.lit(CONTROL)).otherwise(pl.col("sample")))
    adata = ad.AnnData(matrix)
    adata.obs["group"] = labels.to_series().to_numpy()
    adata.obs["group"] = adata.obs["group"].astype("category")
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    before = read_cpu()
    sc.tl.rank_genes_groups(adata, "group", reference=CONTROL, method="t-test")
    used = read_cpu() - before
    contrasts = len(adata.obs["group"].cat.categories) - 1
    facts = {
        "contrasts": contrasts,
        "genes": len(kept),
        "cells a group": round(wells.filter(pl.col("drug") != CONTROL).height / contrasts),
        "CPU s": used,
        "CPU s a 1,000": 1000 * used / contrasts,
    }
    print(json.dumps(facts))


def read_cpu() -> float:
    """User and system seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
