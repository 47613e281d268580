"""The method `welch`: cells against cells, from the moments of their groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from tahoe_engine.contrasts.adjust import adjust_bh
from tahoe_engine.contrasts.computed import GROUPS_AT_ONCE, Computed, Facts
from tahoe_engine.contrasts.flags import FALSE_DISCOVERIES, count_zero_significant
from tahoe_engine.contrasts.moments import Moments, align_moments, pool_moments
from tahoe_engine.contrasts.shrink import shrink_lfc
from tahoe_engine.contrasts.welch import test_welch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from tahoe_engine.contrasts.design import Contrast, Side, Stratum
    from tahoe_engine.groups.gather import MomentParts

COLUMNS: Final = ("sum_counts", "mean_log1p_cp10k", "var_log1p_cp10k")


@dataclass(frozen=True)
class _Pooled:
    """Moments of a side over the genes it has counts of."""

    genes: NDArray[np.int32]
    moments: Moments

    def spread(self, genes: NDArray[np.int32]) -> Moments:
        """Give the same over more genes, ascending."""
        mean, var = np.zeros(genes.size), np.zeros(genes.size)
        if self.moments.n <= 1:
            var[:] = np.nan
        place = np.searchsorted(genes, self.genes)
        mean[place], var[place] = self.moments.mean, self.moments.var
        return Moments(self.moments.n, mean, var)


def compare_cells(stratum: Stratum, moments: MomentParts) -> Iterator[Computed]:
    """Compare the cells of every treatment with those of the control.

    Parameters
    ----------
    stratum : Stratum
        With controls.
    moments : MomentParts
        That hold its groups.

    Yields
    ------
    Computed
        In the order of the contrasts. The means are those of log1p of counts per ten thousand over the cells.

    Raises
    ------
    StageError
        If the moments cannot be read.
    """
    (control,) = _pool([stratum.control], stratum, moments)
    for batch in _batches(stratum.contrasts):
        treated = _pool([contrast.treated for contrast in batch], stratum, moments)
        genes = np.unique(np.concatenate([control.genes, *(side.genes for side in treated)]))
        known = control.spread(genes)
        for contrast, side in zip(batch, treated, strict=True):
            yield _compare(contrast, side.spread(genes), known, genes)


def _compare(contrast: Contrast, treated: Moments, control: Moments, genes: NDArray[np.int32]) -> Computed:
    # Whatever other contrasts have counts of is no gene of this one.
    listed = np.flatnonzero((treated.mean != 0) | (control.mean != 0))
    one, other = (Moments(side.n, side.mean[listed], side.var[listed]) for side in (treated, control))
    result = test_welch(one, other)
    pvals = np.where(result.tested, result.pvals, np.nan)
    adjusted = adjust_bh(pvals)
    finite = result.scores[np.isfinite(result.scores)]
    columns: dict[str, NDArray[np.generic]] = {
        "gene": genes[listed],
        "logfoldchanges": result.logfoldchanges,
        "scores": np.where(result.tested, result.scores, np.nan),
        "pvals": pvals,
        "pvals_adj": adjusted,
        "mean_treated": one.mean,
        "mean_control": other.mean,
        "lfc_shrunken": shrink_lfc(result.lfc_bounded, result.lfc_se),
    }
    facts = Facts(
        contrast,
        n_genes=listed.size,
        mean_score=float(finite.mean()) if finite.size else float("nan"),
        n_zero_significant=int(count_zero_significant(one.mean, other.mean, adjusted)),
        n_significant=int((adjusted < FALSE_DISCOVERIES).sum()),
        untestable=not result.tested.any(),
    )
    return Computed(facts, columns)


def _pool(sides: Sequence[Side], stratum: Stratum, moments: MomentParts) -> list[_Pooled]:
    """Pool the groups of each side; they are read together, and a few at a time."""
    found: list[list[_Pooled]] = [[] for _ in sides]
    flat = [(place, group) for place, side in enumerate(sides) for group in side.groups]
    for start in range(0, len(flat), GROUPS_AT_ONCE):
        part = flat[start : start + GROUPS_AT_ONCE]
        ids = [group for _, group in part]
        cells = pl.DataFrame(
            {"group_id": ids, "n_cells": [stratum.n_cells[group] for group in ids]},
            schema={"group_id": pl.Int32, "n_cells": pl.Int64},
        )
        aligned = align_moments([moments.read(ids, COLUMNS)], cells)
        for place in dict.fromkeys(place for place, _ in part):
            rows = [row for row, (owner, _) in enumerate(part) if owner == place]
            # A group alone is left as it is: pooling would round.
            alone = Moments(int(cells["n_cells"][rows[0]]), aligned.moments.mean[rows[0]], aligned.moments.var[rows[0]])
            found[place].append(_Pooled(aligned.genes, aligned.pool(rows) if len(rows) > 1 else alone))
    return [_merge(pieces) for pieces in found]


def _merge(pieces: Sequence[_Pooled]) -> _Pooled:
    genes = np.unique(np.concatenate([piece.genes for piece in pieces]))
    pooled = pool_moments([piece.spread(genes) for piece in pieces]) if len(pieces) > 1 else pieces[0].spread(genes)
    own = np.flatnonzero(pooled.mean != 0)
    return _Pooled(genes[own], Moments(pooled.n, pooled.mean[own], pooled.var[own]))


def _batches(contrasts: Sequence[Contrast]) -> Iterator[list[Contrast]]:
    """Give contrasts in a row whose groups can be read together."""
    batch: list[Contrast] = []
    held = 0
    for contrast in contrasts:
        n_groups = len(contrast.treated.groups)
        if batch and held + n_groups > GROUPS_AT_ONCE:
            yield batch
            batch, held = [], 0
        batch.append(contrast)
        held += n_groups
    if batch:
        yield batch
