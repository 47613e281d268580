"""What exported files are compared with: AnnData made by SciPy from the raw lists of the shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

import tahoe_engine as te
from tahoe_engine.schema import GROUP_KEYS

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


def vouch(run: Path, stage: str = "groups") -> None:
    """Let the manifests name the parts as they are now: for what a part may hold, not for damage."""
    import hashlib
    import json

    place = run / stage / "_MANIFEST.json"
    manifest = json.loads(place.read_bytes())
    for part in manifest["parts"]:
        content = (run / stage / part["name"]).read_bytes()
        part |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    place.write_text(json.dumps(manifest))
    whole = json.loads((run / "_MANIFEST.json").read_bytes())
    whole["stages"][stage]["manifest"] = hashlib.sha256(place.read_bytes()).hexdigest()
    (run / "_MANIFEST.json").write_text(json.dumps(whole))
