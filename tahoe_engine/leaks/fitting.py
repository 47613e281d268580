"""What was fitted on test rows: a column whose mean, range or angles are round over all rows, not over training's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.leaks.leak import Leak
from tahoe_engine.leaks.sheet import read_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

ROWS: Final = 20  # on either side
MANY_VALUES: Final = 20  # a column of fewer may be a balanced code
DISTINCT: Final = 0.5  # of the rows have a value of their own: otherwise zero and one are natural bounds
ROUND: Final = 1e-9  # of the standard deviation
ROUND_SINGLE: Final = 1e-6  # the same for what was kept in 32 bits
OFF: Final = 100  # so many times as far from round must the training rows be
MOST_ROTATED: Final = 300
MOST_CELLS: Final = 40_000_000


def find_fitted_on_test(frame: pl.DataFrame, side: Codes, names: Sequence[str]) -> list[Leak]:
    """Find columns that were standardized, scaled, imputed or rotated with all rows.

    Parameters
    ----------
    frame : polars.DataFrame
        All rows.
    side : numpy.ndarray
        0 = train, 1 and 2 = held out, -1 = neither.
    names : sequence of str
        Of the features.

    Returns
    -------
    list of Leak
        Of kind fitted_on_test.
    """
    import numpy as np

    used = side >= 0
    trains = side[used] == 0
    if trains.sum() < ROWS or (~trains).sum() < ROWS:
        return []
    found: list[Leak] = []
    centred: list[tuple[str, Floats]] = []
    for name in names:
        column = read_numbers(frame[name])
        if column is None or column.n_distinct <= MANY_VALUES:
            continue
        values = column.data[used]
        bar = ROUND_SINGLE if 0 < column.step < ROUND_SINGLE * float(np.nanmax(np.abs(values))) else ROUND
        told = (
            _judge_mean(name, values, trains, bar)
            or _judge_range(name, values, trains)
            or _judge_filled(name, values, trains)
        )
        if told is not None:
            found.append(told)
        elif column.n_distinct > DISTINCT * values.size and not np.isnan(values).any():
            centred.append((name, values))
    return found + _judge_angles(centred, trains)


def _judge_mean(name: str, values: Floats, trains: NDArray[np.bool_], bar: float) -> Leak | None:
    import numpy as np

    known = ~np.isnan(values)
    every, train = values[known], values[known & trains]
    sd, mean = float(every.std()), float(every.mean())
    if train.size < ROWS or train.size == every.size or not sd > 0 or abs(mean) > bar * sd:
        return None
    own, own_sd = float(train.mean()), float(train.std())
    if abs(own) <= OFF * bar * sd:
        return None
    scaled = min(abs(sd - 1), abs(float(every.std(ddof=1)) - 1)) <= OFF * bar
    says = (
        f"{name} was {'standardized' if scaled else 'centred'} over all {every.size:,} rows: their mean is {mean:.1g} "
        f"and sd {sd:.7g}, those of the {train.size:,} training rows {own:.4g} and {own_sd:.4g}"
    )
    facts = {"mean": mean, "sd": sd, "train_mean": own, "train_sd": own_sd}
    return Leak(name, "fitted_on_test", says, (name,), facts)


def _judge_range(name: str, values: Floats, trains: NDArray[np.bool_]) -> Leak | None:
    import numpy as np

    known = ~np.isnan(values)
    every, train = values[known], values[known & trains]
    if train.size < ROWS:
        return None
    low, high = float(every.min()), float(every.max())
    if (low, high) not in {(0.0, 1.0), (-1.0, 1.0)} or ((every == low) | (every == high)).sum() != 2:  # noqa: PLR2004
        return None  # bounds that many rows stand at are natural ones
    own = (float(train.min()), float(train.max()))
    if own == (low, high) or np.unique(every).size <= DISTINCT * every.size:
        return None
    says = (
        f"{name} was scaled to {low:g} … {high:g} over all {every.size:,} rows: those of training reach from "
        f"{own[0]:.6g} to {own[1]:.6g}"
    )
    return Leak(name, "fitted_on_test", says, (name,), {"range": (low, high), "train_range": own})


def _judge_filled(name: str, values: Floats, trains: NDArray[np.bool_]) -> Leak | None:
    import numpy as np

    known = ~np.isnan(values)
    every, where = values[known], trains[known]
    distinct, counts = np.unique(every, return_counts=True)
    often = int(counts.argmax())
    value = float(distinct[often])
    if counts[often] < 3 or distinct.size <= DISTINCT * (every.size - counts[often]):  # noqa: PLR2004
        return None
    rest = every != value
    others, own = every[rest], every[rest & where]
    if own.size < ROWS or own.size == others.size:
        return None
    near = 1e-9 * float(others.std())
    # A median that is a measured value cannot be told from chance: any value in the middle is one.
    for word, of_all, of_train in (
        ("mean", float(others.mean()), float(own.mean())),
        ("median", float(np.median(others)), float(np.median(own))),
    ):
        if abs(value - of_all) <= near < abs(value - of_train) / OFF:
            says = (
                f"{counts[often]:,} values of {name} are {value:.6g}, the {word} of the others over all rows; "
                f"over the training rows it is {of_train:.6g}"
            )
            facts = {"filled": int(counts[often]), word: of_all, f"train_{word}": of_train}
            return Leak(name, "fitted_on_test", says, (name,), facts)
    return None


def _judge_angles(columns: Sequence[tuple[str, Floats]], trains: NDArray[np.bool_]) -> list[Leak]:
    """Tell columns that are at right angles over all rows, and not over those of training: singular vectors."""
    import numpy as np

    columns = columns[:MOST_ROTATED]
    if len(columns) < 2 or len(columns) * trains.size > MOST_CELLS:  # noqa: PLR2004
        return []
    matrix = np.stack([values for _, values in columns])

    def measure(part: Floats) -> Floats:
        norms = np.sqrt((part**2).sum(axis=1))
        angles: Floats = np.abs(part @ part.T) / np.maximum(np.outer(norms, norms), np.finfo(float).tiny)
        return angles

    right = np.triu((measure(matrix) <= ROUND / 10) & (measure(matrix[:, trains]) > OFF * ROUND), 1)
    found = []
    for place in np.flatnonzero(right.any(axis=0) | right.any(axis=1)).tolist():
        name = columns[place][0]
        mates = [columns[one][0] for one in np.flatnonzero(right[place] | right[:, place]).tolist()]
        says = (
            f"{name} is at right angles to {', '.join(mates[:3])}{', …' if len(mates) > 3 else ''} over all "  # noqa: PLR2004
            f"{trains.size:,} rows and not over those of training: singular vectors of all rows"
        )
        found.append(Leak(name, "fitted_on_test", says, (name, *mates), {"right_angles": len(mates)}))
    return found


def find_fitted_elsewhere(provenance: Mapping[str, Any]) -> list[Leak]:
    """Find transformers that were fitted on other rows than those of training.

    Parameters
    ----------
    provenance : mapping
        ``train``: ``rows`` and ``keys`` (count, and sum of row keys modulo 2^64) of the training rows;
        ``transformers``: by name, each with a ``fitted_on`` of the same form, or with none where nothing was fitted.

    Returns
    -------
    list of Leak
        Of kind fitted_on_test.

    Examples
    --------
    >>> train, all_rows = {"rows": 8, "keys": 77}, {"rows": 10, "keys": 91}
    >>> told = {"train": train, "transformers": {"scaler": {"fitted_on": all_rows}, "pca": {"fitted_on": train}}}
    >>> [leak.column for leak in find_fitted_elsewhere(told)]
    ['scaler']
    """
    train = provenance["train"]
    found = []
    for name, told in provenance.get("transformers", {}).items():
        rows = told.get("fitted_on")
        if rows is None or (rows["rows"], rows["keys"]) == (train["rows"], train["keys"]):
            continue
        what = "other rows" if rows["rows"] == train["rows"] else f"{rows['rows']:,} rows"
        says = f"{name} was fitted on {what} than the {train['rows']:,} training rows"
        if rows["rows"] != train["rows"]:
            says = f"{name} was fitted on {what}, and there are {train['rows']:,} training rows"
        facts = {"fitted_on": dict(rows), "train": dict(train)}
        found.append(Leak(str(name), "fitted_on_test", says, (str(name),), facts))
    return found
