"""What a fit sees of a slice: columns of several chains at once, after the steps that are fitted already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import StageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.features.chains import FittedChain

    FloatArray = NDArray[np.float64]

# The rows fitted on of a slice, float64, NaN where missing; importable by name, or an object that pickles.
Load = Callable[[Any, tuple[str, ...]], "FloatArray"]
# Slices with their numbers of rows, as `LoadLevel` takes them; and the numbers once more, for dask.
Pieces = list[tuple[tuple[Any, int], int]]


@dataclass(frozen=True)
class LoadLevel:
    """What the steps of a level see of a slice: the columns of some chains after their steps so far.

    Parameters
    ----------
    load : callable
        See `Load`.
    chains : tuple of FittedChain
        With the steps before this level.
    marks : bool
        Whether as many columns follow that are 1 where a value is missing: their means are its share, so that
        counting takes no pass of its own.
    """

    load: Load
    chains: tuple[FittedChain, ...]
    marks: bool = False

    def __call__(self, piece: tuple[Any, int]) -> FloatArray:
        """Load a slice.

        Parameters
        ----------
        piece : tuple of (object, int)
            The slice, and how many rows it has.

        Returns
        -------
        numpy.ndarray
            The columns of the first chain, then those of the second, and so on.

        Raises
        ------
        StageError
            If it has another number of rows.
        """
        import numpy as np

        wanted = tuple(dict.fromkeys(name for chain in self.chains for name in chain.chain.columns))
        place = {name: number for number, name in enumerate(wanted)}
        loaded = self.load(piece[0], wanted)
        if loaded.shape != (piece[1], len(wanted)):
            raise StageError(
                f"{piece[0]} gave a table of {loaded.shape} where {(piece[1], len(wanted))} was expected: it changed "
                "while features were fitted; run the stage again"
            )
        # A column after the other in memory: then NumPy adds up in pairs, and a mean is exact to the last bits. Row by
        # row the error grows with the number of rows, which a column far from 0 shows (1e-9 at a mean of 1e6 sd).
        n_columns = sum(len(chain.names) for chain in self.chains)
        matrix = np.empty((len(loaded), (1 + self.marks) * n_columns), order="F")
        start = 0
        for chain in self.chains:
            stop = start + len(chain.names)
            matrix[:, start:stop] = chain.apply(loaded[:, [place[name] for name in chain.chain.columns]])
            start = stop
        if self.marks:
            matrix[:, n_columns:] = np.isnan(matrix[:, :n_columns])
        return matrix
