"""Candidates that are fitted together: what one fit tells about several is not fitted again, and no bit is another.

The first trees of a forest are the forest of fewer trees: each has its own seed, drawn in order. A tree that ends by
itself above a depth is the tree that this depth allows. All penalties of ridge regression have one decomposition.
"""

from __future__ import annotations

import json
import math
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.models.catalogue import TREES, make_estimator
from tahoe_engine.models.training import Trained, solve_ridges, train_rows, training

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from tahoe_engine.models.catalogue import Entry

NUMBER, DEPTH, SPLIT, LEAF, ALPHA = "n_estimators", "max_depth", "min_samples_split", "min_samples_leaf", "alpha"
SMALL: Final = 1_000  # rows whose trees mostly end by themselves; of more, depths are better tried side by side


def group_candidates(entry: Entry, candidates: Sequence[Mapping[str, Any]], n_rows: int) -> list[list[int]]:
    """Find the candidates that one fit tells about.

    Parameters
    ----------
    entry : Entry
        Of the catalogue.
    candidates : sequence of mapping
        All parameters of each.
    n_rows : int
        That they are fitted to, about.

    Returns
    -------
    list of list of int
        Places of the candidates of each group, in order; groups in the order of their first.

    Examples
    --------
    >>> from tahoe_engine.models.catalogue import find_entry
    >>> forest = find_entry("random_forest", "regression")
    >>> group_candidates(forest, [{"n_estimators": 5}, {"n_estimators": 9}, {"max_features": 0.5}], 50_000)
    [[0, 1], [2]]
    """
    groups: dict[str, list[int]] = {}
    for place, candidate in enumerate(candidates):
        rest = dict(candidate)
        if entry.trusted == TREES and _is_count(rest.get(NUMBER)):
            del rest[NUMBER]
            if n_rows <= SMALL and (rest.get(DEPTH) is None or _is_count(rest[DEPTH])):
                rest.pop(DEPTH, None)
            if _is_count(rest.get(SPLIT)) and rest[SPLIT] > 1 and _is_count(rest.get(LEAF)):
                rest[SPLIT] = max(rest[SPLIT], 2 * rest[LEAF])  # as scikit-learn has it
        elif entry.way == "closed":
            rest.pop(ALPHA, None)
        else:
            rest[""] = place
        groups.setdefault(json.dumps(rest, sort_keys=True, default=repr), []).append(place)
    return list(groups.values())


def train_together(  # noqa: PLR0913 - as `train_rows`
    entry: Entry,
    kind: str,
    candidates: Sequence[Mapping[str, Any]],
    x: csr_array,
    y: NDArray[Any],
    *,
    seed: int,
    n_classes: int,
    epochs: int = 1,
) -> list[Trained]:
    """Fit the candidates of a group.

    Parameters
    ----------
    entry, kind, x, y, seed, n_classes, epochs
        As in `tahoe_engine.models.training.train_rows`.
    candidates : sequence of mapping
        All parameters of each.

    Returns
    -------
    list of Trained
        The same bits as if each were fitted by itself.

    Raises
    ------
    ConfigError
        If the estimator refuses parameters or rows.
    """
    options = {"seed": seed, "n_classes": n_classes, "epochs": epochs}
    if len(candidates) > 1 and entry.way == "closed":
        return _solve_all(entry, kind, candidates, x, y, seed)
    if len(candidates) > 1 and entry.trusted == TREES:
        return _grow_all(entry, kind, candidates, x, y, options)
    return [train_rows(entry, kind, candidate, x, y, **options) for candidate in candidates]


def _solve_all(  # noqa: PLR0913, PLR0917 - of `train_together`
    entry: Entry, kind: str, candidates: Sequence[Mapping[str, Any]], x: csr_array, y: NDArray[Any], seed: int
) -> list[Trained]:
    made = [make_estimator(entry, kind, one, seed=seed, n_features=x.shape[1], n_classes=0) for one in candidates]
    notes: list[str] = []
    with training(entry.name, notes):
        solve_ridges(made, x, y)
    return [Trained(one, notes=tuple(notes)) for one in made]


def _grow_all(  # noqa: PLR0913, PLR0917 - of `train_together`
    entry: Entry,
    kind: str,
    candidates: Sequence[Mapping[str, Any]],
    x: csr_array,
    y: NDArray[Any],
    options: dict[str, Any],
) -> list[Trained]:
    most = max(candidate[NUMBER] for candidate in candidates)
    grown: dict[float, Trained] = {}
    last: Trained | None = None
    for limit in sorted({_limit(candidate) for candidate in candidates}, reverse=True):
        if last is None or not _ends_above(last, limit):
            candidate = next(one for one in candidates if _limit(one) == limit)
            last = train_rows(entry, kind, {**candidate, NUMBER: most}, x, y, **options)
        grown[limit] = last
    return [_cut(grown[_limit(candidate)], candidate[NUMBER]) for candidate in candidates]


def _ends_above(trained: Trained, limit: float) -> bool:
    """Tell whether no node is as deep as that: a node there would have drawn numbers before it became a leaf."""
    if trained.estimator is None:
        return True
    return all(tree.get_depth() < limit for tree in trained.estimator.named_steps["model"].estimators_)


def _cut(trained: Trained, n_trees: int) -> Trained:
    if trained.estimator is None:
        return trained
    pipeline = copy(trained.estimator)
    forest = copy(pipeline.steps[-1][1])
    forest.n_estimators, forest.estimators_ = n_trees, forest.estimators_[:n_trees]
    pipeline.steps = [*pipeline.steps[:-1], ("model", forest)]
    return replace(trained, estimator=pipeline)


def _limit(candidate: Mapping[str, Any]) -> float:
    depth = candidate.get(DEPTH)
    return math.inf if depth is None else depth


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
