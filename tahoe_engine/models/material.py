"""What models train on: the rows of a run's features that have a target, as matrices, piece by piece or gathered."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tahoe_engine.errors import StageError
from tahoe_engine.features.matrix import build_matrix
from tahoe_engine.models.blocks import Block, Piece, require_finite, stack_blocks
from tahoe_engine.models.columns import list_ids, open_features, plan_columns, select_columns
from tahoe_engine.models.draws import choose_clusters, choose_rows
from tahoe_engine.models.order import order_rows
from tahoe_engine.models.reading import read_part
from tahoe_engine.models.survey import ROW_CLUSTERS, encode_texts, has_value, name_clusters, survey_rows
from tahoe_engine.schema import FOLD

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["Block", "Material", "Piece", "open_material"]
NO_FOLD = -1
ROW = "row"  # of its table, where features have it


@dataclass(frozen=True)
class Material:
    """What models train on: small, to be sent around; it reads when it is asked, in any process.

    Parameters
    ----------
    root : str
        The run folder.
    features : str
        Name of the features.
    manifest : str
        Digest of their manifest: others under the same name are refused.
    target : str
        Name of the target.
    kind : {"regression", "classification"}
        What it is.
    classes : tuple of str
        Of the training rows, sorted; none for regression.
    strange : tuple of str
        Classes that no training row has: their codes come after those of `classes`.
    columns : tuple of str
        Of the matrix.
    sources : tuple of str
        The stored column that each of them is from.
    pieces : dict
        Of each split, those with rows that have the target, in the order of the table.
    missing : dict of str to int
        Rows without the target, of each split.
    n_folds : int
        Of the split.
    fold_rows : tuple of int
        Training rows of each fold.
    n_groups : int
        Groups of the split that train.
    cluster_columns : tuple of str
        That clusters are told apart by; none: the number of the row modulo 1,000.
    cluster_names : tuple of str
        What each code of a cluster stands for.
    split_hash : str
        Of the split.
    split_by : str
        What the split is by, in words.
    """

    root: str
    features: str
    manifest: str
    target: str
    kind: str
    classes: tuple[str, ...]
    strange: tuple[str, ...]
    columns: tuple[str, ...] = field(repr=False)
    sources: tuple[str, ...] = field(repr=False)
    pieces: Mapping[str, tuple[Piece, ...]] = field(repr=False)
    missing: Mapping[str, int]
    n_folds: int
    fold_rows: tuple[int, ...]
    n_groups: int
    cluster_columns: tuple[str, ...]
    cluster_names: tuple[str, ...] = field(repr=False)
    split_hash: str
    split_by: str

    def count_rows(self, splits: Sequence[str] = ("train",)) -> int:
        """Count the rows of some splits that have the target."""
        return sum(piece.n_rows for split in splits for piece in self.pieces[split])

    def load(
        self,
        piece: Piece,
        *,
        folds: frozenset[int] | None = None,
        bare: bool = False,
        rows: NDArray[np.int64] | None = None,
    ) -> Block:
        """Read the rows of a piece that have the target.

        Parameters
        ----------
        piece : Piece
            Of this material.
        folds : frozenset of int, optional
            Only rows of these folds; -1 are those in none.
        bare : bool
            Leave out ids and clusters (all 0): they are most of what there is to read, and no fit needs them.
        rows : ndarray of int64, optional
            Only these, in place of folds: the matrix of others is not even made.

        Returns
        -------
        Block
            In the order of the table.

        Raises
        ------
        StageError
            If the part is gone, has other bytes, or the features were made anew.
        BadDataError
            If a number of a feature is missing or infinite.
        """
        import numpy as np
        import polars as pl

        features = open_features(self.root, self.features, self.manifest)
        ids = () if bare else list_ids(features)
        wanted = dict.fromkeys([*ids, FOLD, self.target, *self.sources])
        frame = read_part(self.root, self.features, self.manifest, f"{piece.name}.parquet", tuple(wanted))
        there = has_value(frame[self.target])
        frame = frame if there.all() else frame.filter(there)
        if frame.height != piece.n_rows:
            raise StageError(
                f"{piece.name}: {frame.height} rows have {self.target!r}, {piece.n_rows} were counted; run it again"
            )
        numbers = np.arange(piece.first, piece.first + piece.n_rows)
        fold = frame[FOLD].cast(pl.Int64).fill_null(NO_FOLD).to_numpy()
        if folds is not None:
            rows = np.flatnonzero(np.isin(fold, sorted(folds)))
        if rows is not None:
            frame, numbers, fold = frame[rows], numbers[rows], fold[rows]
        spreads = plan_columns(self.root, self.features, self.manifest, self.columns, self.sources)
        x = build_matrix(frame, spreads, len(self.columns))
        require_finite(x, self.columns, f"features {self.features!r}, {piece.name}")
        clusters = np.zeros(frame.height, np.int64) if bare else self.find_clusters(frame, numbers)
        return Block(x, self._encode(frame[self.target]), fold, clusters, numbers, frame.select(ids))

    def narrow(self, blocks: Sequence[str], without: Sequence[str]) -> Material:
        """Give other columns of the same rows.

        Parameters
        ----------
        blocks : sequence of str
            Of the recipe; none: all. Those that the recipe leaves out for the target stay out.
        without : sequence of str
            Blocks, stored columns, or columns of the matrix that are left out.

        Returns
        -------
        Material
            With these columns; ConfigError if there is no such block or column, or none is left.
        """
        features = open_features(self.root, self.features, self.manifest)
        columns, sources = select_columns(features, self.target, blocks, without)
        return replace(self, columns=columns, sources=sources)

    def gather(
        self,
        splits: Sequence[str] = ("train",),
        *,
        n_rows: int = 0,
        seed: int = 0,
        clustered: bool = False,
        bare: bool = False,
    ) -> Block:
        """Read rows into one matrix.

        Parameters
        ----------
        splits : sequence of str
            Of which splits.
        n_rows : int
            At most so many, those with the smallest hash of their number; 0 = all.
        seed : int
            Of the hash.
        clustered : bool
            Take whole clusters instead, in the order of the hashes of their names, as many as fit; rows where none
            does.
        bare : bool
            As in `load`.

        Returns
        -------
        Block
            In the order of the table; all training rows of a split in scikit-learn's way in the order of
            ``train_test_split``. Rows of several splits are sorted by their number in the table, where features
            have it; else one split comes after the other, slice by slice.

        Raises
        ------
        StageError, BadDataError
            As `load`.
        """
        import numpy as np

        slices, total = self._list_slices(splits), self.count_rows(splits)
        chosen: NDArray[np.int64] | None = None
        if 0 < n_rows < total:
            if clustered:
                narrow = replace(self, columns=(), sources=())
                clusters = np.concatenate([narrow._load_slice(group).clusters for group in slices])  # noqa: SLF001
                chosen = choose_clusters(clusters, self.cluster_names, n_rows, seed)
            chosen = choose_rows(total, n_rows, seed) if chosen is None else chosen
        blocks, first = [], 0
        for group in slices:
            last = first + sum(piece.n_rows for piece in group)
            inside = None if chosen is None else chosen[np.searchsorted(chosen, first) : np.searchsorted(chosen, last)]
            if inside is None or inside.size:
                within = np.arange(last - first) if inside is None else inside - first
                block = self._load_slice(group, bare=bare, rows=None if inside is None else within)
                blocks.append(replace(block, numbers=first + within) if len(splits) > 1 else block)
            first = last
        block = stack_blocks(blocks, len(self.columns))
        if chosen is not None or tuple(splits) != ("train",):
            return block
        return order_rows(block, open_features(self.root, self.features, self.manifest).design.split)

    def find_clusters(self, rows: pl.DataFrame, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the split's group of rows (with ids) by their numbers within their split.

        Returns
        -------
        numpy.ndarray of int64
            Codes of `cluster_names`; BadDataError if the split has no such group.
        """
        if not self.cluster_columns:
            return numbers % ROW_CLUSTERS
        texts = rows.select(name_clusters(self.cluster_columns)).to_series()
        return encode_texts(texts, self.cluster_names, f"the split by {self.split_by}")

    def _list_slices(self, splits: Sequence[str]) -> list[list[Piece]]:
        slices: dict[str, list[Piece]] = {}
        for piece in sorted((piece for split in splits for piece in self.pieces[split]), key=lambda one: one.slice):
            slices.setdefault(piece.slice, []).append(piece)
        return list(slices.values())

    def _load_slice(self, group: list[Piece], *, bare: bool = False, rows: NDArray[np.int64] | None = None) -> Block:
        """Load the pieces of a slice, in the order of the table, or some of their rows."""
        import numpy as np

        if len(group) == 1:
            return self.load(group[0], bare=bare, rows=rows)
        block = stack_blocks([self.load(piece) for piece in group], len(self.columns))
        if ROW in block.rows.columns:
            block = block.take(np.argsort(block.rows[ROW].to_numpy(), kind="stable"))
        return block if rows is None else block.take(rows)

    def _encode(self, column: pl.Series) -> NDArray[Any]:
        import polars as pl

        if self.kind == "regression":
            return column.cast(pl.Float64).to_numpy()
        return encode_texts(column.cast(pl.String), (*self.classes, *self.strange), f"the target {self.target!r}")


