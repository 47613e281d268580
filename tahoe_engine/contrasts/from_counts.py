"""The method `limma`: wells against wells, by one joint linear model of all groups of a stratum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tahoe_engine.contrasts.adjust import adjust_bh
from tahoe_engine.contrasts.computed import CONTRASTS_AT_ONCE, Computed, Facts
from tahoe_engine.contrasts.flags import FALSE_DISCOVERIES, count_zero_significant
from tahoe_engine.contrasts.limma import filter_by_expr, fit_counts
from tahoe_engine.contrasts.matrix import build_matrix
from tahoe_engine.contrasts.shrink import shrink_lfc
from tahoe_engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tahoe_engine.contrasts.design import Contrast, Stratum
    from tahoe_engine.contrasts.limma import Fit
    from tahoe_engine.groups.gather import MomentParts
    from tahoe_engine.sections import ContrastsSettings


def compare_wells(stratum: Stratum, moments: MomentParts, settings: ContrastsSettings) -> Iterator[Computed]:
    """Fit the groups of a stratum together, and compare every treatment with the control.

    Parameters
    ----------
    stratum : Stratum
        With controls.
    moments : MomentParts
        That hold its groups.
    settings : ContrastsSettings
        Filter and prior.

    Yields
    ------
    Computed
        In the order of the contrasts. The means are fitted log2 counts per million: of the control with the blocks in
        the shares they have among the samples, and of the treated so much more as the fold change says. Genes without
        counts enough in the stratum are not tested and not listed.

    Raises
    ------
    StageError
        If the moments cannot be read.

    Notes
    -----
    Filter, TMM, voom, weighted least squares and moderated t of `tahoe_engine.contrasts.limma`. A treatment in a single
    well is fitted exactly; what differs between wells is then known from the replicated ones, the controls above all.
    """
    genes, counts = _read_counts(stratum, moments)
    matrix = build_matrix(stratum, _list_empty(stratum, counts))
    if matrix.estimable.any():
        kept = filter_by_expr(_take(stratum, counts, matrix.groups), matrix.design, min_count=settings.min_counts)
        genes, counts = genes[kept], counts[kept]
        # A well may have counts of nothing but genes that were left out.
        matrix = build_matrix(stratum, _list_empty(stratum, counts)) if genes.size else matrix
    if not genes.size or not matrix.estimable.any():
        for contrast, estimable in zip(stratum.contrasts, matrix.estimable, strict=True):
            yield _tell_nothing(contrast, estimable=bool(estimable))
        return
    fit = fit_counts(_take(stratum, counts, matrix.groups), matrix.design, robust=settings.robust)
    means = fit.estimate(matrix.control[:, None])[:, 0]
    control = _take(stratum, counts, stratum.control.groups).sum(axis=1)
    for start in range(0, len(stratum.contrasts), CONTRASTS_AT_ONCE):
        part = slice(start, start + CONTRASTS_AT_ONCE)
        can = matrix.estimable[part]
        results = iter(_test(fit, matrix.contrasts[:, part][:, can]))
        for contrast, estimable in zip(stratum.contrasts[part], can, strict=True):
            if not estimable:
                yield _tell_nothing(contrast, estimable=False)
                continue
            treated = _take(stratum, counts, contrast.treated.groups).sum(axis=1)
            yield _describe(contrast, genes, means, next(results), treated, control, fit)


def _read_counts(stratum: Stratum, moments: MomentParts) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Give the genes that any group has, ascending, and their counts: genes by groups."""
    rows = moments.read(stratum.groups, ["sum_counts"])
    genes, row = np.unique(rows["gene"].to_numpy(), return_inverse=True)
    counts = np.zeros((genes.size, len(stratum.groups)))
    counts[row, np.searchsorted(stratum.groups, rows["group_id"].to_numpy())] = rows["sum_counts"].to_numpy()
    return genes.astype(np.int32), counts


def _take(stratum: Stratum, counts: NDArray[np.float64], groups: tuple[int, ...]) -> NDArray[np.float64]:
    return counts[:, np.searchsorted(stratum.groups, groups)]


def _list_empty(stratum: Stratum, counts: NDArray[np.float64]) -> set[int]:
    return {group for group, total in zip(stratum.groups, counts.sum(axis=0), strict=True) if total == 0}


@dataclass(frozen=True)
class _Tests:
    """One contrast of all genes; None where nothing tells chance from effect."""

    changes: NDArray[np.float64]
    scores: NDArray[np.float64] | None = None
    pvals: NDArray[np.float64] | None = None
    odds: NDArray[np.float64] | None = None
    df_prior: float | None = None


def _test(fit: Fit, contrasts: NDArray[np.float64]) -> list[_Tests]:
    if not contrasts.shape[1]:
        return []
    if fit.df_residual:
        try:
            tested = fit.test(contrasts)
        except ConfigError:
            pass  # no gene varies between replicates: as good as none
        else:
            # Of genes that are no outliers: those have less.
            df_prior = float(np.max(tested.df_prior))
            return [
                _Tests(tested.logFC[:, at], tested.t[:, at], tested.p_value[:, at], tested.B[:, at], df_prior)
                for at in range(contrasts.shape[1])
            ]
    return [_Tests(changes) for changes in fit.estimate(contrasts).T]


def _describe(  # noqa: PLR0913, PLR0917 - what the rows of a contrast are made of
    contrast: Contrast,
    genes: NDArray[np.int32],
    means: NDArray[np.float64],
    tests: _Tests,
    treated: NDArray[np.float64],
    control: NDArray[np.float64],
    fit: Fit,
) -> Computed:
    listed = np.flatnonzero((treated > 0) | (control > 0))
    unknown = np.full(listed.size, np.nan)
    scores, pvals, odds = (
        unknown if column is None else column[listed] for column in (tests.scores, tests.pvals, tests.odds)
    )
    changes, mean = tests.changes[listed], means[listed]
    adjusted = adjust_bh(pvals)
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = np.abs(changes / scores)  # moderated, as t is
    finite = scores[np.isfinite(scores)]
    columns: dict[str, NDArray[np.generic]] = {
        "gene": genes[listed],
        "logfoldchanges": changes,
        "scores": scores,
        "pvals": pvals,
        "pvals_adj": adjusted,
        "mean_treated": mean + changes,
        "mean_control": mean,
        "lfc_shrunken": unknown if tests.scores is None else shrink_lfc(changes, errors),
        "AveExpr": fit.AveExpr[listed],
        "B": odds,
    }
    facts = Facts(
        contrast,
        n_genes=listed.size,
        mean_score=float(finite.mean()) if finite.size else float("nan"),
        n_zero_significant=int(count_zero_significant(treated[listed], control[listed], adjusted)),
        n_significant=int((adjusted < FALSE_DISCOVERIES).sum()),
        untestable=tests.scores is None,
        df_residual=fit.df_residual,
        df_prior=tests.df_prior,
    )
    return Computed(facts, columns)


def _tell_nothing(contrast: Contrast, *, estimable: bool) -> Computed:
    return Computed(Facts(contrast, estimable=estimable), {})
