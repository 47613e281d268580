"""Models beside those that look at no feature: the baseline of every metric, and whether it is beaten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import ConfigError
from tahoe_engine.evaluate.directions import METRICS, choose_primary
from tahoe_engine.evaluate.metrics import list_judges
from tahoe_engine.evaluate.pairing import Pairing
from tahoe_engine.evaluate.pairs import adjust_holm
from tahoe_engine.evaluate.resample import bound_values, draw_resamples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from tahoe_engine.evaluate.judges import Judge
    from tahoe_engine.evaluate.tally import Tally

    Floats = NDArray[np.float64]

# Metric of a task: what is shown, and the mean over rows or classes that is tested. What is not here is both.
# A guess without knowledge must not be better than the baseline by construction: guessing each class now and then has a
# higher macro F1 than the majority, a shuffled order of few rows a higher average precision than a constant, and a
# constant has no calibration error. Matthews' correlation is above 0 where balanced accuracy is above that of a guess.
TESTED_BY: Final = {
    "rmse": ("rmse", "mse"),
    "r2": ("r2", "mse"),
    **dict.fromkeys(("pearson", "spearman", "r2_clusters", "explained_of_ceiling"), ("mse", "mse")),
    **dict.fromkeys(("f1_macro", "mcc"), ("balanced_accuracy", "balanced_accuracy")),
    "average_precision": ("roc_auc", "roc_auc"),
    "ece": ("brier", "brier"),
}


def add_baselines(metrics: pl.DataFrame, baselines: Sequence[str]) -> pl.DataFrame:
    """Add the value of the best baseline to every metric.

    Parameters
    ----------
    metrics : polars.DataFrame
        With ``model``, ``split``, ``group``, ``metric`` and ``value``; where it has a ``mode``, modes are kept apart.
    baselines : sequence of str
        Models that look at no feature.

    Returns
    -------
    polars.DataFrame
        The same rows with ``baseline``: the best value of these of the same split, group and metric; null where there
        is none, and for metrics that tell of the rows alone.

    Examples
    --------
    >>> import polars as pl
    >>> rows = [("mean", "test", None, "rmse", 1.0), ("ridge", "test", None, "rmse", 0.4)]
    >>> metrics = pl.DataFrame(rows, schema=["model", "split", "group", "metric", "value"], orient="row")
    >>> add_baselines(metrics, ["mean"])["baseline"].to_list()
    [1.0, 1.0]
    """
    import polars as pl

    keys = [name for name in ("mode", "split", "group", "metric") if name in metrics.columns]
    larger = [name for name, metric in METRICS.items() if metric.larger]
    about_rows = [name for name, metric in METRICS.items() if not metric.of_model]
    value = pl.col("value").cast(pl.Float64)
    best = (
        metrics.filter(pl.col("model").is_in(list(baselines)), ~pl.col("metric").is_in(about_rows))
        .group_by(keys)
        .agg(
            pl.when(pl.col("metric").first().is_in(larger)).then(value.max()).otherwise(value.min()).alias("baseline"),
        )
    )
    bare = metrics.drop("baseline", strict=False)
    return bare.join(best, on=keys, how="left", nulls_equal=True, maintain_order="left")


def test_models(  # noqa: PLR0913 -- what is tested, and how
    tallies: Mapping[str, Tally],
    baselines: Sequence[str],
    *,
    metric: str = "",  # noqa: PT028 -- it is no test of pytest
    n_bootstrap: int = 1000,  # noqa: PT028
    seed: int = 0,  # noqa: PT028
    alpha: float = 0.05,  # noqa: PT028
) -> pl.DataFrame:
    """Test whether models are better than the best baseline.

    Parameters
    ----------
    tallies : mapping of str to Tally
        Of each model, baselines too, on the same rows.
    baselines : sequence of str
        Models that look at no feature.
    metric : str
        To compare by; by default that of the kind. Some are no means over rows, or are better for a guess without
        knowledge than for the baseline; for those another is tested (`TESTED_BY`), and the column ``metric`` says so.
    n_bootstrap : int
        Resamples for the interval of the difference.
    seed : int
        Of resamples and sign changes.
    alpha : float
        Level of the whole family of models.

    Returns
    -------
    polars.DataFrame
        ``model``, ``metric``, ``baseline``, ``difference`` (positive where the model is better), ``low``, ``high``,
        ``n_groups``, ``p_value``, ``p_holm``, ``p_least`` (``p_holm`` that a model without a mistake would have),
        ``beats_baseline``: as `tahoe_engine.schema.models.TESTS` has them, in the order of the tallies. Empty without a
        baseline. No P value with fewer than two clusters.

    Raises
    ------
    ConfigError
        If a baseline has no tally, or tallies are of different rows.

    See Also
    --------
    tahoe_engine.evaluate.pairs.compute_p_value : The test of one model.

    Notes
    -----
    One-sided and paired over the clusters. The best baseline is the best on these very rows, which makes the test
    conservative. ``rmse`` and ``r2`` are tested by mean squared error, of which they are functions on the same rows.
    Families: S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Stat. 6 (1979) 65-70. A model
    beats the baseline if its P value after Holm is below `alpha` and the interval of the difference lies above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from tahoe_engine.evaluate.tally import collect_tally
    >>> y, wells = np.arange(40.0) % 7, np.arange(40) % 10
    >>> guesses = {"mean": np.full(40, y.mean()), "good": y + 0.1 * (-1) ** np.arange(40)}
    >>> tallies = {name: collect_tally(y, guess, wells, kind="regression") for name, guess in guesses.items()}
    >>> test_models(tallies, ["mean"], metric="rmse").select("model", "baseline", "n_groups", "beats_baseline").rows()
    [('good', 'mean', 10, True)]
    """
    import numpy as np
    import polars as pl

    strange = [name for name in baselines if name not in tallies]
    if strange:
        raise ConfigError(f"the baseline {strange[0]!r} has no tally: there are {', '.join(tallies) or 'none'}")
    rows: list[tuple[Any, ...]] = []
    tested = [name for name in tallies if name not in baselines]
    if tested and baselines:
        first = tallies[tested[0]]
        primary = choose_primary(first.kind, metric)
        shown, loss = TESTED_BY.get(primary, (primary, primary))
        judges = _find_judges(tallies, (shown, loss))
        sign = 1.0 if METRICS[shown].larger else -1.0
        loss_sign = 1.0 if METRICS[loss].larger else -1.0
        everything = np.ones((1, first.clusters.size))
        known = {name: judge.score(everything) for name, judge in judges.items() if judge is not None}
        able = [name for name in baselines if name in known and not np.isnan(known[name][loss][0])]
        best = max(able, key=lambda name: loss_sign * known[name][loss][0], default=baselines[0])
        resamples = _resample(judges, shown, first.clusters.size, n_bootstrap, seed)
        pair = Pairing(judges, best, loss, first.cells.select(0).n.astype(np.float64), seed)
        for name in tested:
            if name not in known or best not in known or np.isnan(known[name][loss][0] - known[best][loss][0]):
                rows.append((name, shown, best, None, None, None, first.clusters.size, None))
                continue
            difference = sign * float(known[name][shown][0] - known[best][shown][0])
            low, high = bound_values(sign * (resamples[name] - resamples[best]))
            rows.append((name, shown, best, difference, low, high, first.clusters.size, pair.test(name)))
        least = pair.test_perfect()
    else:
        least = None
    adjusted = adjust_holm([row[-1] for row in rows])
    if least is not None:
        least = min(1.0, least * sum(row[-1] is not None for row in rows))
    judged = [
        (
            *row,
            p_holm,
            None if p_holm is None else least,
            p_holm is not None and p_holm < alpha and row[4] is not None and row[4] > 0,
        )
        for row, p_holm in zip(rows, adjusted, strict=True)
    ]
    numbers = {name: pl.Float64() for name in ("difference", "low", "high")}
    schema = {"model": pl.String(), "metric": pl.String(), "baseline": pl.String(), **numbers, "n_groups": pl.UInt64()}
    schema |= dict.fromkeys(("p_value", "p_holm", "p_least"), pl.Float64()) | {"beats_baseline": pl.Boolean()}
    return pl.DataFrame(judged, schema=schema, orient="row")


def tell_better(row: Mapping[str, Any], *, alpha: float = 0.05) -> str:
    """Tell in words what a test came to.

    Parameters
    ----------
    row : mapping
        Of `test_models`.
    alpha : float
        Level of the tests.

    Returns
    -------
    {"yes", "no", "cannot be told"}
        The last where the model did better, and not even one without a mistake would have been found to be better.

    Examples
    --------
    >>> tell_better({"beats_baseline": False, "difference": 0.2, "p_least": 0.1875})
    'cannot be told'
    >>> tell_better({"beats_baseline": False, "difference": 0.2, "p_least": 0.001})
    'no'
    """
    if row["beats_baseline"]:
        return "yes"
    ahead = row["difference"] is not None and row["difference"] > 0
    return "cannot be told" if ahead and (row["p_least"] is None or row["p_least"] >= alpha) else "no"


def _find_judges(tallies: Mapping[str, Tally], wanted: tuple[str, str]) -> dict[str, Judge | None]:
    """Find who gives both metrics of each model; None where nobody does."""
    import numpy as np

    first = next(iter(tallies.values()))
    sizes = first.cells.select(0).n
    found: dict[str, Judge | None] = {}
    for name, tally in tallies.items():
        same = tally.kind == first.kind and np.array_equal(tally.clusters, first.clusters)
        if not same or not np.array_equal(tally.cells.select(0).n, sizes):
            raise ConfigError(f"the tally of {name!r} is of other rows: models are compared on the rows of one split")
        judges = list_judges(tally, first.clusters, 0, wanted)
        found[name] = next((judge for judge in judges if set(wanted) <= set(judge.names)), None)
    return found


def _resample(
    judges: Mapping[str, Judge | None], metric: str, n_clusters: int, n_bootstrap: int, seed: int
) -> dict[str, Floats]:
    """Score each model in the same resamples."""
    import numpy as np

    drawn: dict[str, list[Floats]] = {name: [np.empty(0)] for name in judges}
    for weights in draw_resamples(n_clusters, n_bootstrap if n_clusters > 1 else 0, seed):
        for name, judge in judges.items():
            if judge is not None:
                drawn[name].append(judge.score(weights)[metric])
    return {name: np.concatenate(values) for name, values in drawn.items()}