def open_material(  # noqa: PLR0913 - the words of a task
    root: str | os.PathLike[str],
    features: str,
    target: str,
    *,
    kind: Literal["auto", "regression", "classification"] = "auto",
    blocks: Sequence[str] = (),
    without: Sequence[str] = (),
) -> Material:
    """Look at the targets of features: one pass over their columns, not over the features themselves.

    Parameters
    ----------
    root : str or path-like
        The run folder.
    features : str
        Name of the features.
    target : str
        One of their targets.
    kind : {"auto", "regression", "classification"}
        By the type of the target: text and truth values are classes, numbers are not.
    blocks, without : sequence of str
        As in `Material.narrow`.

    Returns
    -------
    Material
        No matrix is read yet.

    Raises
    ------
    ConfigError
        If there is no such target or column, no training row has the target, or all have the same class.
    BadDataError
        If a target is infinite.
    StageError
        If the features are not finished, stale, or damaged.

    Examples
    --------
    >>> material = open_material("demo/run", "biospark-m3", "delta_mean")  # doctest: +SKIP
    >>> block = material.load(material.pieces["train"][0])  # doctest: +SKIP
    """
    found, told = survey_rows(str(Path(root).absolute()), features, target, kind)
    columns, sources = select_columns(found, target, blocks, without)
    return Material(target=target, columns=columns, sources=sources, **told)
