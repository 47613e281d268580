"""A model as the bytes of a file, and back: estimators through skops, baselines as JSON. No pickle either way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import BadDataError, StageError
from tahoe_engine.models.audit import SPARSE, audit_model
from tahoe_engine.models.baseline import Baseline
from tahoe_engine.models.canonical import make_canonical

if TYPE_CHECKING:
    from collections.abc import Sequence

DAMAGED = "the model is damaged, or no model of this engine ({}); run `tahoe train` again with --new"


def encode_model(estimator: Any) -> bytes:  # noqa: ANN401 - any estimator
    """Give an estimator as the bytes of a file.

    Parameters
    ----------
    estimator : object
        Of the catalogue, fitted.

    Returns
    -------
    bytes
        The same for equal estimators in any process, by one version of skops and zlib.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> fitted = Ridge().fit([[0.0], [1.0]], [0.0, 1.0])
    >>> decode_model(encode_model(fitted), ()).coef_ == fitted.coef_
    array([ True])
    """
    from skops.io import dumps

    return make_canonical(dumps(estimator))


def decode_model(content: bytes, trusted: Sequence[str]) -> Any:  # noqa: ANN401 - any estimator
    """Give the estimator back.

    Parameters
    ----------
    content : bytes
        As `encode_model` gives it.
    trusted : sequence of str
        Types it may have besides those of scikit-learn that skops trusts: of the catalogue.

    Returns
    -------
    object
        The estimator.

    Raises
    ------
    BadDataError
        If it has other types: nothing of it is loaded.
    StageError
        If it is damaged.
    """
    from skops.io import loads
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        audit_model(content, trusted)
        estimator = loads(content, trusted=[*trusted, *SPARSE])
        _require_width(estimator)
    except BadDataError:
        raise
    except UntrustedTypesFoundException as error:
        raise BadDataError(f"the model holds what no model of this engine has: {error}") from error
    except Exception as error:  # a broken file may break its readers in any way
        raise StageError(DAMAGED.format(f"{type(error).__name__}: {str(error)[:200]}")) from error
    return estimator


def encode_baseline(baseline: Baseline) -> bytes:
    """Give a baseline as the bytes of a file.

    Parameters
    ----------
    baseline : Baseline
        Any.

    Returns
    -------
    bytes
        JSON; the same for equal baselines.
    """
    told = {
        "name": baseline.name,
        "classes": list(baseline.classes),
        "by": list(baseline.by),
        "overall": list(baseline.overall),
        "levels": [[list(level), list(values)] for level, values in sorted(baseline.levels.items(), key=_sort_key)],
    }
    return json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def decode_baseline(content: bytes) -> Baseline:
    """Give the baseline back.

    Parameters
    ----------
    content : bytes
        As `encode_baseline` gives it.

    Returns
    -------
    Baseline
        Equal to the one it was.

    Raises
    ------
    StageError
        If it is damaged.
    """
    try:
        told = json.loads(content)
        return Baseline(
            str(told["name"]),
            tuple(map(str, told["classes"])),
            tuple(map(str, told["by"])),
            tuple(map(float, told["overall"])),
            {tuple(level): tuple(map(float, values)) for level, values in told["levels"]},
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StageError(DAMAGED.format(f"{type(error).__name__}: {str(error)[:200]}")) from error


def _sort_key(item: tuple[tuple[str | None, ...], object]) -> list[tuple[bool, str]]:
    return [(text is not None, text or "") for text in item[0]]


def _require_width(estimator: object) -> None:
    """Refuse trees that ask for other features than their owner checks."""
    waiting: list[Any] = [estimator]
    while waiting:
        one = waiting.pop()
        if isinstance(one, (list, tuple)):
            waiting.extend(one)
        elif type(one).__module__.startswith("sklearn.") and hasattr(one, "__dict__"):
            own = vars(one)
            tree = own.get("tree_")
            if tree is not None and tree.n_features != own["n_features_in_"]:
                raise ValueError("a tree of other features than its owner's")
            for part in own.get("estimators_", ()):
                if part.n_features_in_ != own["n_features_in_"]:
                    raise ValueError("a forest whose trees have other features than it has")
            waiting.extend(own.values())
