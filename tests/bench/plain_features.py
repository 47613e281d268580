"""The recipe of full.toml as one writes it in Polars and scikit-learn: arguments are table, split, file to write."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder, PolynomialFeatures, StandardScaler

SUMMARIES = ["expr_mean", "expr_std", "expr_skew", "expr_len"]
LOGS = ["expr_mean", "expr_std", "expr_len"]
TEXTS = ["cell_line_id", "drug", "moa-fine"]
BY = ["plate", "cell_line_id"]


def main() -> None:
    """Read, split, subtract the baseline, fit on training rows, write."""
    table, split, out = map(Path, sys.argv[1:])
    cells = pl.read_parquet(sorted(table.glob("*.parquet")))
    groups = pl.read_parquet(split).select("sample", "split", "fold")
    cells = cells.join(groups, on="sample", how="left", maintain_order="left")
    controls = cells.filter((pl.col("drug") == "DMSO_TF") & (pl.col("split") == 0))
    baseline = controls.group_by(BY).agg(pl.col("mean_log1p_cp10k").mean().alias("baseline"))
    cells = cells.join(baseline, on=BY, how="left", maintain_order="left")
    cells = cells.with_columns(delta_mean=pl.col("mean_log1p_cp10k") - pl.col("baseline"))
    cells = cells.filter(pl.col("drug") != "DMSO_TF")
    train = (cells["split"] == 0).to_numpy()
    polynomials = make_pipeline(SimpleImputer(), PolynomialFeatures(2, include_bias=False), StandardScaler())
    numbers = cells.select(SUMMARIES).to_numpy().astype(np.float64)
    polynomials.fit(numbers[train])
    summaries = pl.DataFrame(
        polynomials.transform(numbers), schema=list(polynomials[1].get_feature_names_out(SUMMARIES))
    )
    logs = make_pipeline(SimpleImputer(), FunctionTransformer(np.log1p), StandardScaler())
    numbers = cells.select(LOGS).to_numpy().astype(np.float64)
    logs.fit(numbers[train])
    logged = pl.DataFrame(logs.transform(numbers), schema=[f"log1p({name})" for name in LOGS])
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    texts = cells.select(TEXTS).to_pandas()
    codes.fit(texts[train])
    coded = pl.DataFrame(codes.transform(texts), schema=[f"{name} code" for name in TEXTS])
    whole = cells.select(
        *("shard", "row", "BARCODE_SUB_LIB_ID", "sample", "drug", "dose_um", "cell_line_id", "cell_name", "plate"),
        *("moa-fine", "split", "fold", "delta_mean"),
    )
    features = pl.concat([whole, summaries, logged, coded.cast(pl.Int32)], how="horizontal")
    features.write_parquet(out, compression="zstd", compression_level=3)


if __name__ == "__main__":
    main()
