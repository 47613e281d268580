"""Metrics of a tally: each with its number of rows and its interval, for all rows and for every group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import ConfigError
from tahoe_engine.evaluate.ceiling import judge_ceiling
from tahoe_engine.evaluate.directions import find_metric, list_metrics
from tahoe_engine.evaluate.judges import RegressionJudge, judge_classes, judge_regression
from tahoe_engine.evaluate.order import judge_spearman
from tahoe_engine.evaluate.ranking import judge_class_ranks
from tahoe_engine.evaluate.resample import bound_values, draw_resamples

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from tahoe_engine.evaluate.judges import Judge
    from tahoe_engine.evaluate.tally import Tally

FEWEST_RANKED: Final = 50  # rows of the sample that a group must have for rank metrics
GROUP_BINS: Final = 16  # of the scores of a group: there may be hundreds of groups


def compute_metrics(  # noqa: PLR0913 -- what is computed, and how
    tally: Tally,
    *,
    classes: Sequence[str] = (),
    n_bootstrap: int = 1000,
    seed: int = 0,
    only: Sequence[str] = (),
    bound_groups: bool = True,
) -> pl.DataFrame:
    """Compute the metrics of a split.

    Parameters
    ----------
    tally : Tally
        Of all its rows.
    classes : sequence of str
        Names of the classes, those that the model never saw last; checked against the codes where given.
    n_bootstrap : int
        Resamples of the clusters; 0 = no intervals.
    seed : int
        Of the resamples: models of one split with the same seed are resampled alike.
    only : sequence of str
        Metrics that are wanted; empty: all that the tally can give.
    bound_groups : bool
        Whether groups have intervals.

    Returns
    -------
    polars.DataFrame
        ``group`` (null for all rows), ``metric``, ``value``, ``low``, ``high`` and ``n``: as
        `tahoe_engine.schema.models.METRICS` has them. `n` of a rank metric is that of the sample. A value is null where
        the metric is not defined: R² of a target that does not vary, the area under the curve of a single class.

    Raises
    ------
    ConfigError
        If a metric does not exist for the kind of target, or there are fewer classes than codes.

    Notes
    -----
    Intervals are the 2.5th and 97.5th percentiles over resamples of whole clusters (the cluster bootstrap: A. C.
    Davison and D. V. Hinkley, Bootstrap methods and their application, Cambridge 1997, §3.8); null with fewer than two.
    With few clusters they are too narrow. A group is resampled with the clusters it has in the resample of all.
    Definitions are those of scikit-learn; where it warns and gives 0 for what is not defined, the value is null or left
    out of a mean (see the judges). Rank metrics of a group are given if the sample has 50 rows of it, and without an
    interval: there may be hundreds of groups. ``explained_of_ceiling`` is null where the interval of the ceiling
    reaches 0: a share of what may be nothing says nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from tahoe_engine.evaluate.tally import collect_tally
    >>> y = np.array([1.0, 2.0, 3.0, 4.0])
    >>> tally = collect_tally(y, y + 0.5, np.array([0, 0, 1, 1]), kind="regression")
    >>> compute_metrics(tally, only=["rmse"]).row(0)
    (None, 'rmse', 0.5, 0.5, 0.5, 4)
    """
    import numpy as np
    import polars as pl

    for name in only:
        find_metric(name, tally.kind)
    if classes and len(classes) < tally.n_codes:
        raise ConfigError(f"{len(classes)} names for {tally.n_codes} classes: name those the model never saw, too")
    clusters = tally.clusters
    judges = [
        (segment, judge)
        for segment in range(len(tally.segments))
        for judge in list_judges(tally, clusters, segment, only or list_metrics(tally.kind))
    ]
    whole = [judge.score(np.ones((1, clusters.size))) for _, judge in judges]
    drawn: list[list[dict[str, NDArray[np.float64]]]] = [[] for _ in judges]
    if clusters.size > 1:
        for weights in draw_resamples(clusters.size, n_bootstrap, seed):
            for (segment, judge), scores in zip(judges, drawn, strict=True):
                bounded = segment == 0 or (bound_groups and not any(find_metric(name).ranked for name in judge.names))
                if judge.n_clusters > 1 and bounded:
                    scores.append(judge.score(weights))
    rows = []
    for (segment, judge), values, resamples in zip(judges, whole, drawn, strict=True):
        for name in judge.names:
            value = float(values[name][0])
            low, high = bound_values(np.concatenate([scores[name] for scores in resamples] or [np.empty(0)]))
            known = not np.isnan(value)
            group = tally.segments[segment] or None
            rows.append(
                (group, name, value if known else None, *((low, high) if known else (None, None)), judge.n_rows)
            )
    unsure = _find_unsure(rows, bound_groups=bound_groups) if n_bootstrap else set()
    rows = [(*row[:2], None, None, None, row[5]) if row[:2] in unsure else row for row in rows]
    order = {name: place for place, name in enumerate(list_metrics(tally.kind))}
    places = {segment or None: place for place, segment in enumerate(tally.segments)}
    rows.sort(key=lambda row: (places[row[0]], order[row[1]]))
    rows = [row for row in rows if not only or row[1] in only]
    schema = {
        "group": pl.String(),
        "metric": pl.String(),
        **dict.fromkeys(("value", "low", "high"), pl.Float64()),
        "n": pl.UInt64(),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _find_unsure(rows: Sequence[tuple[Any, ...]], *, bound_groups: bool) -> set[tuple[str | None, str]]:
    """Find the groups whose ceiling is within its own noise: what of it is explained."""
    ceilings = [row for row in rows if row[1] == "eta_squared_adjusted" and (bound_groups or row[0] is None)]
    return {(row[0], "explained_of_ceiling") for row in ceilings if row[3] is None or row[3] <= 0}


def list_judges(tally: Tally, clusters: NDArray[np.int64], segment: int, wanted: Sequence[str]) -> list[Judge]:
    """List the judges of a segment that give what is wanted.

    Parameters
    ----------
    tally : Tally
        With the segment.
    clusters : ndarray of int64
        Codes of all clusters, ascending: what weights stand for.
    segment : int
        Its number; 0 is all rows.
    wanted : sequence of str
        Metrics.

    Returns
    -------
    list of Judge
        None of them for a segment without rows.
    """
    import numpy as np

    cells = tally.cells.select(segment)
    if not len(cells.n):
        return []
    at = np.searchsorted(clusters, cells.keys[:, 1])
    found: list[Judge | None] = []
    if tally.kind == "regression":
        model: RegressionJudge = judge_regression(cells, at)
        found.append(model)
        strata = tally.strata.select(segment)
        if len(strata.n) and {"eta_squared", "eta_squared_adjusted", "explained_of_ceiling"} & set(wanted):
            found.append(judge_ceiling(strata, np.searchsorted(clusters, strata.keys[:, 2]), model))
    else:
        found.append(judge_classes(cells, tally.classes.select(segment), at))
    if any(find_metric(name).ranked for name in wanted):
        sample = tally.sample.select(segment)
        if segment == 0:
            ranks: Judge | None = (
                judge_spearman(sample, clusters) if tally.kind == "regression" else judge_class_ranks(sample, clusters)
            )
            found.append(ranks)
        elif sample.y.size >= FEWEST_RANKED and tally.kind == "regression":
            found.append(judge_spearman(sample, clusters, bins=GROUP_BINS))
        elif sample.y.size >= FEWEST_RANKED:
            found.append(judge_class_ranks(sample, clusters, bins=GROUP_BINS))
    return [judge for judge in found if judge is not None and set(judge.names) & set(wanted)]
