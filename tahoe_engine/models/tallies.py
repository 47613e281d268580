"""Tallies of what was predicted: one pass over the parts of a model, on the workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tahoe_engine.evaluate.tally import collect_tally, merge_tallies
from tahoe_engine.models.predictions import MARGIN, SHARE, name_part
from tahoe_engine.run import require_whole
from tahoe_engine.schema import CELL_LINE_ID, DRUG, MODELS, PLATE, Y_PRED, Y

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from tahoe_engine.evaluate.tally import Tally
    from tahoe_engine.models.labels import Fit
    from tahoe_engine.models.material import Material, Piece
    from tahoe_engine.models.task import Task
    from tahoe_engine.workers import Computing

# What the most that any function of drug, dose, line and plate could tell is measured by.
CEILING = (DRUG, "dose_um", CELL_LINE_ID, PLATE)


@dataclass(frozen=True)
class TallyPart:
    """What tallies a part; picklable.

    Parameters
    ----------
    root : str
        The run folder.
    stage, label : str
        Whose predictions.
    material : Material
        Of the model.
    task : Task
        Of its file.
    receipts : mapping
        Size and sha256 of each part, by name.
    """

    root: str
    stage: str
    label: str
    material: Material = field(repr=False)
    task: Task = field(repr=False)
    receipts: Mapping[str, dict[str, Any]] = field(repr=False)

    def __call__(self, piece: Piece) -> Tally:
        """Tally a part.

        Parameters
        ----------
        piece : Piece
            Whose predictions.

        Returns
        -------
        Tally
            Of its rows.

        Raises
        ------
        StageError
            If the part is not as it was recorded.
        """
        import numpy as np
        import polars as pl

        name = name_part(piece, self.label)
        path = Path(self.root) / self.stage / f"{name}.parquet"
        require_whole(path, self.receipts[name], MODELS)
        rows = pl.read_parquet(path, glob=False, hive_partitioning=False)
        material = self.material
        probabilities = margins = None
        if material.kind == "classification":
            known = {label: code for code, label in enumerate((*material.classes, *material.strange))}
            y, y_pred = (rows[column].replace_strict(known, return_dtype=pl.Int64).to_numpy() for column in (Y, Y_PRED))
            probabilities, margins = (_read_grades(rows, before, material.classes) for before in (SHARE, MARGIN))
        else:
            y, y_pred = rows[Y].to_numpy(), rows[Y_PRED].to_numpy()
        return collect_tally(
            y,
            y_pred,
            material.find_clusters(rows, piece.first + np.arange(rows.height)),
            kind=material.kind,
            n_classes=len(material.classes),
            probabilities=probabilities,
            margins=margins,
            groups={name: rows[name].cast(pl.String) for name in self.task.groups if name in rows.columns},
            strata=code_strata(rows) if material.kind == "regression" else None,
            numbers=piece.first + np.arange(rows.height),
            rank_rows=self.task.rank_rows,
            seed=self.task.seed,
            total_rows=material.count_rows([piece.split]),
        )


def _read_grades(rows: pl.DataFrame, before: str, classes: Sequence[str]) -> NDArray[np.float64] | None:
    named = [f"{before}{one}" for one in classes]
    return rows.select(named).to_numpy() if set(named) <= set(rows.columns) else None


def code_strata(rows: pl.DataFrame) -> NDArray[np.int64] | None:
    """Give a code for each combination of drug, dose, line and plate.

    Parameters
    ----------
    rows : polars.DataFrame
        With ids.

    Returns
    -------
    numpy.ndarray of int64, or None
        The same for the same values in any part; None where the rows have none of these columns.
    """
    import numpy as np
    import polars as pl

    from tahoe_engine.features.keys import hash_texts

    named = [name for name in CEILING if name in rows.columns]
    if not named:
        return None
    return hash_texts([rows[name].cast(pl.String) for name in named], 0).view(np.int64)


def tally_split(  # noqa: PLR0913, PLR0917 - each is one thing it needs
    fit: Fit,
    split: str,
    root: Path,
    stage: str,
    task: Task,
    receipts: Mapping[str, dict[str, Any]],
    computing: Computing,
) -> Tally | None:
    """Tally what a model predicted of a split.

    Parameters
    ----------
    fit : Fit
        Of the model.
    split : {"train", "validation", "test"}
        Which.
    root : Path
        The run folder.
    stage : str
        Of the models.
    task : Task
        Of its file.
    receipts : mapping
        Of the parts, by name.
    computing : Computing
        Who computes.

    Returns
    -------
    Tally or None
        None where the split has no rows with the target.
    """
    pieces: Sequence[Piece] = [piece for piece in fit.material.pieces.get(split, ()) if piece.n_rows]
    if not pieces:
        return None
    part = TallyPart(str(root.absolute()), stage, fit.label, fit.material, task, receipts)
    return computing.reduce(part, merge_tallies, pieces)
