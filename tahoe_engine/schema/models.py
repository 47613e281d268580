"""Tables of the stage ``models``, beside its predictions."""

from __future__ import annotations

from typing import Final

from tahoe_engine.schema import FIT_SECONDS, MODEL, SPLIT, Y_PRED, Column, Table, Y

# ``baseline`` is the value of the best model that looks at no feature, of the same split, group and metric.
METRICS: Final = Table(
    "models/metrics",
    (
        Column(MODEL, "String"),
        Column("mode", "String"),  # honest, bug-compat
        Column(SPLIT, "String"),  # train, validation, test, cv-0 ...
        Column("group", "String", nullable=True),  # COLUMN=VALUE; null for all rows
        Column("metric", "String"),
        Column("value", "Float64", nullable=True),  # null where it is not defined
        Column("low", "Float64", nullable=True),  # 95 % bootstrap over the split's groups
        Column("high", "Float64", nullable=True),
        Column("n", "UInt64"),
        Column("baseline", "Float64", nullable=True),
    ),
)
# Is a model better than the best baseline: one-sided, paired over the split's groups, Holm over the models of a task.
TESTS: Final = Table(
    "models/tests",
    (
        Column(MODEL, "String"),
        Column(SPLIT, "String"),
        Column("metric", "String"),
        Column("baseline", "String"),  # name of that model
        Column("difference", "Float64", nullable=True),  # positive where the model is better
        Column("low", "Float64", nullable=True),
        Column("high", "Float64", nullable=True),
        Column("n_groups", "UInt64"),
        Column("p_value", "Float64", nullable=True),
        Column("p_holm", "Float64", nullable=True),
        Column("p_least", "Float64", nullable=True),  # p_holm of a model without a mistake: less cannot be told
        Column("beats_baseline", "Boolean"),
    ),
)
CANDIDATES: Final = Table(
    "models/candidates",
    (
        Column(MODEL, "String"),
        Column("parameters", "String"),  # JSON, sorted keys
        Column("metric", "String"),
        Column("mean", "Float64", nullable=True),  # over the folds
        Column("sd", "Float64", nullable=True),  # ddof 1
        Column("train_mean", "Float64", nullable=True),
        Column("folds", "UInt32"),
        Column("rank", "UInt32"),  # 1 is best; ties share the lowest
        Column("tied", "Boolean"),
        Column("chosen", "Boolean"),
    ),
)
CURVES: Final = Table(
    "models/curves",
    (
        Column(MODEL, "String"),
        Column("curve", "String"),  # epoch, rows, or the name of a parameter
        Column("x", "Float64"),
        Column("part", "String"),  # train, validation
        Column("metric", "String"),
        Column("value", "Float64", nullable=True),
    ),
)
CONFUSION: Final = Table(
    "models/confusion",
    (
        *(Column(MODEL, "String"), Column(SPLIT, "String"), Column(Y, "String"), Column(Y_PRED, "String")),
        Column("n", "UInt64"),
    ),
)
CLASSES: Final = Table(
    "models/classes",
    (
        *(Column(MODEL, "String"), Column(SPLIT, "String"), Column("class", "String")),
        *(Column(name, "Float64", nullable=True) for name in ("precision", "recall", "f1", "roc_auc")),
        Column("support", "UInt64"),
    ),
)
CALIBRATION: Final = Table(
    "models/calibration",
    (
        *(Column(MODEL, "String"), Column(SPLIT, "String"), Column("class", "String"), Column("bin", "UInt32")),
        *(Column(name, "Float64", nullable=True) for name in ("mean_predicted", "observed")),
        Column("n", "UInt64"),
    ),
)
# Predicted against true, as counts of a grid: the picture needs no rows.
POINTS: Final = Table(
    "models/points",
    (
        *(Column(MODEL, "String"), Column(SPLIT, "String")),
        *(Column(name, "Float64") for name in ("y_low", "y_high", "y_pred_low", "y_pred_high")),
        Column("n", "UInt64"),
    ),
)
IMPORTANCES: Final = Table(
    "models/importances",
    (
        *(Column(MODEL, "String"), Column("kind", "String")),  # permutation, coefficient, impurity
        Column("feature", "String"),
        Column("class", "String", nullable=True),  # of a coefficient, where there is one a class
        Column("value", "Float64", nullable=True),
        Column("sd", "Float64", nullable=True),  # over the permutations
        Column("rank", "UInt32"),  # by absolute value within model, kind and class; ties share the lowest
    ),
)
VERDICTS: Final = Table(
    "models/verdicts",
    (Column(MODEL, "String"), Column("verdict", "String"), Column("evidence", "String")),
)
COMPARISON: Final = Table(
    "models/comparison",
    (
        *(Column(MODEL, "String"), Column("set", "String"), Column("metric", "String")),
        *(Column(name, "Float64", nullable=True) for name in ("mean", "sd")),  # over folds; ddof 1
        Column("folds", "UInt32"),
        Column("n", "UInt64"),
        Column("baseline", "Float64", nullable=True),
        Column(FIT_SECONDS, "Float64", nullable=True),  # of one fold, in a task that compares
    ),
)
MODEL_TABLES: Final = (
    *(METRICS, TESTS, CANDIDATES, CURVES, CONFUSION, CLASSES, CALIBRATION, POINTS, IMPORTANCES, VERDICTS, COMPARISON),
)
