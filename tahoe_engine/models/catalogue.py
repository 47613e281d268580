"""The one file of estimators: what a task may name, what each is made of, and what skops may load of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import ConfigError, escape_controls
from tahoe_engine.vocabulary import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CLASSIFICATION: Final = "classification"
REGRESSION: Final = "regression"
BOTH: Final = frozenset({CLASSIFICATION, REGRESSION})
DENSE_COLUMNS: Final = 64  # a matrix of at most so many columns is trained on as a dense one
TREES: Final = ("sklearn.tree._tree.Tree",)
XGBOOST: Final = ("xgboost.core.Booster", "xgboost.sklearn.XGBClassifier", "xgboost.sklearn.XGBRegressor")
# What a task does not set: its seed, its workers and its terminal are said elsewhere.
OURS: Final = frozenset(
    {"random_state", "n_jobs", "nthread", "verbose", "verbosity", "warm_start", "callbacks", "device", "copy_X"}
)
MOST_CLASSES_OF_LIBLINEAR: Final = 2
ABOUT: Final = {
    "mean": "the mean of the training rows",
    "group_mean": "the mean of the training rows of its group (by = columns)",
    "majority": "the most frequent class",
    "group_majority": "the most frequent class of its group (by = columns)",
    "ridge": "least squares with an L2 penalty (alpha); of numbers exact from sums of products, all alphas at once",
    "lasso": "least squares with an L1 penalty (alpha)",
    "elastic_net": "least squares with both penalties (alpha, l1_ratio)",
    "logistic": 'logistic regression (C, penalty = "l2" or "l1")',
    "linear_svm": "linear support vectors (C)",
    "kernel_svm": "support vectors on a Nyström map of a kernel (n_components, gamma, C): for many rows",
    "svc": "exact support vectors with an RBF kernel (C, gamma): for few rows",
    "random_forest": "random forest (n_estimators, max_depth, max_features, min_samples_leaf)",
    "extra_trees": "extremely randomised trees, with the parameters of random_forest",
    "gradient_boosting": "boosted trees by xgboost (n_estimators, max_depth, learning_rate)",
    "sgd": "linear model by stochastic gradient descent, part by part (alpha, penalty): for any number of rows",
}


@dataclass(frozen=True)
class Entry:
    """An estimator that a task may name.

    Parameters
    ----------
    name : str
        In the task.
    kinds : frozenset of {"classification", "regression"}
        It is for.
    way : {"memory", "passes", "closed", "baseline"}
        How it is fitted: all rows in one matrix, part by part, from sums of products, or without any feature.
    makers : dict
        The class by kind, by its full name.
    defaults : dict
        Parameters that a task need not say; the rest are scikit-learn's own.
    scaled : bool
        Columns are divided by their standard deviation first, within each fold; where the matrix is small they are
        centred, too.
    before : dict
        Parameters of a Nyström map that goes before; empty where there is none.
    trusted : tuple of str
        Types beyond skops' own list that a file of such a model may hold.
    max_rows : int
        It is trained on at most so many; 0 = no limit.
    """

    name: str
    kinds: frozenset[str]
    way: str
    makers: dict[str, str] = field(default_factory=dict, hash=False)
    defaults: dict[str, Any] = field(default_factory=dict, hash=False)
    scaled: bool = False
    before: dict[str, Any] = field(default_factory=dict, hash=False)
    trusted: tuple[str, ...] = ()
    max_rows: int = 0

    @property
    def about(self) -> str:
        """What it is, for people."""
        return ABOUT[self.name]


def _of(package: str, classifier: str = "", regressor: str = "") -> dict[str, str]:
    named = {CLASSIFICATION: classifier, REGRESSION: regressor}
    return {kind: f"{package}.{name}" for kind, name in named.items() if name}


_CLASSES: Final = frozenset({CLASSIFICATION})
_NUMBERS: Final = frozenset({REGRESSION})
_LINEAR, _TREES = "sklearn.linear_model", "sklearn.ensemble"
_SVMS: Final = _of("sklearn.svm", "LinearSVC", "LinearSVR")
_FORESTS: Final = _of(_TREES, "RandomForestClassifier", "RandomForestRegressor")
_EXTRA: Final = _of(_TREES, "ExtraTreesClassifier", "ExtraTreesRegressor")
_MANY: Final = {"max_iter": 10_000}
_SLOW: Final = {"alpha": 0.01, **_MANY}
# Cholesky's way for dense columns; it cannot centre sparse ones, which conjugate gradients do, to this precision.
_EXACT: Final = {"solver": "auto", "tol": 1e-10}
_MAP: Final = {"kernel": "rbf", "gamma": None, "n_components": 200}
# Not xgboost.dask: its bits depend on how many workers there are. What a sparse matrix does not hold is for it no zero
# but a gap, which goes to either side of a split: as it should for one-hot columns.
_BOOSTED: Final = _of("xgboost", "XGBClassifier", "XGBRegressor")
_HIST: Final = {"tree_method": "hist", "n_jobs": 1}

ENTRIES: Final = (
    *(Entry(name, _NUMBERS, "baseline") for name in ("mean", "group_mean")),
    *(Entry(name, _CLASSES, "baseline") for name in ("majority", "group_majority")),
    Entry("ridge", _NUMBERS, "closed", _of(_LINEAR, "", "Ridge")),
    Entry("ridge", _CLASSES, "memory", _of(_LINEAR, "RidgeClassifier"), _EXACT, scaled=True),
    Entry("lasso", _NUMBERS, "memory", _of(_LINEAR, "", "Lasso"), _SLOW, scaled=True),
    Entry("elastic_net", _NUMBERS, "memory", _of(_LINEAR, "", "ElasticNet"), _SLOW, scaled=True),
    Entry("logistic", _CLASSES, "memory", _of(_LINEAR, "LogisticRegression"), {"max_iter": 1000}, scaled=True),
    Entry("linear_svm", BOTH, "memory", _SVMS, _MANY, scaled=True),
    Entry("kernel_svm", BOTH, "memory", _SVMS, _MANY, scaled=True, before=_MAP),
    Entry("svc", _CLASSES, "memory", _of("sklearn.svm", "SVC"), scaled=True, max_rows=20_000),
    Entry("random_forest", BOTH, "memory", _FORESTS, trusted=TREES),
    Entry("extra_trees", BOTH, "memory", _EXTRA, trusted=TREES),
    Entry("gradient_boosting", BOTH, "memory", _BOOSTED, _HIST, trusted=XGBOOST),
    Entry("sgd", BOTH, "passes", _of(_LINEAR, "SGDClassifier", "SGDRegressor")),
)
_OF_SGD: Final = {CLASSIFICATION: "log_loss", REGRESSION: "squared_error"}


def list_entries() -> tuple[Entry, ...]:
    """List what a task may name.

    Returns
    -------
    tuple of Entry
        Baselines first; ``ridge`` is there twice.

    Examples
    --------
    >>> [entry.name for entry in list_entries() if entry.way == "passes"]
    ['sgd']
    """
    return ENTRIES


def find_entry(name: str, kind: str) -> Entry:
    """Find an estimator.

    Parameters
    ----------
    name : str
        As the task says it.
    kind : {"classification", "regression"}
        Of the target.

    Returns
    -------
    Entry
        For that kind.

    Raises
    ------
    ConfigError
        If there is none of that name, or it is not for such a target.

    Examples
    --------
    >>> find_entry("ridge", "regression").way
    'closed'
    >>> find_entry("logistik", "classification")
    Traceback (most recent call last):
    tahoe_engine.errors.ConfigError: there is no estimator 'logistik'; the nearest are logistic, elastic_net, majority
    """
    named = [entry for entry in ENTRIES if entry.name == name]
    if not named:
        near = ", ".join(nearest(name, {entry.name for entry in ENTRIES}))
        raise ConfigError(f"there is no estimator {escape_controls(name)!r}; the nearest are {near}")
    for entry in named:
        if kind in entry.kinds:
            return entry
    others = sorted({entry.name for entry in ENTRIES if kind in entry.kinds})
    raise ConfigError(f"{name} is not for {kind}; there is {', '.join(others)}")


def make_estimator(  # noqa: PLR0913 - the keywords are what the rows decide
    entry: Entry, kind: str, parameters: Mapping[str, Any], *, seed: int, n_features: int, n_classes: int = 2
) -> Any:  # noqa: ANN401 - scikit-learn has no types
    """Make an estimator that is not fitted yet.

    A matrix of few columns is made dense first: faster, and it can be centred. Every step is scikit-learn's own.

    Parameters
    ----------
    entry : Entry
        Of the catalogue.
    kind : {"classification", "regression"}
        Of the target.
    parameters : mapping
        In scikit-learn's words; the text ``none`` is None, for which TOML has no word; ``penalty`` may be l1 or l2.
    seed : int
        Of the task.
    n_features : int
        Columns of the matrix.
    n_classes : int
        Of a classifier.

    Returns
    -------
    object
        A pipeline whose last step is called ``model``, or that alone where it is trained part by part.

    Raises
    ------
    ConfigError
        If a parameter is unknown, is not the task's to set, or has a value it cannot have.

    Examples
    --------
    >>> forest = find_entry("random_forest", "regression")
    >>> made = make_estimator(forest, "regression", {"max_depth": 3}, seed=1, n_features=450)
    >>> made.named_steps["model"]
    RandomForestRegressor(max_depth=3, random_state=1)
    """
    from sklearn.pipeline import Pipeline

    if entry.way == "baseline":
        raise ConfigError(f"{entry.name} looks at no feature; it is not made but counted")
    _check_names(entry, kind, parameters)
    given = {name: None if value == "none" else value for name, value in parameters.items()}
    mapped = {name: given.pop(name) for name in entry.before if name in given}
    if entry.name == "logistic":
        given = _choose_penalty(given, n_classes)
    if entry.way == "passes":
        given = {"loss": _OF_SGD[kind], **given}
    last = _set(entry, _find_class(entry, kind)(), {**entry.defaults, **given}, seed)
    if entry.way in {"passes", "closed"}:
        return last
    steps: list[tuple[str, Any]] = []
    if dense := 0 < n_features <= DENSE_COLUMNS:
        steps.append(("dense", _densify(n_features)))
    if entry.scaled:
        from sklearn.preprocessing import StandardScaler

        # Centred, a sparse matrix would be none any more.
        steps.append(("scale", StandardScaler(with_mean=dense)))
    if entry.before:
        from sklearn.kernel_approximation import Nystroem

        steps.append(("kernel", _set(entry, Nystroem(), {**entry.before, **mapped}, seed)))
    return Pipeline([*steps, ("model", last)])


def name_parameters(entry: Entry, kind: str) -> tuple[str, ...]:
    """Name the parameters that a task may set, sorted.

    Parameters
    ----------
    entry, kind
        As in `make_estimator`.

    Returns
    -------
    tuple of str
        Also those of a map that goes before.

    Examples
    --------
    >>> name_parameters(find_entry("kernel_svm", "regression"), "regression")[:5]
    ('C', 'dual', 'epsilon', 'fit_intercept', 'gamma')
    """
    return tuple(sorted({*_find_class(entry, kind)().get_params(), *entry.before} - OURS))


def _find_class(entry: Entry, kind: str) -> Any:  # noqa: ANN401 - scikit-learn has no types
    package, _, name = entry.makers[kind].rpartition(".")
    if package != "xgboost":
        return getattr(import_module(package), name)
    import xgboost

    return getattr(xgboost, name)


def _densify(n_features: int) -> Any:  # noqa: ANN401 - scikit-learn has no types
    # Of types that skops knows: a function of ours it would not load.
    from sklearn.compose import ColumnTransformer

    return ColumnTransformer([("all", "passthrough", slice(0, n_features))], sparse_threshold=0.0)


def _choose_penalty(given: dict[str, Any], n_classes: int) -> dict[str, Any]:
    """Say a penalty by its name, and take the solver that can do it: scikit-learn 1.8 says it by `l1_ratio`."""
    given = dict(given)
    penalty = given.pop("penalty", "l2")
    if penalty not in {"l1", "l2"}:
        raise ConfigError(f"logistic: penalty = {penalty!r}; it is l1 or l2")
    if penalty == "l2" and given.get("l1_ratio", 0.0) == 0.0:
        return given
    # saga stops long before liblinear has found the same optimum, but liblinear knows two classes only.
    solver = "liblinear" if given.get("l1_ratio", 1.0) == 1.0 and n_classes <= MOST_CLASSES_OF_LIBLINEAR else "saga"
    return {"l1_ratio": 1.0, "solver": solver, **given}


def _check_names(entry: Entry, kind: str, names: Iterable[str]) -> None:
    allowed = {*name_parameters(entry, kind), *(("penalty",) if entry.name == "logistic" else ())}
    for name in names:
        if name in OURS:
            raise ConfigError(f"{entry.name}: {name} is not a task's to set; the task has a seed, the run has workers")
        if name not in allowed:
            near = ", ".join(nearest(name, allowed))
            raise ConfigError(f"{entry.name} has no parameter {escape_controls(name)!r}; the nearest are {near}")


def _set(entry: Entry, estimator: Any, given: Mapping[str, Any], seed: int) -> Any:  # noqa: ANN401 - no types there
    estimator.set_params(**given)
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=seed)
    if hasattr(estimator, "_parameter_constraints"):  # xgboost has none
        try:
            estimator._validate_params()  # noqa: SLF001 - what its fit begins with: better now than on a worker
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{entry.name}: {escape_controls(str(error))}") from error
    return estimator
