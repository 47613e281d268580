"""Tables of made-up cells for the stage features, written as a user would hand them over, and recipes about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

import tahoe_engine as te
from tahoe_engine import schema
from tahoe_engine.features.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    from tahoe_engine.features import FeaturesReport

PLATES = ("plate1", "plate2")
LINES = ("CVCL_0131", "CVCL_0480", "CVCL_1239")
MOAS = ("RAS inhibitor", "unclear", "Retinoic receptor agonist", "")
DELTA: dict[str, Any] = {"kind": "delta", "name": "delta", "value": "value"}
SUMMARIES: dict[str, Any] = {
    "kind": "numeric",
    "name": "summaries",
    "columns": ["a", "b"],
    "steps": ["impute", "polynomial", "standardize"],
}


def make_cells(n_cells: int = 12, *, wells: int = 8, seed: int = 1) -> pl.DataFrame:
    """Cells of every line in every well; the first two wells of a plate are controls, and `a` lacks some values."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[Any, ...]] = []
    for p, plate in enumerate(PLATES):
        for w in range(wells):
            drug = schema.CONTROL_DRUG if w < 2 else f"Drug {w // 2}"
            moa = "" if w < 2 else MOAS[w // 2 % 3]
            for at, line in enumerate(LINES):
                for _ in range(n_cells):
                    name = (f"bc{len(rows):06}", f"smp_{100 * p + w}", drug, 0.0 if w < 2 else (0.5, 5.0)[w % 2])
                    rows.append((*name, line, plate, moa, float(at) + 0.1 * w))
    names = [
        *(schema.BARCODE, schema.SAMPLE, schema.DRUG, "dose_um", schema.CELL_LINE_ID, schema.PLATE, schema.MOA_FINE),
        "level",
    ]
    frame = pl.DataFrame(rows, schema=names, orient="row")
    n = frame.height
    a = rng.normal(frame["level"].to_numpy(), 1.0)
    missing = rng.random(n) < 0.03
    return frame.drop("level").with_columns(
        pl.Series("a", np.where(missing, np.nan, a)).fill_nan(None),
        pl.Series("b", rng.lognormal(0, 1, n)),
        pl.Series("n", rng.integers(100, 5000, n)),
        pl.Series("value", 0.3 * a + rng.normal(0, 1, n)),
    )


def make_recipe(**parts: Any) -> Recipe:
    """An honest recipe about such a table, with some parts in place of its own."""
    own = {"table": "cells", "split": {"by": [schema.SAMPLE]}, "targets": [DELTA], "features": [SUMMARIES]}
    return Recipe.model_validate(own | parts)


def write_parts(frame: pl.DataFrame, folder: Path, n_parts: int = 3) -> Path:
    """Write a folder of Parquet parts of about equal length."""
    folder.mkdir(parents=True, exist_ok=True)
    step = -(-frame.height // n_parts)
    for at in range(n_parts):
        frame.slice(at * step, step).write_parquet(folder / f"part-{at}.parquet")
    return folder


def make(into: Path, table: Path | pl.DataFrame, recipe: Recipe | str | None = None, **options: Any) -> FeaturesReport:
    """Make features in this process, unless told otherwise."""
    if isinstance(table, pl.DataFrame):
        table = write_parts(table, into.parent / f"{into.name} table")
    return te.make_features(into, recipe or make_recipe(), table=table, **{"workers": 0, **options})


def read_parts(into: Path, name: str = "custom") -> pl.DataFrame:
    """Give the rows of all splits, with their split, in the order of their keys."""
    frames = [
        pl.read_parquet(path, hive_partitioning=False).with_columns(split=pl.lit(path.parent.name))
        for path in sorted(into.glob(f"features/{name}/*/*.parquet"))
        if path.parent.name in schema.SPLITS
    ]
    frame = pl.concat(frames)
    return frame.sort(schema.BARCODE) if schema.BARCODE in frame.columns else frame


def fitted_files(into: Path, name: str = "custom") -> dict[str, bytes]:
    """Give what was fitted."""
    folder = into / "features" / name
    return {path.name: path.read_bytes() for path in sorted((folder / "transformers").iterdir())}
