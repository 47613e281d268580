"""Who trains and who is tested: by the hash of a group or a row, whatever the order, the parts and the workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import StageError
from tahoe_engine.features.keys import hash_texts, mix
from tahoe_engine.features.places import permute_places
from tahoe_engine.features.recipe import SplitRule
from tahoe_engine.run.manifest import digest_of
from tahoe_engine.schema import FOLD, ROW_KEY, ROW_NUMBER, SPLIT, TEST, TRAIN, VALIDATION

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

FOLD_SEED: Final = 0x5DEECE66D  # folds of rows are drawn apart from who is tested


@dataclass(frozen=True)
class Split:
    """Who trains and who is tested.

    Parameters
    ----------
    rule : SplitRule
        What was asked for.
    groups : polars.DataFrame, optional
        By group: a column a key of the rule, ``split`` and ``fold``.
    strata : polars.DataFrame, optional
        Where rows are shared out: a column a key, ``n_rows``, and ``test`` and ``validation``, the largest hashes that
        are tested and validated (null for none), and ``folds``, the largest of each fold but the last, where both are
        asked for.
    n_rows : int
        Rows that were shared out.
    keys : int
        Sum of their keys modulo 2^64, where they were shared out one by one: the split of other rows is another one.
    warnings : tuple of str
        What its user should know.
    """

    rule: SplitRule
    groups: pl.DataFrame | None = field(default=None, repr=False)
    strata: pl.DataFrame | None = field(default=None, repr=False)
    n_rows: int = 0
    keys: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """Sha256 of who is where; the same for the same groups or rows in any order."""
        told = self.describe()
        told.pop("warnings")
        if self.groups is not None:
            told.pop("n_rows")  # groups are where they are, however large
        return digest_of(told)

    def assign(self, frame: pl.DataFrame, *, known: bool = True) -> pl.DataFrame:
        """Say of rows who trains.

        Parameters
        ----------
        frame : polars.DataFrame
            Rows with the columns of the rule; without keys, also ``row_key`` or ``row_number``.
        known : bool
            Whether all rows were there when the split was made; else those of groups that were not are in no split,
            and no row is where its place decided.

        Returns
        -------
        polars.DataFrame
            ``split`` (0 train, 1 validation, 2 test) and ``fold``, null outside training.

        Raises
        ------
        StageError
            If a row is of a group that was not there when the split was made.
        """
        import polars as pl

        if self.groups is not None:
            return _assign_groups(self.groups, frame, self.rule.by, known=known)
        if self.rule.method == "sklearn" and not known:
            nobody = pl.Series(SPLIT, [None] * frame.height, dtype=pl.UInt8)
            return pl.DataFrame([nobody, nobody.alias(FOLD)])
        if self.rule.method == "sklearn":
            return _assign_places(frame, self.rule, self.n_rows)
        assert self.strata is not None  # noqa: S101 - one of the two is there
        return _assign_rows(self.strata, frame, self.rule, known=known)

    def describe(self) -> dict[str, Any]:
        """Give the split as plain values.

        Returns
        -------
        dict
            JSON-able; `from_json` reads it.
        """
        parts = {"groups": self.groups, "strata": self.strata}
        told = {name: None if part is None else part.to_dict(as_series=False) for name, part in parts.items()}
        rule = self.rule.model_dump(mode="json")
        return {"rule": rule, "n_rows": self.n_rows, "keys": self.keys, **told, "warnings": list(self.warnings)}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Split:
        """Read a split back.

        Parameters
        ----------
        told : mapping
            As `describe` gives it.

        Returns
        -------
        Split
            The same.

        Raises
        ------
        StageError
            If something is missing or wrong in it.
        """
        import polars as pl

        try:
            rule = SplitRule.model_validate(told["rule"])
            types: dict[str, Any] = dict.fromkeys((*rule.by, *rule.stratify), pl.String)
            of_groups = {**types, SPLIT: pl.UInt8, FOLD: pl.UInt8}
            of_rows = {**types, "n_rows": pl.UInt64, "test": pl.UInt64, "validation": pl.UInt64}
            groups, strata = told["groups"], told["strata"]
            if strata is not None and "folds" in strata:
                of_rows["folds"] = pl.List(pl.UInt64)
            split = cls(
                rule,
                None if groups is None else pl.DataFrame(groups, schema=of_groups),
                None if strata is None else pl.DataFrame(strata, schema=of_rows),
                int(told["n_rows"]),
                int(told["keys"]),
                tuple(told["warnings"]),
            )
            _require_whole(split)
        except (KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
            raise StageError(f"split.json is damaged ({error}); run `tahoe features` again") from error
        return split


def hash_rows(frame: pl.DataFrame, seed: int) -> NDArray[np.uint64]:
    """Draw a number for each row from its key.

    Parameters
    ----------
    frame : polars.DataFrame
        With ``row_key``.
    seed : int
        Another seed, other numbers.

    Returns
    -------
    ndarray of uint64
        Evenly spread; equal where keys are.
    """
    import numpy as np

    return mix(frame[ROW_KEY].to_numpy() ^ mix(np.array([seed], np.uint64))[0])


def hash_groups(groups: pl.DataFrame, by: tuple[str, ...], seed: int) -> NDArray[np.uint64]:
    """Draw a number for each group from its values.

    Parameters
    ----------
    groups : polars.DataFrame
        With the columns `by`, of texts.
    by : tuple of str
        Which.
    seed : int
        Another seed, other numbers.

    Returns
    -------
    ndarray of uint64
        Evenly spread.
    """
    return hash_texts([groups[name] for name in by], seed)


def _require_whole(split: Split) -> None:
    rule, groups = split.rule, split.groups
    if (groups is None) == bool(rule.by) or (split.strata is None) == (not rule.by and rule.method == "hash"):
        raise ValueError("groups and strata are not those of the rule")
    if groups is not None and not groups[SPLIT].is_between(TRAIN, TEST).all():
        raise ValueError("a group is neither of training nor of validation nor of test")


def _assign_groups(groups: pl.DataFrame, frame: pl.DataFrame, by: tuple[str, ...], *, known: bool) -> pl.DataFrame:
    import polars as pl

    keys = frame.select(pl.col(name).cast(pl.String) for name in by)
    found = keys.join(groups, on=list(by), how="left", nulls_equal=True, maintain_order="left").select(SPLIT, FOLD)
    if known and found[SPLIT].null_count():
        strange = keys.filter(found[SPLIT].is_null()).row(0)
        raise StageError(f"a row of {strange} was not there when the split was made; run `tahoe features --new`")
    return found


def _assign_rows(strata: pl.DataFrame, frame: pl.DataFrame, rule: SplitRule, *, known: bool) -> pl.DataFrame:
    import numpy as np
    import polars as pl

    names = list(rule.stratify)
    hashes = pl.Series("hash", hash_rows(frame, rule.seed), dtype=pl.UInt64)
    if names:
        if "folds" in strata.columns:
            first = hash_groups(strata, rule.stratify, rule.seed) % np.uint64(rule.folds)
            strata = strata.with_columns(pl.Series("first", first, dtype=pl.UInt64))
        keys = frame.select(pl.col(name).cast(pl.String) for name in names)
        limits = keys.join(strata, on=names, how="left", nulls_equal=True, maintain_order="left")
        if known and limits["n_rows"].null_count():
            strange = keys.filter(limits["n_rows"].is_null()).row(0)
            raise StageError(f"a row of {strange} was not there when the split was made; run `tahoe features --new`")
    else:
        limits = strata[np.zeros(frame.height, np.int64)]
    placed = limits.select("n_rows", "test", "validation").with_columns(hashes)
    split = (
        pl.when(pl.col("n_rows").is_null())
        .then(pl.lit(None, pl.UInt8))
        .when((pl.col("hash") <= pl.col("test")).fill_null(value=False))
        .then(pl.lit(TEST, pl.UInt8))
        .when((pl.col("hash") <= pl.col("validation")).fill_null(value=False))
        .then(pl.lit(VALIDATION, pl.UInt8))
        .otherwise(pl.lit(TRAIN, pl.UInt8))
    )
    assigned = placed.select(split.alias(SPLIT))
    if "folds" in limits.columns:
        return _share_folds(assigned, limits, hashes, rule.folds)
    return _add_folds(assigned, frame, rule)


def _share_folds(split: pl.DataFrame, limits: pl.DataFrame, hashes: pl.Series, folds: int) -> pl.DataFrame:
    """Give the training rows of each stratum a fold each: by how many ends their hashes are beyond."""
    import polars as pl

    beyond = [pl.col("hash") > pl.col("folds").list.get(at) for at in range(folds - 1)]
    told = limits.with_columns(hashes, split[SPLIT])
    # Strata begin with different folds: those of a single row are not all in the last.
    fold = (pl.sum_horizontal(beyond) + pl.col("first")) % folds
    return told.select(SPLIT, pl.when(pl.col(SPLIT) == TRAIN).then(fold.cast(pl.UInt8)).alias(FOLD))


def _assign_places(frame: pl.DataFrame, rule: SplitRule, n_rows: int) -> pl.DataFrame:
    import polars as pl

    places = permute_places(rule, n_rows)[frame[ROW_NUMBER].to_numpy()]
    split = pl.DataFrame([pl.Series(SPLIT, places, dtype=pl.UInt8)])
    return _add_folds(split, frame.with_columns(pl.col(ROW_NUMBER).alias(ROW_KEY)), rule)


def _add_folds(split: pl.DataFrame, frame: pl.DataFrame, rule: SplitRule) -> pl.DataFrame:
    """Give training rows a fold each, by a hash of their own."""
    import numpy as np
    import polars as pl

    if not rule.folds:
        return split.with_columns(pl.lit(None, dtype=pl.UInt8).alias(FOLD))
    drawn = hash_rows(frame, rule.seed ^ FOLD_SEED) % np.uint64(rule.folds)
    fold = pl.Series(FOLD, drawn.astype(np.uint8), dtype=pl.UInt8)
    return split.with_columns(pl.when(split[SPLIT] == TRAIN).then(fold).alias(FOLD))
