"""The moments of chosen groups, part by part, each value with its place in a sparse matrix."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from tahoe_engine.cells import Progress
from tahoe_engine.errors import StageError
from tahoe_engine.export.report import read_manifest_of
from tahoe_engine.groups.gather import find_genes
from tahoe_engine.run import require_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    import pyarrow as pa

    from tahoe_engine.run import Run

    Block = tuple[int, np.ndarray, dict[str, np.ndarray]]

FOLDER = "moments/"


class Moments:
    """The moments of some groups of a run.

    Parameters
    ----------
    run : Run
        With the stage `groups`.
    chosen, known : ndarray of int32
        Ids of the groups to read, and of all of them; ascending.
    tokens : ndarray of int
        Of the vocabulary, ascending.

    Attributes
    ----------
    nnz : int
        Their rows.
    indptr : ndarray of int64
        Where the rows of each chosen group begin among them, and the end.

    Raises
    ------
    StageError
        If a part is gone, or has a group that the index has not.

    Notes
    -----
    The places follow from a first pass over the ids alone; so the order of the parts does not show, and a part may hold
    any groups. Row groups without a chosen group are not read, by their statistics.
    """

    def __init__(self, run: Run, chosen: np.ndarray, known: np.ndarray, tokens: np.ndarray) -> None:
        import numpy as np

        self._chosen, self._known, self._tokens = chosen, known, tokens
        folder = run.path / "groups"
        names = [part["name"] for part in read_manifest_of(run, "groups")["parts"]]
        self._paths = sorted(folder / name for name in names if name.startswith(FOLDER))
        gone = [path.name for path in self._paths if not path.is_file()]
        if gone:
            raise StageError(
                f"{run.path}: {len(gone)} parts of the moments are gone, first {gone[0]}; run `tahoe groups` again"
            )
        sizes = np.zeros(len(chosen), dtype=np.int64)
        entries = {folder / part["name"]: part for part in read_manifest_of(run, "groups")["parts"]}
        for path in self._paths:
            require_whole(path, entries[path], "groups")
            for batch in self._batches(path, ["group_id"]):
                rows, _ = self._find_rows(path, batch["group_id"].to_numpy())
                sizes += np.bincount(rows, minlength=len(chosen))
        self.indptr = np.concatenate(([0], np.cumsum(sizes)))
        self.nnz = int(self.indptr[-1])

    def read(self, columns: Sequence[str], on_progress: Callable[[Progress], None] | None = None) -> Iterator[Block]:
        """Read the moments of the chosen groups.

        Parameters
        ----------
        columns : sequence of str
            Which moments.
        on_progress : callable, optional
            Called after each part.

        Yields
        ------
        place : int
            Of the first value among all of them.
        genes : ndarray of int64
            Column of each value.
        values : dict of str to ndarray
            By column; a null is NaN.
        """
        import numpy as np

        nexts = self.indptr[:-1].copy()
        for done, path in enumerate(self._paths, 1):
            for batch in self._batches(path, ["group_id", "gene", *columns]):
                rows, mask = self._find_rows(path, batch["group_id"].to_numpy())
                if not len(rows):
                    continue
                genes = find_genes(self._tokens, batch["gene"].to_numpy()[mask])
                values = {name: batch[name].to_numpy()[mask] for name in columns}
                # Runs of one group; within one, its places follow each other.
                begins = np.flatnonzero(np.diff(rows, prepend=-1))
                lengths = np.diff(begins, append=len(rows))
                groups = rows[begins]
                first = nexts[groups]
                np.add.at(nexts, groups, lengths)
                # Groups that follow each other in the matrix, too, are written at once.
                cuts = [0, *(np.flatnonzero(first[1:] != first[:-1] + lengths[:-1]) + 1).tolist(), len(begins)]
                for one, other in pairwise(cuts):
                    start = int(begins[one])
                    end = int(begins[other]) if other < len(begins) else len(rows)
                    yield int(first[one]), genes[start:end], {name: value[start:end] for name, value in values.items()}
            if on_progress is not None:
                on_progress(Progress("export", done, len(self._paths)))

    def _find_rows(self, path: Path, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the rows of the matrix, and which values belong to a chosen group."""
        import numpy as np

        known = np.searchsorted(self._known, ids)
        if not np.array_equal(self._known[np.minimum(known, len(self._known) - 1)], ids):
            raise StageError(f"{path} has a group that the index has not; run `tahoe groups` again")
        rows = np.searchsorted(self._chosen, ids)
        mask = self._chosen[np.minimum(rows, len(self._chosen) - 1)] == ids
        return rows[mask], mask

    def _batches(self, path: Path, columns: list[str]) -> Iterator[pa.Table]:
        """Read the row groups that may hold a chosen group; some 130,000 rows each."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:
                _require_columns(path, file.schema_arrow.names, columns)
                number = file.schema_arrow.get_field_index("group_id")
                for place in range(file.num_row_groups):
                    found = file.metadata.row_group(place).column(number).statistics
                    if found is not None and found.has_min_max:
                        start, end = np.searchsorted(self._chosen, [found.min, found.max + 1])
                        if start == end:
                            continue
                    yield file.read_row_group(place, columns=columns, use_threads=False)
        except pa.ArrowException as error:
            raise StageError(f"{path}: cannot be read ({error}); run `tahoe groups` again") from error


def _require_columns(path: Path, found: Sequence[str], columns: Sequence[str]) -> None:
    lacking = [name for name in columns if name not in found]
    if lacking:
        raise StageError(f"{path} lacks the column {lacking[0]}; run `tahoe groups` again")
