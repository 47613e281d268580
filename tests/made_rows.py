"""Rows in memory in place of the features of a run: what `Material` gives, without a run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from tahoe_engine.models.blocks import Block, Piece
from tahoe_engine.models.draws import choose_rows

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Rows:
    """As `tahoe_engine.models.material.Material`; rows are of one piece a split."""

    kind: str
    classes: tuple[str, ...]
    columns: tuple[str, ...]
    sources: tuple[str, ...]
    blocks: dict[str, Block] = field(repr=False)
    pieces: dict[str, tuple[Piece, ...]]
    n_folds: int = 0
    strange: tuple[str, ...] = ()
    features: str = "made"
    manifest: str = "none"
    target: str = "y"
    split_hash: str = "none"

    def count_rows(self, splits: Sequence[str] = ("train",)) -> int:
        return sum(len(self.blocks[split].y) for split in splits)

    def narrow(self, blocks: Sequence[str], without: Sequence[str]) -> Rows:
        kept = [at for at, name in enumerate(self.columns) if name not in without and (not blocks or name in blocks)]
        chosen = {split: replace(block, x=block.x[:, kept]) for split, block in self.blocks.items()}
        names, sources = (tuple(one[at] for at in kept) for one in (self.columns, self.sources))
        return replace(self, columns=names, sources=sources, blocks=chosen)

    def gather(
        self,
        splits: Sequence[str] = ("train",),
        *,
        n_rows: int = 0,
        seed: int = 0,
        clustered: bool = False,
        bare: bool = False,
    ) -> Block:
        del clustered, bare
        parts = [self.blocks[split] for split in splits if len(self.blocks[split].y)]
        y, fold, clusters, numbers = (
            np.concatenate([getattr(one, name) for one in parts]) for name in ("y", "fold", "clusters", "numbers")
        )
        x = csr_array(np.concatenate([one.x.toarray() for one in parts]))
        block = Block(x, y, fold, clusters, numbers, pl.concat([one.rows for one in parts]))
        if len(splits) > 1:
            block = block.take(np.argsort(block.rows["row"].to_numpy(), kind="stable"))
        return block.take(choose_rows(len(block.y), n_rows, seed)) if n_rows else block


def make_rows(
    x: Any,
    y: Any,
    *,
    test: Any = None,
    clusters: Any = None,
    folds: Any = None,
    classes: tuple[str, ...] = (),
    sources: tuple[str, ...] = (),
    rows: pl.DataFrame | None = None,
) -> Any:
    """Rows of a table; `test` says which of them are tested."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y)
    tested = np.zeros(len(y), bool) if test is None else np.asarray(test, bool)
    numbers = np.arange(len(y))
    groups = numbers % 1000 if clusters is None else np.asarray(clusters)
    fold = np.full(len(y), -1) if folds is None else np.asarray(folds)
    ids = pl.DataFrame({"row": numbers}) if rows is None else rows.with_columns(row=pl.Series(numbers))
    whole = Block(csr_array(x), y, fold, groups, numbers, ids)
    names = tuple(f"x{at}" for at in range(x.shape[1]))
    blocks = {"train": whole.take(~tested), "validation": whole.take(numbers < 0), "test": whole.take(tested)}
    return Rows(
        kind="classification" if classes else "regression",
        classes=classes,
        columns=names,
        sources=sources or names,
        blocks=blocks,
        pieces={split: (Piece(split, f"{split}/0", len(block.y), 0, 0),) for split, block in blocks.items()},
        n_folds=0 if folds is None else int(fold.max()) + 1,
    )


class Memory:
    """As `tahoe_engine.models.kept.Kept`, in memory; counts what is found."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.n_found = 0

    def find(self, key: str) -> bytes | None:
        self.n_found += key in self.stored
        return self.stored.get(key)

    def keep(self, key: str, content: bytes) -> None:
        self.stored[key] = content
