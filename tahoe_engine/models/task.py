"""What a task says: which features, which target, which models, and how they are judged."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Names = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]
# TOML has no null, and None is what scikit-learn calls a tree that may grow.
Value = Annotated[str | int | float | bool | None, BeforeValidator(lambda value: None if value == "none" else value)]
Count = Annotated[int, Field(ge=0, le=2**40)]
BASELINES = ("mean", "majority", "group_mean", "group_majority")  # estimators that look at no feature


class Part(BaseModel):
    """The manner of every part of a task: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Passes(Part):
    """How a model is trained part by part.

    Parameters
    ----------
    epochs : int
        At most so many passes over the training rows.
    window : int
        So many blocks are loaded ahead, and so many trained on between two checkpoints.
    patience : int
        Passes without improvement on the held-out fold (or the validation rows) after which it stops; 0 = never.
    shuffle : bool
        Another order of blocks each pass, from the seed.
    """

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 10
    window: Annotated[int, Field(ge=1, le=1024)] = 8
    patience: Annotated[int, Field(ge=0, le=1000)] = 2
    shuffle: bool = True


class Model(Part):
    """One model, on each of its sets of features.

    Parameters
    ----------
    name : str
        Of the model in the task.
    estimator : str
        Its name in the catalogue.
    sets : tuple of str
        Sets of features it is trained on; empty: all that the task has.
    without : tuple of str
        Columns, or whole blocks, that are left out.
    rows : int
        Train on at most so many rows, chosen by their hash; 0 = all.
    parameters : dict
        Of the estimator, in scikit-learn's words; the catalogue has the defaults.
    search : dict
        Values to try, by parameter.
    how : {"grid", "halving"}
        All combinations, each on every fold; or (where training goes part by part) the better third goes on each time.
    passes : Passes
        Where training goes part by part.
    """

    name: Name
    estimator: str
    sets: Names = ()
    without: Names = ()
    rows: Count = 0
    parameters: dict[str, Value | tuple[Value, ...]] = Field(default_factory=dict)
    search: dict[str, Annotated[tuple[Value, ...], Field(min_length=1)]] = Field(default_factory=dict)
    how: Literal["grid", "halving"] = "grid"
    passes: Passes = Passes()


class Folds(Part):
    """Cross-validation, for what is tuned and for what is told.

    Parameters
    ----------
    number : int
        Of folds; those of the features (whole groups) where it has as many, else made of the same groups; 0 = none.
    rows : int
        At most so many rows are used, chosen by their hash, whole groups first where they fit; 0 = all.
    of : {"train", "all"}
        Training rows; or (the references' way) all rows in the order of the table, test included, stratified.
    blocks : tuple of str
        Blocks of features to use instead (the references left out the scaling).
    """

    number: Annotated[int, Field(ge=0, le=100)] = 5
    rows: Count = 20_000
    of: Literal["train", "all"] = "train"
    blocks: Names = ()

    @model_validator(mode="after")
    def _leaves_rows(self) -> Folds:
        if self.number == 1:
            raise ValueError("number = 1: a single fold leaves no rows to train on; write 0 for none, or 2 and more")
        return self


class Importance(Part):
    """Permutation importance on held-out rows.

    Parameters
    ----------
    rows : int
        At most so many of the test rows, chosen by their hash; 0 = no importance is computed.
    repeats : int
        Permutations of each column.
    """

    rows: Count = 2_000
    repeats: Annotated[int, Field(ge=1, le=1000)] = 5


class Task(Part):
    """A task: everything about models but where the data is.

    Parameters
    ----------
    description : str
        For people.
    features : str
        Recipe whose features are used; in the mode bug-compat those of that mode, where the recipe has it.
    targets : tuple of str
        Names of targets, or patterns (``ENSG*``) for thousands of them; each model is fitted to each.
    kind : {"auto", "regression", "classification"}
        By the type of the target: text and truth values are classes, numbers are not.
    groups : tuple of str
        Columns (line, drug, plate) for each of whose values the test metrics are told, too.
    primary : str
        Metric by which is tuned and compared; by default ``rmse`` or ``balanced_accuracy``.
    seed : int
        Of everything that is random.
    bootstrap : int
        Resamples of the split's groups for the intervals.
    rank_rows : int
        Rank metrics (AUROC, AUPRC, Spearman, calibration) are computed on at most so many rows of a split.
    allow : tuple of str
        Leaks (by column, or kind) that the features were made with and that this task accepts.
    compare : bool
        The table of all models and sets over the folds is what is wanted: no final models, no predictions.
    folds, importance, sets, models
        See there. A set names blocks of the recipe; without any there is one set, of all blocks.
    """

    description: str = ""
    features: Annotated[str, Field(min_length=1)]
    targets: Annotated[Names, Field(min_length=1)]
    kind: Literal["auto", "regression", "classification"] = "auto"
    groups: Names = ()
    primary: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    bootstrap: Annotated[int, Field(ge=0, le=100_000)] = 1000
    rank_rows: Annotated[int, Field(ge=100, le=10_000_000)] = 100_000
    allow: Names = ()
    compare: bool = False
    folds: Folds = Folds()
    importance: Importance = Importance()
    sets: dict[Name, Annotated[Names, Field(min_length=1)]] = Field(default_factory=dict)
    models: Annotated[tuple[Model, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _agrees(self) -> Task:
        names = [model.name for model in self.models]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"the model {twice[0]!r} is there twice")
        for model in self.models:
            strange = [name for name in model.sets if name not in self.sets]
            if strange:
                raise ValueError(f"model {model.name!r}: there is no set {strange[0]!r}")
            both = sorted(set(model.search) & set(model.parameters))
            if both:
                raise ValueError(f"model {model.name!r}: {both[0]!r} is fixed and searched for")
        return self

    def describe(self) -> dict[str, Any]:
        """Give the task as plain values, defaults and all."""
        return self.model_dump(mode="json")
