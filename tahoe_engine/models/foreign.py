"""One unit of work: a slice of another table, made into features as the run's were, and predicted by all models."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import BadDataError, escape_controls
from tahoe_engine.features.columns import columns_of_split, needed_columns
from tahoe_engine.features.files import is_text, read_text
from tahoe_engine.features.matrix import build_matrix
from tahoe_engine.models.apply import apply_model, measure_margins
from tahoe_engine.models.columns import open_features, plan_columns
from tahoe_engine.models.predictions import JSON, PredictionsWork, join_predictions, load_model
from tahoe_engine.run import Layout, encode_frame, hash_file, replace_file
from tahoe_engine.schema import ROW, Y

if TYPE_CHECKING:
    import polars as pl
    from scipy.sparse import csr_array

    from tahoe_engine.features.design import Design
    from tahoe_engine.features.table import Slice
    from tahoe_engine.models.material import Material
    from tahoe_engine.models.ranges import Ranges


@dataclass(frozen=True)
class ElsewhereWork:
    """What all slices of the table have in common.

    Parameters
    ----------
    layout : Layout
        The run, held by this launch.
    folder : str
        Of the predictions, in the run.
    works : tuple of PredictionsWork
        The models.
    ranges : dict of str to Ranges
        What the training rows of each target had.
    numbered : bool
        Whether rows go by their number.
    obs : str
        As in `predict_elsewhere`.
    """

    layout: Layout
    folder: str
    works: tuple[PredictionsWork, ...] = field(repr=False)
    ranges: dict[str, Ranges] = field(repr=False)
    numbered: bool
    obs: str


@dataclass(frozen=True)
class ElsewhereUnit:
    """A slice of the table.

    Parameters
    ----------
    work : ElsewhereWork
        What it has in common with the others.
    piece : Slice
        Its rows.
    first : int
        Number of its first row in the table.
    """

    work: ElsewhereWork
    piece: Slice
    first: int

    @property
    def name(self) -> str:
        """Path of its predictions, in the run."""
        return f"{self.work.folder}/{self.piece.name}.parquet"


def predict_slice(unit: ElsewhereUnit) -> dict[str, Any]:
    """Predict the rows of a slice with all models, and write that.

    Parameters
    ----------
    unit : ElsewhereUnit
        What to do.

    Returns
    -------
    dict
        ``part``, ``sha256``, predictions in ``rows``, rows in ``read`` and ``made`` of them; and by target how many of
        these are ``outside`` of what training rows had, in which column.

    Raises
    ------
    BadDataError
        If the table cannot be read, or lacks a number that the recipe does not impute.
    """
    import polars as pl

    work, material = unit.work, unit.work.works[0].material
    features = open_features(material.root, material.features, material.manifest)
    raw = _read_slice(unit.piece, features.design.recipe.table)
    made = features.transform(add_unknown(raw, features.design), obs=work.obs)
    if work.numbered and ROW in made.columns:
        made = made.with_columns(pl.col(ROW) + unit.first)
    told = []
    ids = made.select(features.design.ids)
    for one in work.works:
        model = load_model(f"{one.root}/{one.stage}/{one.file}", one.sha256, one.trusted)
        slim = replace(one.material, columns=(), sources=()) if one.file.endswith(JSON) else one.material
        x, n_classes = make_matrix(slim, made), len(slim.classes)
        y_pred, shares = apply_model(model, x, made, n_classes)
        margins = measure_margins(model, x, n_classes) if shares is None else None
        y = made[slim.target].cast(pl.Float64 if slim.kind == "regression" else pl.String).alias(Y)
        told.append(join_predictions(ids, one.label, y, y_pred, shares, slim, margins=margins))
    frame = pl.concat(told, how="diagonal")
    path = work.layout.root / unit.name
    replace_file(work.layout, path, encode_frame(frame))
    outside = {
        target: ranges.count_outside(make_matrix(ranges.material, made), made) for target, ranges in work.ranges.items()
    }
    return {
        "part": f"{unit.piece.name}.parquet",
        "sha256": hash_file(path),
        "rows": frame.height,
        "read": raw.height,
        "made": made.height,
        "outside": outside,
    }


def add_unknown(rows: pl.DataFrame, design: Design) -> pl.DataFrame:
    """Add what targets are made of, where a table has none: who predicts need not know the truth.

    Parameters
    ----------
    rows : polars.DataFrame
        As read.
    design : Design
        Of the features.

    Returns
    -------
    polars.DataFrame
        With columns without a value, but not those that features or groups of the split are made of, too.
    """
    import polars as pl

    recipe = design.recipe
    used = {*columns_of_split(recipe), *needed_columns(recipe, design.ids), *recipe.derive}
    asked = {target.value if target.kind == "delta" else target.column: target.kind for target in recipe.targets}
    formulas = " ".join(recipe.derive.values())
    missing = [name for name in asked if name not in {*rows.columns, *used} and name not in formulas]
    return rows.with_columns(
        pl.lit(None, dtype=pl.Float64 if asked[name] == "delta" else pl.String).alias(name) for name in missing
    )


def make_matrix(material: Material, made: pl.DataFrame) -> csr_array:
    """Give the matrix of rows that were made into features.

    Parameters
    ----------
    material : Material
        Whose columns.
    made : polars.DataFrame
        As `Features.transform` gives them.

    Returns
    -------
    scipy.sparse.csr_array
        Rows by columns of the material.

    Raises
    ------
    BadDataError
        If a number is missing or infinite.
    """
    import numpy as np

    spreads = plan_columns(material.root, material.features, material.manifest, material.columns, material.sources)
    x = build_matrix(made, spreads, len(material.columns))
    wrong = ~np.isfinite(x.data)
    if wrong.any():
        name = material.columns[x.indices[wrong][0]]
        raise BadDataError(
            escape_controls(f"the feature {name!r} is missing or infinite in a row of the table; no model takes that")
        )
    return x


def _read_slice(piece: Slice, kind: str) -> pl.DataFrame:
    import polars as pl

    path = Path(piece.path)
    try:
        if kind == "top_table":
            from tahoe_engine.toptable import read_top_table

            frame: pl.DataFrame = read_top_table(path).frame
        elif is_text(path):
            frame = read_text(path)
        else:
            frame = (
                pl.scan_parquet(path, glob=False, hive_partitioning=False).slice(piece.first, piece.n_rows).collect()
            )
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise BadDataError(f"{path}: cannot be read: {escape_controls(str(error))}") from error
    if frame.height != piece.n_rows:
        raise BadDataError(f"{path}: {frame.height} rows, {piece.n_rows} expected; it changed meanwhile")
    return frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
