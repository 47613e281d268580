"""What the card of a task tells of, in the order in which it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from tahoe_engine.evaluate.baselines import tell_better
from tahoe_engine.evaluate.pairs import count_needed
from tahoe_engine.evaluate.verdict import NOT_TOLD
from tahoe_engine.models.markdown import escape_text, format_spread, format_value, quote_name, quote_names
from tahoe_engine.schema import MODEL, SPLIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import polars as pl

    from tahoe_engine.figures import Scores


@dataclass(frozen=True)
class Findings:
    """Tables, figures and who is a baseline.

    Parameters
    ----------
    tables : mapping
        As `write_page` takes them.
    scores : Scores
        The metrics, and by what models are judged.
    figures : tuple of str
        Names of the files.
    baselines : frozenset of str
        Labels of the models that look at no feature.
    """

    tables: Mapping[str, pl.DataFrame] = field(repr=False)
    scores: Scores
    figures: tuple[str, ...]
    baselines: frozenset[str]

    def rows(self, name: str, **wanted: str | None) -> pl.DataFrame | None:
        """Give the rows of a table that have these values.

        Parameters
        ----------
        name : str
            Of the table.
        **wanted
            Value by column; None is null.

        Returns
        -------
        polars.DataFrame or None
            None where there is no such row.
        """
        import polars as pl

        table = self.tables.get(name)
        if table is None:
            return None
        there = table.filter(*(pl.col(column).eq_missing(value) for column, value in wanted.items()))
        return there if there.height else None

    @cached_property
    def order(self) -> list[str]:
        """All models, the best first."""
        told = [model for model, split, _ in self.scores.numbers if split == self.scores.split]
        return self.scores.rank(told)

    def best(self) -> str | None:
        """Name the best model that looks at features; none where none has a number."""
        for model in self.order:
            number = self.scores.find(model)
            if model not in self.baselines and number is not None and number.value is not None:
                return model
        return None

    def sort(self, table: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
        """Part a table by model, the best model first."""
        import polars as pl

        return [(model, table.filter(pl.col(MODEL) == model)) for model in self.scores.rank(table[MODEL])]

    @cached_property
    def tests(self) -> pl.DataFrame | None:
        """The tests against the baseline, on the split that models are judged on."""
        return self.rows("tests", **{SPLIT: self.scores.split})

    def n_groups(self) -> int | None:
        """Count the groups that were tested; none where there was no test."""
        return None if self.tests is None else max(self.tests["n_groups"].to_list())

    def tell(self, models: Iterable[str]) -> str:
        """Say in words what models reached, for those who do not see a figure."""
        told = []
        for model in models:
            number = self.scores.find(model)
            if number is not None:
                against = f"{format_value(number.value)}, baseline {format_value(number.baseline)}"
                told.append(f"{model}: {self.scores.metric} {against}")
        return "; ".join(told)

    def tell_winners(self) -> str:
        """Say in a sentence whether anything beats the baseline."""
        tests = self.tests
        if tests is None:
            return "Nothing was tested against a baseline."
        winners = tests.filter(tests["beats_baseline"])[MODEL].to_list()
        how = (
            f"{quote_name(tests['metric'][0])} on {quote_name(self.scores.split)}, one-sided, paired over "
            f"{self.n_groups():,} groups, Holm over {tests.height} models"
        )
        words = [tell_better(row) for row in tests.iter_rows(named=True)]
        unknown = words.count(NOT_TOLD)
        if not winners and unknown:
            others = len(words) - unknown
            rest = f" The other {'one' if others == 1 else others} did no better there." if others else ""
            are = f"{unknown} of {len(words)} models {'is' if unknown == 1 else 'are'}"
            told = f"**It cannot be told whether {are} better than the best baseline** ({how})."
            return f"{told} {self.tell_least()}{rest}"
        if not winners:
            return f"**No model is better than the best baseline** ({how}): nothing was learnt that holds there."
        better = f"{len(winners)} of {tests.height} models are better than the best baseline"
        return f"{better} ({how}): {quote_names(winners)}."

    def tell_least(self) -> str:
        """Say how small a P value could have been, and how many groups it takes; nothing where nothing was tested."""
        tests = self.tests
        if tests is None:
            return ""
        return describe_least(tests)

    def tell_stand_in(self) -> str:
        """Say that another metric is tested than the one models are judged by; else nothing."""
        tested = "" if self.tests is None else self.tests["metric"][0]
        if not tested or tested == self.scores.metric:
            return ""
        return (
            f"Models are judged by {quote_name(self.scores.metric)} and tested by {quote_name(tested)}: by the first a "
            "guess without knowledge may be better than the baseline, or it is no mean over rows. The interval of the "
            "difference, too, is of what is tested."
        )

    def tell_disagreement(self, model: str) -> str:
        """Say where a model is better than the baseline on the split, and not over the folds; else nothing."""
        table = self.rows("comparison", **{MODEL: model, "metric": self.scores.metric})
        number = self.scores.find(model)
        if table is None or number is None or number.value is None or number.baseline is None:
            return ""
        row = table.row(0, named=True)
        sign = -1 if self.scores.smaller_is_better() else 1
        there, folds = sign * (number.value - number.baseline), [row["mean"], row["baseline"]]
        if None in folds or there <= 0 or sign * (folds[0] - folds[1]) > 0:
            return ""
        return (
            f"**Over the folds it is not better than the baseline**: {format_spread(row['mean'], row['sd'])} against "
            f"{format_value(row['baseline'])}. The two disagree: do not rely on it."
        )

    def tell_best_fold(self) -> str:
        """Say which model is best over the folds, where nothing else is held out; empty where nothing is known."""
        table = self.rows("comparison", metric=self.scores.metric)
        table = None if table is None else table.filter(table["mean"].is_finite(), ~table[MODEL].is_in(self.baselines))
        if table is None or not table.height:
            return ""
        best = table.sort("mean", descending=not self.scores.smaller_is_better(), maintain_order=True).row(
            0, named=True
        )
        told = f"{quote_name(best[MODEL])}, {quote_name(self.scores.metric)} {format_spread(best['mean'], best['sd'])}"
        baseline = format_value(best["baseline"])
        return f"Best over {best['folds']} folds: {told}; the best that looks at no feature: {baseline}."


def describe_least(tests: pl.DataFrame) -> str:
    """Say how small a P value could have been, and how many groups it takes.

    Parameters
    ----------
    tests : polars.DataFrame
        As `tahoe_engine.schema.models.TESTS` has them, one at least.

    Returns
    -------
    str
        Sentences.
    """
    # Models of several targets are corrected apart, and have baselines of their own.
    n_models, n_groups = max(tests["baseline"].value_counts()["count"].to_list()), max(tests["n_groups"].to_list())
    needed, least = count_needed(n_models), tests["p_least"].max()
    tested = f"With {_count(n_groups, 'group')}"
    if not isinstance(least, float):
        return f"{tested} nothing can be tested; it takes at least {needed} for {_count(n_models, 'model')}."
    said = (
        f"{tested} even a model without a mistake would have a P value of {format_value(least)} (Holm, "
        f"{_count(n_models, 'model')}), and less than 0.05 is asked for"
    )
    if n_groups < needed:
        return f"{said}: it takes at least {needed} groups."
    return f"{said}: most rows, or all rows of a class, are in too few of them."


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def show_figure(found: Findings, stem: str, alt: str, table: str = "") -> list[str]:
    """Show a figure, where it was drawn, with the table behind it.

    Parameters
    ----------
    found : Findings
        With the figures.
    stem : str
        Of the files.
    alt : str
        What is to be seen, for those who do not see it.
    table : str
        Behind it; by default of the same name.

    Returns
    -------
    list of str
        Lines.
    """
    if f"{stem}.svg" not in found.figures:
        return []
    png = f"; [as PNG](figures/{stem}.png)" if f"{stem}.png" in found.figures else ""
    behind = table or stem
    return [
        f"![{escape_text(alt)}](figures/{stem}.svg)",
        "",
        f"Numbers: [{behind}.parquet]({behind}.parquet){png}.",
        "",
    ]
