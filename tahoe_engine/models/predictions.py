"""One unit of work: what a model says of the rows of a piece, beside what is true of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from tahoe_engine.errors import StageError
from tahoe_engine.models.apply import apply_model, measure_margins
from tahoe_engine.models.store import decode_baseline, decode_model
from tahoe_engine.run import Layout, commit_part, keep_receipt, require_newest, write_frame
from tahoe_engine.run.layout import flatten
from tahoe_engine.schema import MODEL, Y_PRED, Y

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from tahoe_engine.models.material import Material, Piece

PREDICTIONS: Final = "predictions"  # folder in that of the stage
SHARE: Final = "p_"  # before the name of a class
MARGIN: Final = "d_"  # likewise, where a classifier has a decision function and no probabilities
TAKEN: Final = " of the row"  # behind the name of an id that has the name of one of these columns
JSON: Final = ".json"  # of a baseline's file


@dataclass(frozen=True)
class PredictionsWork:
    """What all units of a model have in common.

    Parameters
    ----------
    root : str
        The run folder; every worker sees it under this path.
    epoch : int
        Number of the launch; once a newer one has taken over, nothing of this one gets a name.
    stage : str
        ``models/NAME``.
    label : str
        Of the model.
    file : str
        Of the model, in the folder of the stage.
    sha256 : str
        Of that file.
    trusted : tuple of str
        Types it may have, as the catalogue has them.
    material : Material
        Its rows.
    """

    root: str
    epoch: int
    stage: str
    label: str
    file: str
    sha256: str
    trusted: tuple[str, ...]
    material: Material = field(repr=False)


@dataclass(frozen=True)
class PredictionsUnit:
    """A piece and a model.

    Parameters
    ----------
    work : PredictionsWork
        What it has in common with the others of the model.
    piece : Piece
        Its rows.
    name : str
        As `name_part` gives it.
    key : str
        Its identity.
    """

    work: PredictionsWork
    piece: Piece
    name: str
    key: str


def name_part(piece: Piece, label: str) -> str:
    """Name the part of predictions of a piece.

    Parameters
    ----------
    piece : Piece
        Of the features.
    label : str
        Of the model.

    Returns
    -------
    str
        In the folder of the stage, without its ending.

    Examples
    --------
    >>> from tahoe_engine.models.blocks import Piece
    >>> name_part(Piece("test", "test/train-00000-of-00003", 5, 0, 0), "pca.ridge")
    'predictions/test/pca.ridge.train-00000-of-00003'
    """
    return f"{PREDICTIONS}/{piece.split}/{label}.{piece.slice}"


def write_predictions(unit: PredictionsUnit) -> dict[str, Any]:
    """Predict the rows of a piece and commit the part.

    Parameters
    ----------
    unit : PredictionsUnit
        What to do.

    Returns
    -------
    dict
        The receipt: the part itself (rows, size, sha256, digest) and its columns.

    Raises
    ------
    StageError
        If the model or the features are others than they were, or the worker is not fit for this run.
    OSError
        If the part cannot be written.
    """
    work, layout = unit.work, Layout(Path(unit.work.root), unit.work.epoch)
    if not layout.temporary.is_dir():
        require_newest(layout)
        raise StageError(f"{layout.root} is not there on a worker; it must be on a disk that all workers share")
    rows = predict_piece(work, unit.piece)
    temporary = layout.temporary / f"{flatten(f'{work.stage}/{unit.name}')}.{uuid4().hex}"
    try:
        part = write_frame(temporary, rows)
        receipt = {work.stage: part, "columns": [[name, str(dtype)] for name, dtype in rows.schema.items()]}
        final = layout.part(work.stage, unit.name)
        final.parent.mkdir(parents=True, exist_ok=True)
        # What readers see comes last: whoever sees the part may count on the rest.
        keep_receipt(layout, work.stage, unit.name, unit.key, receipt)
        commit_part(layout, temporary, final, part["sha256"])
    finally:
        temporary.unlink(missing_ok=True)
    return receipt


def predict_piece(work: PredictionsWork, piece: Piece) -> pl.DataFrame:
    """Predict the rows of a piece.

    Parameters
    ----------
    work : PredictionsWork
        Which model.
    piece : Piece
        Of its material.

    Returns
    -------
    polars.DataFrame
        The ids, ``model``, ``y``, ``y_pred`` (texts for classes) and a column ``p_CLASS`` for each class where the
        model gives probabilities, ``d_CLASS`` where it has a decision function; a row for each that has the target, in
        the order of the table.

    Raises
    ------
    StageError
        If the model or the features are others than they were.
    """
    import numpy as np
    import polars as pl

    material = work.material
    model = load_model(f"{work.root}/{work.stage}/{work.file}", work.sha256, work.trusted)
    # A baseline looks at ids alone, and they are read at once.
    block = (replace(material, columns=(), sources=()) if work.file.endswith(JSON) else material).load(piece)
    y_pred, shares = apply_model(model, block.x, block.rows, len(material.classes))
    if not len(y_pred) == block.rows.height == piece.n_rows or (
        material.kind == "regression" and np.isnan(y_pred).any()
    ):
        raise StageError(f"{work.label}: {piece.name} has {piece.n_rows} rows and {len(y_pred)} predictions")
    names = (*material.classes, *material.strange)
    y = pl.Series(Y, block.y) if material.kind == "regression" else name_classes(block.y, names, Y)
    margins = measure_margins(model, block.x, len(material.classes)) if shares is None else None
    return join_predictions(block.rows, work.label, y, y_pred, shares, material, margins=margins)


def join_predictions(  # noqa: PLR0913, PLR0917 - each is columns of the table
    rows: pl.DataFrame,
    label: str,
    y: pl.Series,
    y_pred: NDArray[Any],
    shares: NDArray[np.float64] | None,
    material: Material,
    *,
    margins: NDArray[np.float64] | None = None,
) -> pl.DataFrame:
    """Put ids and predictions side by side.

    Parameters
    ----------
    rows : polars.DataFrame
        The ids.
    label : str
        Of the model.
    y : polars.Series
        What is true, called ``y``.
    y_pred : ndarray
        Numbers, or codes of classes.
    shares : ndarray, rows by classes, or None
        Probabilities.
    material : Material
        What the model was trained on.
    margins : ndarray, rows by classes, optional
        In place of probabilities.

    Returns
    -------
    polars.DataFrame
        As `predict_piece` gives it.
    """
    import polars as pl

    told = [pl.repeat(label, rows.height, dtype=pl.String, eager=True).alias(MODEL), y]
    told += [
        name_classes(y_pred, material.classes, Y_PRED)
        if material.kind == "classification"
        else pl.Series(Y_PRED, y_pred, dtype=pl.Float64)
    ]
    for before, grades in ((SHARE, shares), (MARGIN, margins)):
        if grades is not None:
            told += [pl.Series(f"{before}{name}", grades[:, at]) for at, name in enumerate(material.classes)]
    taken = {column.name for column in told}
    return rows.rename({name: f"{name}{TAKEN}" for name in rows.columns if name in taken}).hstack(told)


def name_classes(codes: NDArray[Any], names: tuple[str, ...], column: str) -> pl.Series:
    """Give the texts of classes.

    Parameters
    ----------
    codes : ndarray of int64
        Of rows.
    names : tuple of str
        By code.
    column : str
        Name of the series.

    Returns
    -------
    polars.Series of String
        One a row.

    Examples
    --------
    >>> import numpy as np
    >>> name_classes(np.array([1, 0]), ("a", "b"), "y").to_list()
    ['b', 'a']
    """
    import polars as pl

    return pl.Series(column, names, dtype=pl.String).gather(codes)


def load_model(path: str, sha256: str, trusted: tuple[str, ...]) -> Any:  # noqa: ANN401 - any estimator
    """Load a model, once a process while its file stays as it is.

    Parameters
    ----------
    path : str
        Of its file.
    sha256 : str
        Of its bytes.
    trusted : tuple of str
        Types it may have, as the catalogue has them.

    Returns
    -------
    object
        A `tahoe_engine.models.baseline.Baseline`, or an estimator.

    Raises
    ------
    StageError
        If the file is gone or has other bytes.
    BadDataError
        If it has other types.
    """
    file = Path(path)
    found = file.stat() if file.is_file() else None
    stamp = None if found is None else (found.st_ino, found.st_size, found.st_mtime_ns)
    return _load_once(path, sha256, trusted, stamp)


@lru_cache(maxsize=2)
def _load_once(path: str, sha256: str, trusted: tuple[str, ...], stamp: tuple[int, ...] | None) -> Any:  # noqa: ANN401
    content = b"" if stamp is None else Path(path).read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise StageError(f"{path} is gone or has other bytes than its model had; run `tahoe train` again")
    return decode_baseline(content) if path.endswith(JSON) else decode_model(content, trusted)
