"""One pass over targets, folds and groups of the stored rows: who has a target, and which classes there are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import BadDataError, ConfigError, StageError, escape_controls
from tahoe_engine.features.loaded import load_features
from tahoe_engine.features.store import SPLIT_FILE
from tahoe_engine.models.blocks import LARGEST, Piece
from tahoe_engine.run import Layout, require_whole
from tahoe_engine.run.manifest import digest_of
from tahoe_engine.schema import FEATURES, FOLD, SAMPLE, SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from tahoe_engine.features.loaded import Features

ROW_CLUSTERS: Final = 1_000  # where rows were split one by one: as many clusters as a bootstrap needs


def survey_rows(root: str, name: str, target: str, kind: str) -> tuple[Features, dict[str, Any]]:
    """Look at the targets of features.

    Parameters
    ----------
    root : str
        The run folder.
    name : str
        Of the features.
    target : str
        One of their targets.
    kind : {"auto", "regression", "classification"}
        By the type of the target, or as it says.

    Returns
    -------
    features : Features
        Opened.
    told : dict
        Fields of `tahoe_engine.models.material.Material`, but those of the columns.

    Raises
    ------
    ConfigError
        If there is no such target, no training row has it, or all have the same class.
    BadDataError
        If a target is infinite.
    StageError
        If a part is gone or damaged.
    """
    features = load_features(root, name)
    features.columns(target)  # refuses a target that there is not
    split = json.loads(features.files[SPLIT_FILE])
    clusters, by = _choose_clusters(features, split["rule"])
    types = dict(features.manifest["columns"])
    kind = _decide_kind(types[target], kind, name, target)
    seen = _Seen(features, target, clusters, classes=kind == "classification", n_folds=int(split["rule"]["folds"]))
    pieces = {of: tuple(seen.look_at(of)) for of in SPLITS}
    if not pieces[SPLITS[0]]:
        raise ConfigError(f"features {name!r}: no training row has the target {target!r}; there is nothing to learn")
    classes, *others = (seen.values[of] for of in SPLITS)
    if kind == "classification" and len(classes) == 1:
        (only,) = classes
        raise ConfigError(
            escape_controls(f"features {name!r}: all training rows have {target!r} = {only!r}; take another target")
        )
    told = {
        "root": root,
        "features": name,
        "manifest": digest_of(features.manifest),
        "kind": kind,
        "classes": tuple(sorted(classes)),
        "strange": tuple(sorted(set().union(*others) - classes)),
        "pieces": pieces,
        "missing": seen.missing,
        "n_folds": len(seen.fold_rows),
        "fold_rows": tuple(seen.fold_rows),
        "n_groups": len(seen.training) if clusters else sum(piece.n_rows for piece in pieces[SPLITS[0]]),
        "cluster_columns": clusters,
        "cluster_names": tuple(sorted(seen.names)) if clusters else tuple(map(str, range(ROW_CLUSTERS))),
        "split_hash": features.manifest["split"]["hash"],
        "split_by": by,
    }
    return features, told


class _Seen:
    """What a pass over the parts has seen."""

    def __init__(
        self, features: Features, target: str, clusters: tuple[str, ...], *, classes: bool, n_folds: int
    ) -> None:
        self._features, self._target, self._clusters, self._classes = features, target, clusters, classes
        self.missing = dict.fromkeys(SPLITS, 0)
        self.values: dict[str, set[str]] = {of: set() for of in SPLITS}
        self.names: set[str] = set()
        self.training: set[str] = set()
        self.fold_rows = [0] * n_folds

    def look_at(self, split: str) -> Iterator[Piece]:
        """Give the pieces of a split that have the target."""
        folder = Layout(self._features.root).stage(self._features.stage)
        first = 0
        for part in self._features.manifest["parts"]:
            if part["name"].startswith(f"{split}/"):
                frame = _read(folder / part["name"], part, [self._target, FOLD, *self._clusters])
                there = frame.filter(has_value(frame[self._target]))
                n_missing = frame.height - there.height
                self.missing[split] += n_missing
                if there.height:
                    self._note(split, there, part["name"])
                    yield Piece(split, part["name"].removesuffix(".parquet"), there.height, first, n_missing)
                first += there.height

    def _note(self, split: str, rows: pl.DataFrame, part: str) -> None:
        import polars as pl

        target = rows[self._target]
        if target.dtype.is_float() and target.is_infinite().any():
            raise BadDataError(f"the target {self._target!r} is infinite in a row of {part}; leave such rows out")
        if not self._classes and float(target.abs().max()) > LARGEST:  # type: ignore[arg-type]
            raise BadDataError(
                f"the target {self._target!r} is above {LARGEST:g} in a row of {part}: too large to be squared"
            )
        if self._classes:
            self.values[split].update(target.cast(pl.String).unique())
        if self._clusters:
            named = rows.select(name_clusters(self._clusters)).to_series().unique()
            self.names.update(named)
            self.training.update(named if split == SPLITS[0] else ())
        if split == SPLITS[0]:
            for fold, n in rows[FOLD].drop_nulls().value_counts().iter_rows():
                self.fold_rows[fold] += n


def has_value(column: pl.Series) -> pl.Series:
    """Tell which rows have a target.

    Parameters
    ----------
    column : polars.Series
        As stored.

    Returns
    -------
    polars.Series of Boolean
        False for null and NaN.

    Examples
    --------
    >>> import polars as pl
    >>> has_value(pl.Series([1.0, None, float("nan")])).to_list()
    [True, False, False]
    """
    there = column.is_not_null()
    return there & column.is_not_nan().fill_null(value=False) if column.dtype.is_float() else there


def name_clusters(columns: Sequence[str]) -> pl.Expr:
    """Give the text of a row's cluster.

    Parameters
    ----------
    columns : sequence of str
        That tell clusters apart.

    Returns
    -------
    polars.Expr
        Their values.

    Examples
    --------
    >>> import polars as pl
    >>> pl.DataFrame({"a": ["x", None], "b": [1, 2]}).select(name_clusters(["a", "b"])).to_series().to_list()
    ['x / 1', 'null / 2']
    """
    import polars as pl

    texts = [pl.col(name).cast(pl.String).fill_null("null") for name in columns]
    return pl.concat_str(texts, separator=" / ").alias("cluster")


def encode_texts(texts: pl.Series, known: Sequence[str], whose: str) -> NDArray[np.int64]:
    """Give codes for texts.

    Parameters
    ----------
    texts : polars.Series of String
        Without null.
    known : sequence of str
        In the order of their codes.
    whose : str
        For the message.

    Returns
    -------
    ndarray of int64
        One a text.

    Raises
    ------
    StageError
        If a text is not known.

    Examples
    --------
    >>> import polars as pl
    >>> encode_texts(pl.Series(["b", "a", "b"]), ["a", "b"], "the target 't'").tolist()
    [1, 0, 1]
    """
    import numpy as np
    import polars as pl

    codes = pl.Series("code", np.arange(len(known)), dtype=pl.Int64)
    table = pl.DataFrame([pl.Series("text", known, dtype=pl.String), codes])
    found = texts.cast(pl.String).alias("text").to_frame().join(table, on="text", how="left", maintain_order="left")
    if found["code"].null_count():
        raise StageError(f"{whose} has other values than when the rows were counted; run the same command again")
    return found["code"].to_numpy()


def _choose_clusters(features: Features, rule: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """Give the columns that tell clusters apart, and words for them."""
    by = tuple(rule["by"])
    stored = {name for name, _ in features.manifest["columns"]}
    if not by:
        return (), "rows"
    words = " and ".join(by)
    if set(by) <= stored:
        return by, words
    # What was joined or derived is not stored: wells are never cut in two by what is known of drugs or lines.
    nearest = (SAMPLE,) if SAMPLE in stored else ()
    return nearest, f"{words} (intervals over {'wells' if nearest else 'rows'})"


def _decide_kind(dtype: str, kind: str, name: str, target: str) -> str:
    import polars as pl

    type_ = getattr(pl, dtype.partition("(")[0], None)
    is_number = type_ is not None and type_.is_numeric()
    if kind == "regression" and not is_number:
        raise ConfigError(f"features {name!r}: {target!r} is {dtype}, no number; write kind = 'classification'")
    return ("regression" if is_number else "classification") if kind == "auto" else kind


def _read(path: Path, part: Mapping[str, Any], columns: list[str]) -> pl.DataFrame:
    import polars as pl

    try:
        frame = pl.read_parquet(path, columns=list(dict.fromkeys(columns)), glob=False, hive_partitioning=False)
    except (OSError, pl.exceptions.PolarsError):
        require_whole(path, part, FEATURES)
        raise
    if frame.height != part["rows"]:
        raise StageError(f"{path}: {frame.height} rows, {part['rows']} in the manifest; run `tahoe features` again")
    return frame
