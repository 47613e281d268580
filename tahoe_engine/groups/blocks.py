"""How many wells a worker sums at once, and what that makes it read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tahoe_engine.config import Settings
    from tahoe_engine.groups.anchors import Anchor
    from tahoe_engine.source import Recorded

MOST_WELLS = 16  # a block of them reads 1.1 times its rows where a well is a run of 560 rows
SLOT_BYTES = 2  # of a gene of the vocabulary, in every group
LINE_BYTES = 64  # of a gene that a group has
# Genes of a group of n cells, measured on made-up atlases: 3,000 times n^0.4, until what a line expresses is through.
GENES_OF_A_CELL, GROWTH, EXPRESSED = 3_000, 0.4, 0.45
LONGEST_RANGE = 8 << 20  # as remote reads are cut


@dataclass(frozen=True)
class Block:
    """Parts that are summed together.

    Parameters
    ----------
    anchors : tuple of Anchor
        Neighbours.
    masks : dict of str to int
        By shard: a bit for each row group that is read.
    """

    anchors: tuple[Anchor, ...]
    masks: dict[str, int]

    @property
    def n_cells(self) -> int:
        """Kept cells of its groups."""
        return sum(anchor.n_cells for anchor in self.anchors)

    def count_rows(self, recorded: Mapping[str, Recorded]) -> int:
        """Count the rows of the row groups that are read."""
        return sum(
            rows
            for shard, mask in self.masks.items()
            for index, rows in enumerate(recorded[shard].row_groups)
            if mask >> index & 1
        )

    def count_bytes(self, recorded: Mapping[str, Recorded], gap: int) -> tuple[int, int]:
        """Estimate the bytes of the two list columns that are read, and the requests if the shards lie elsewhere."""
        total = requests = 0
        for shard, mask in self.masks.items():
            one = recorded[shard]
            a_row = one.list_bytes / max(1, one.n_rows)
            # Between the lists of neighbouring row groups stand texts, which are fetched along where they are short.
            joined = (one.size - one.list_bytes) / max(1, len(one.row_groups)) <= gap
            for run in _runs(mask):
                wanted = sum(one.row_groups[index] for index in run) * a_row
                total += round(wanted)
                requests += max(1, math.ceil(wanted / LONGEST_RANGE)) if joined else len(run)
        return total, requests


def make_blocks(anchors: Sequence[Anchor], settings: Settings, *, n_genes: int, n_workers: int) -> list[Block]:
    """Put neighbours together: as many as the memory holds, and no fewer blocks than there are hands.

    Parameters
    ----------
    anchors : sequence of Anchor
        In order.
    settings : Settings
        ``[groups]``: memory, and how many wells at most.
    n_genes : int
        Of the vocabulary.
    n_workers : int
        Processes that sum.

    Returns
    -------
    list of Block
        In the order of the anchors. Where one alone is too large for the memory, the core spills to disk.
    """
    memory = settings.groups.memory_mib << 20
    most = settings.groups.wells_a_block or min(MOST_WELLS, max(1, math.ceil(len(anchors) / (2 * max(1, n_workers)))))
    blocks: list[Block] = []
    held: list[Anchor] = []
    needed = 0
    for anchor in anchors:
        own = estimate_sums(anchor, n_genes=n_genes)
        if held and (len(held) >= most or (not settings.groups.wells_a_block and needed + own > memory)):
            blocks.append(_join(held))
            held, needed = [], 0
        held.append(anchor)
        needed += own
    return [*blocks, _join(held)] if held else blocks


def estimate_sums(anchor: Anchor, *, n_genes: int) -> int:
    """Estimate the bytes that the sums of the groups of an anchor take.

    Parameters
    ----------
    anchor : Anchor
        With its number of cells.
    n_genes : int
        As in `make_blocks`.

    Returns
    -------
    int
        Bytes.
    """
    groups, genes = estimate_genes(anchor, n_genes=n_genes)
    return groups * (n_genes * SLOT_BYTES + genes * LINE_BYTES)


def estimate_genes(anchor: Anchor, *, n_genes: int) -> tuple[int, int]:
    """Estimate how many groups an anchor has, and how many genes each.

    Parameters
    ----------
    anchor : Anchor
        With its number of cells.
    n_genes : int
        As in `make_blocks`.

    Returns
    -------
    groups, genes : int
        Of the anchor, and of one of its groups.
    """
    groups = max(1, anchor.n_groups)
    return groups, round(min(EXPRESSED * n_genes, GENES_OF_A_CELL * (anchor.n_cells / groups) ** GROWTH))


def _join(anchors: list[Anchor]) -> Block:
    masks: dict[str, int] = {}
    for anchor in anchors:
        for shard, mask in anchor.masks.items():
            masks[shard] = masks.get(shard, 0) | mask
    return Block(tuple(anchors), dict(sorted(masks.items())))


def _runs(mask: int) -> Iterator[range]:
    """Give the runs of neighbouring bits."""
    start = None
    for index in range(mask.bit_length() + 1):
        if mask >> index & 1:
            start = index if start is None else start
        elif start is not None:
            yield range(start, index)
            start = None
