"""Models that look at no feature: what every other one is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import ConfigError, escape_controls
from tahoe_engine.features.sums import merge_sums, read_sums, sum_exactly
from tahoe_engine.models.fitted import Fitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from tahoe_engine.models.catalogue import Entry
    from tahoe_engine.models.kept import Kept
    from tahoe_engine.models.material import Material, Piece
    from tahoe_engine.models.task import Model, Task
    from tahoe_engine.workers import Computing

Level = tuple[str | None, ...]
BY: Final = "by"  # the one parameter there is
AT: Final = "number of the level"  # no one's column is called so
ALL: Final = "all rows"
CODE: Final = "code of the class"


@dataclass(frozen=True)
class Baseline:
    """What was most usual in the training rows, of all or of those with the same ids.

    Parameters
    ----------
    name : str
        ``mean``, ``majority``, ``group_mean`` or ``group_majority``.
    classes : tuple of str
        Of a classification; empty for a regression.
    by : tuple of str
        Columns whose values tell groups apart; empty where all rows are one.
    overall : tuple of float
        The mean; or the share of each class.
    levels : dict
        Likewise by the values of these columns, as texts.
    """

    name: str
    classes: tuple[str, ...]
    by: tuple[str, ...]
    overall: tuple[float, ...]
    levels: dict[Level, tuple[float, ...]] = field(repr=False)

    def predict(self, rows: pl.DataFrame) -> NDArray[Any]:
        """Predict rows.

        Parameters
        ----------
        rows : polars.DataFrame
            With the columns `by`. A level that was not there in training gets what all rows get.

        Returns
        -------
        numpy.ndarray of float64, or of int64 codes of classes
            The mean; or the most frequent class, the first of those that are as frequent.

        Raises
        ------
        ConfigError
            If a column is missing.
        """
        import numpy as np

        found = self._look_up(rows)
        return np.argmax(found, axis=1).astype(np.int64) if self.classes else found[:, 0]

    def predict_proba(self, rows: pl.DataFrame) -> NDArray[np.float64] | None:
        """Give the shares of the classes.

        Parameters
        ----------
        rows : polars.DataFrame
            As in `predict`.

        Returns
        -------
        numpy.ndarray of float64, rows by classes, or None
            None for a regression.
        """
        return self._look_up(rows) if self.classes else None

    def _look_up(self, rows: pl.DataFrame) -> NDArray[np.float64]:
        import numpy as np
        import polars as pl

        table: NDArray[np.float64] = np.array([*self.levels.values(), self.overall])
        if not self.by:
            return np.repeat(table[-1:], rows.height, axis=0)
        known = pl.DataFrame(list(self.levels), schema=dict.fromkeys(self.by, pl.String), orient="row")
        at = name_levels(rows, self.by).join(
            known.with_row_index(AT), on=list(self.by), how="left", nulls_equal=True, maintain_order="left"
        )[AT]
        found: NDArray[np.float64] = table[at.cast(pl.Int64).fill_null(-1).to_numpy()]
        return found


def learn_baseline(
    name: str, classes: Sequence[str], by: Sequence[str], rows: pl.DataFrame, y: NDArray[Any]
) -> Baseline:
    """Make a baseline of rows that are in memory.

    Parameters
    ----------
    name : str
        Of the baseline.
    classes : sequence of str
        Of a classification; empty for a regression.
    by : sequence of str
        Columns of the rows that tell groups apart.
    rows : polars.DataFrame
        At least one.
    y : numpy.ndarray
        Their target: numbers, or codes of classes.

    Returns
    -------
    Baseline
        The same for any order of the rows.

    Raises
    ------
    ConfigError
        If a column is missing.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> rows = pl.DataFrame({"line": ["a", "a", "b"]})
    >>> learned = learn_baseline("group_mean", (), ["line"], rows, np.array([1.0, 2.0, 6.0]))
    >>> learned.predict(pl.DataFrame({"line": ["b", "a", "c"]})).tolist()
    [6.0, 1.5, 3.0]
    """
    kind = "classification" if classes else "regression"
    return _close(name, classes, by, [_summarize(kind, tuple(by), rows, y)])


def fit_baseline(  # noqa: PLR0913, PLR0917 - all ways of fitting take the same
    material: Material,
    model: Model,
    entry: Entry,
    task: Task,  # noqa: ARG001
    computing: Computing,
    kept: Kept,  # noqa: ARG001 - one pass: there is nothing to go on with
) -> Fitted:
    """Make a baseline of all training rows, in one pass.

    Parameters
    ----------
    material : Material
        Whose training rows.
    model : Model
        Of the task; its parameter ``by`` names columns of ids.
    entry : Entry
        Of the catalogue.
    task : Task
        Of its file.
    computing : Computing
        Who computes.
    kept : Kept
        Where unfinished work is.

    Returns
    -------
    Fitted
        With a `Baseline`: means that are exact, whoever computes.

    Raises
    ------
    ConfigError
        If the parameters are wrong.
    """
    by = _read_by(entry.name, dict(model.parameters))
    pieces = [piece for piece in material.pieces["train"] if piece.n_rows]
    # Features are not even read.
    bare = replace(material, columns=(), sources=())
    parts = computing.reduce(_PartialLevels(bare, by), _merge, pieces)
    made = _close(entry.name, material.classes, by, [parts])
    return Fitted(made, {BY: list(by)} if by else {}, sum(piece.n_rows for piece in pieces))


def name_levels(rows: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Give the columns that tell groups apart, as texts.

    Parameters
    ----------
    rows : polars.DataFrame
        With ids.
    by : sequence of str
        Of their columns.

    Returns
    -------
    polars.DataFrame
        A level is known by its text: 10.0 is not 10.

    Raises
    ------
    ConfigError
        If a column is missing.
    """
    import polars as pl

    missing = [name for name in by if name not in rows.columns]
    if missing:
        raise ConfigError(
            f"the rows have no column {escape_controls(missing[0])!r} to group by; "
            f"there is {escape_controls(', '.join(rows.columns[:12]))}"
        )
    return rows.select(pl.col(name).cast(pl.String) for name in by)


