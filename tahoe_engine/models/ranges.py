"""What training rows had in each column: a model was not tried beyond it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.models.columns import open_features

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from tahoe_engine.models.blocks import Piece
    from tahoe_engine.models.material import Material
    from tahoe_engine.workers import Computing

CHUNK: Final = 2_048  # rows that are dense at once


@dataclass(frozen=True)
class Ranges:
    """Smallest and largest value of each column in the training rows.

    Parameters
    ----------
    material : Material
        Whose columns.
    low, high : ndarray of float64
        By column.
    """

    material: Material
    low: NDArray[np.float64] = field(repr=False)
    high: NDArray[np.float64] = field(repr=False)

    def count_outside(self, x: csr_array, made: pl.DataFrame) -> dict[str, int]:
        """Count the rows of a table that are outside.

        Parameters
        ----------
        x : scipy.sparse.csr_array
            Their matrix.
        made : polars.DataFrame
            As `Features.transform` gives them.

        Returns
        -------
        dict
            By column those that have less or more than any training row; by column of codes those whose level was not
            known. Where there are none, the column is left out.
        """
        import numpy as np

        n_outside = np.zeros(x.shape[1], np.int64)
        for first in range(0, x.shape[0], CHUNK):
            dense = x[first : first + CHUNK].toarray()
            n_outside += ((dense < self.low) | (dense > self.high)).sum(axis=0)
        found = {self.material.columns[at]: int(n_outside[at]) for at in np.flatnonzero(n_outside)}
        features = open_features(self.material.root, self.material.features, self.material.manifest)
        for name in dict.fromkeys(self.material.sources):
            if "names" in features.lineage["columns"][name]:
                unknown = int((made[name] < 0).sum())
                found |= {name: unknown} if unknown else {}
        return found


def find_ranges(material: Material, computing: Computing) -> Ranges:
    """Find what the training rows have, in one pass.

    Parameters
    ----------
    material : Material
        Whose.
    computing : Computing
        Who computes.

    Returns
    -------
    Ranges
        Of all columns.
    """
    low, high = computing.reduce(_PieceRanges(material), _merge, material.pieces["train"])
    return Ranges(material, low, high)


@dataclass(frozen=True)
class _PieceRanges:
    """What finds the ranges of a piece; picklable."""

    material: Material

    def __call__(self, piece: Piece) -> tuple[Any, Any]:
        x = self.material.load(piece, bare=True).x
        return tuple(one(axis=0).toarray().reshape(-1) for one in (x.min, x.max))


def _merge(parts: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    import numpy as np

    lows, highs = zip(*parts, strict=True)
    return np.min(lows, axis=0), np.max(highs, axis=0)
