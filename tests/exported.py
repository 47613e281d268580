"""What exported files are compared with: counts from the raw lists of the shards, and groups made of them by hand."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

import tahoe_engine as te
from tahoe_engine.run import Layout, hash_file, name_part, write_manifest, write_run_manifest
from tahoe_engine.schema import GROUP_KEYS, groups_index

if TYPE_CHECKING:
    from pathlib import Path

    import anndata

N_GENES = 62_710
FIRST_TOKEN = 3


def read_entries(atlas: Path) -> pl.DataFrame:
    """One row a stored count: shard, row, gene (token), count; without the marker."""
    shards = sorted((atlas / "data").iterdir())
    frames = [
        pl.read_parquet(path, columns=["genes", "expressions"])
        .with_row_index("row")
        .with_columns(pl.lit(path.stem).alias("shard"))
        .explode("genes", "expressions")
        .filter(pl.col("expressions") > 0)
        for path in shards
    ]
    return pl.concat(frames).select(
        "shard",
        pl.col("row").cast(pl.Int64),
        pl.col("genes").cast(pl.Int32).alias("gene"),
        pl.col("expressions").cast(pl.UInt64).alias("count"),
    )


def build_adata(atlas: Path, run: Path) -> anndata.AnnData:
    """All cells of a run as AnnData, by SciPy from the raw lists."""
    import anndata
    from scipy.sparse import coo_matrix

    cells = te.Run(run).table("cells").collect().with_row_index("place")
    entries = read_entries(atlas).join(cells.select("shard", "row", "place"), on=["shard", "row"])
    matrix = coo_matrix(
        (entries["count"].to_numpy().astype(np.float32), (entries["place"], entries["gene"] - FIRST_TOKEN)),
        shape=(cells.height, N_GENES),
    ).tocsr()
    obs = cells.to_pandas().set_index("BARCODE_SUB_LIB_ID")
    obs[list(GROUP_KEYS)] = obs[list(GROUP_KEYS)].astype("category")
    return anndata.AnnData(matrix, obs=obs)


def write_groups(run: Path, atlas: Path, by: tuple[str, ...] = GROUP_KEYS, anchor: str | None = "sample") -> None:
    """Publish the stage `groups` by hand: one part for each value of `anchor`."""
    cells = te.Run(run).table("cells").collect()
    facts = [name for name in ("drug", "dose_um", "plate") if name not in by]
    one = [pl.when(pl.col(name).n_unique() == 1).then(pl.col(name).first()).alias(name) for name in facts]
    index = (
        cells.group_by(by)
        .agg(*one, pl.len().cast(pl.UInt64).alias("n_cells"), pl.col("total_counts").sum())
        .sort(by)
        .with_row_index("group_id")
        # With gaps, as the stage may leave them.
        .with_columns(pl.col("group_id").cast(pl.Int32) * 3 + 1)
        .select(groups_index(by).names)
    )
    counted = read_entries(atlas).join(cells, on=["shard", "row"]).join(index.select("group_id", *by), on=by)
    rate = pl.col("count") * 10_000 / pl.col("total_counts")
    log, n = rate.log1p(), pl.col("n_cells").first()
    square = pl.col("count") ** 2

    def moments(value: pl.Expr, name: str) -> list[pl.Expr]:
        mean = value.sum() / n
        # Zeros counted: each of the cells without the gene is as far from the mean as the mean is.
        spread = ((value - mean) ** 2).sum() + (n - pl.len()) * mean**2
        return [mean.alias(f"mean_{name}"), pl.when(n > 1).then(spread / (n - 1)).alias(f"var_{name}")]

    rows = (
        counted.drop("n_cells", strict=False)
        .join(index.select("group_id", "n_cells"), on="group_id")
        .with_columns(pl.col("n_cells").cast(pl.Float64))
        .group_by("group_id", "gene")
        .agg(
            pl.len().cast(pl.UInt32).alias("n_cells_by_counts"),
            pl.col("count").sum().alias("sum_counts"),
            square.sum().cast(pl.UInt64).alias("sum_sq_counts"),
            *moments(rate, "cp10k"),
            *moments(log, "log1p_cp10k"),
        )
        .sort("group_id", "gene")
    )
    folder = Layout(run).stage("groups")
    shutil.rmtree(folder, ignore_errors=True)
    parts: list[dict[str, Any]] = []

    def write(name: str, frame: pl.DataFrame) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(path, row_group_size=20_000, statistics=True)
        sha256 = hash_file(path)
        parts.append({"name": name, "rows": frame.height, "size": path.stat().st_size, "sha256": sha256, "digest": sha256})

    write("index.parquet", index)
    owners = index.select("group_id", (pl.col("group_id") % 2).alias("owner") if anchor is None else pl.col(anchor).alias("owner"))
    for part in rows.join(owners, on="group_id", maintain_order="left").partition_by("owner"):
        write(f"moments/{name_part(None, str(part['owner'][0]))}.parquet", part.drop("owner"))
    layout = Layout(run, 1)
    layout.temporary.mkdir(parents=True, exist_ok=True)
    digest = hash_file(folder / "index.parquet")
    needs = {"cells": te.Run(run).manifest["cells"]["digest"]}
    manifest = {"format_version": 1, "digest": digest, "parts": parts, "needs": needs, "settings": {"groups": {"by": list(by)}}}
    write_manifest(layout, "groups", manifest)
    write_run_manifest(layout, ["groups"])