@dataclass(frozen=True)
class _PartialLevels:
    """What summarizes a piece; picklable."""

    material: Material
    by: tuple[str, ...]

    def __call__(self, piece: Piece) -> pl.DataFrame:
        block = self.material.load(piece)
        return _summarize(self.material.kind, self.by, block.rows, block.y)


def _summarize(kind: str, by: tuple[str, ...], rows: pl.DataFrame, y: NDArray[Any]) -> pl.DataFrame:
    import numpy as np
    import polars as pl

    # A table without columns has no rows either.
    keys = name_levels(rows, by) if by else pl.DataFrame({ALL: np.zeros(len(y), np.int8)})
    if kind == "regression":
        return sum_exactly(keys, pl.Series("the target", y, dtype=pl.Float64))
    counted = keys.with_columns(pl.Series(CODE, y, dtype=pl.Int64), pl.lit(1, dtype=pl.Int64).alias(AT))
    return _count(counted, keys.columns)


def _merge(parts: list[pl.DataFrame]) -> pl.DataFrame:
    import polars as pl

    if CODE not in parts[0].columns:
        return merge_sums(parts)
    return _count(pl.concat(parts), [name for name in parts[0].columns if name not in {CODE, AT}])


def _count(rows: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    import polars as pl

    keys = [*by, CODE]
    return rows.group_by(keys).agg(pl.col(AT).sum()).sort(keys)


def _close(name: str, classes: Sequence[str], by: Sequence[str], parts: list[pl.DataFrame]) -> Baseline:
    merged = _merge(parts)
    found: dict[Level, tuple[float, ...]] = {}
    if classes:
        counts: dict[Level, list[int]] = {}
        every = [0] * len(classes)
        for *level, code, n in merged.iter_rows():
            counts.setdefault(tuple(level), [0] * len(classes))[code] += n
            every[code] += n
        found = {level: tuple(n / sum(own) for n in own) for level, own in counts.items()}
        overall = tuple(n / sum(every) for n in every)
    else:
        sums = read_sums(merged)
        n_rows = sum(n for n, _ in sums.values())
        found = {_as_level(level): (float(total / n),) for level, (n, total) in sums.items()}
        overall = (float(sum(total for _, total in sums.values()) / n_rows),)
    return Baseline(name, tuple(classes), tuple(by), overall, found if by else {})


def _as_level(values: tuple[str | int | None, ...]) -> Level:
    return tuple(None if value is None else str(value) for value in values)


def _read_by(name: str, parameters: dict[str, Any]) -> tuple[str, ...]:
    by = parameters.pop(BY, ())
    if parameters:
        raise ConfigError(f"{name}: no parameter {next(iter(parameters))!r}; there is {BY!r}")
    named = (by,) if isinstance(by, str) else tuple(by)
    grouped = name.startswith("group_")
    if grouped and not all(isinstance(one, str) for one in named):
        raise ConfigError(f"{name}: `{BY}` names columns of ids")
    if grouped and not named:
        raise ConfigError(f"{name}: say by which columns of ids, parameters = {{ {BY} = [...] }}")
    if named and not grouped:
        raise ConfigError(f"{name}: is of all rows and has no `{BY}`; take group_{name}")
    return named
