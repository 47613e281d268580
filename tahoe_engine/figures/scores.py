"""The numbers that stand beside what is drawn: value, interval, baseline and n, from the table of metrics."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from tahoe_engine.evaluate.directions import METRICS
from tahoe_engine.figures.names import clean_name, format_number
from tahoe_engine.schema import MODEL, SPLIT

if TYPE_CHECKING:
    from collections.abc import Iterable

    import polars as pl

LARGEST: Final = 1e100  # a larger number is not drawn
ROOM: Final = 20  # letters before a baseline that stands on the same line
SHORT: Final = 20  # letters of a metric's name for people; a longer one is called as in the tables


class Number(NamedTuple):
    """One number and what it is to be held against; all but n may be missing."""

    value: float | None
    low: float | None
    high: float | None
    baseline: float | None
    n: int


@dataclass(frozen=True)
class Scores:
    """What models reached, and on what.

    Parameters
    ----------
    metrics : polars.DataFrame, optional
        As `tahoe_engine.schema.models.METRICS` has it; without it figures tell neither numbers nor baselines.
    metric : str
        By which models are compared.
    split : str
        On which they are scores.
    target : str
        Its name.
    unit : str
        Of the target, where it has one.
    """

    metrics: pl.DataFrame | None = field(default=None, repr=False)
    metric: str = ""
    split: str = "test"
    target: str = ""
    unit: str = ""

    @cached_property
    def numbers(self) -> dict[tuple[str, str, str], Number]:
        """Of all rows, by model, split and metric."""
        import polars as pl

        if self.metrics is None:
            return {}
        whole = self.metrics.filter(pl.col("group").is_null())
        return {
            (row[MODEL], row[SPLIT], row["metric"]): Number(
                finite(row["value"]), finite(row["low"]), finite(row["high"]), finite(row["baseline"]), row["n"]
            )
            for row in whole.iter_rows(named=True)
        }

    def find(self, model: str, metric: str = "", split: str = "") -> Number | None:
        """Find a number.

        Parameters
        ----------
        model : str
            Its label.
        metric, split : str
            By default those by which models are compared.

        Returns
        -------
        Number or None
            None where the table does not have it.
        """
        return self.numbers.get((model, split or self.split, metric or self.metric))

    def rank(self, models: Iterable[str]) -> list[str]:
        """Bring models into order, the best first.

        Parameters
        ----------
        models : iterable of str
            Labels.

        Returns
        -------
        list of str
            Each once; equal ones in the order they came in, those without a number last.
        """
        sign = 1.0 if self.smaller_is_better() else -1.0

        def measure(model: str) -> tuple[bool, float]:
            number = self.find(model)
            missing = number is None or number.value is None
            return missing, 0.0 if number is None or number.value is None else sign * number.value

        return sorted(dict.fromkeys(models), key=measure)

    def tell(self, model: str) -> str:
        """Tell in a line or two what a model reached.

        Parameters
        ----------
        model : str
            Its label.

        Returns
        -------
        str
            Empty where nothing is known.
        """
        number = self.find(model)
        if number is None:
            return ""
        told = f"{name_metric(self.metric)} {format_number(number.value)}"
        if number.baseline is None:
            return told
        # On a line of its own where both would not fit above a panel.
        between = "\n" if len(told) > ROOM else ", "
        return f"{told}{between}baseline {format_number(number.baseline)}"

    def smaller_is_better(self) -> bool:
        """Tell whether the metric is one of error."""
        return is_error(self.metric)

    def name_split(self) -> str:
        """Give the split's name."""
        return clean_name(self.split)

    def name_target(self) -> str:
        """Give the target with its unit."""
        name = clean_name(self.target, 24) if self.target else "target"
        return f"{name} [{clean_name(self.unit, 16)}]" if self.unit else name


def is_error(metric: str) -> bool:
    """Tell whether a metric is better the smaller it is.

    Parameters
    ----------
    metric : str
        As the tables have it.

    Returns
    -------
    bool
        False for one that is not known.

    Examples
    --------
    >>> is_error("rmse"), is_error("r2")
    (True, False)
    """
    return metric in METRICS and not METRICS[metric].larger


def name_metric(metric: str) -> str:
    """Give a metric's name to people.

    Parameters
    ----------
    metric : str
        As the tables have it.

    Returns
    -------
    str
        Short.

    Examples
    --------
    >>> name_metric("balanced_accuracy"), name_metric("r2"), name_metric("roc_auc")
    ('balanced accuracy', 'R²', 'roc auc')
    """
    title = METRICS[metric].title if metric in METRICS else ""
    return title if 0 < len(title) <= SHORT else clean_name(metric.replace("_", " "))


def finite(value: float | None) -> float | None:
    """Give a number, or none where it is not one that can be drawn.

    Parameters
    ----------
    value : float, optional
        Any.

    Returns
    -------
    float or None
        Never NaN, infinite, or so large that the room of a figure overflows.

    Examples
    --------
    >>> finite(1.5), finite(float("inf")), finite(1e200)
    (1.5, None, None)
    """
    return None if value is None or not math.isfinite(value) or abs(value) > LARGEST else float(value)
