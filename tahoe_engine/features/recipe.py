"""What a recipe says: rows, split, targets and features."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tahoe_engine.schema import CELL_LINE_ID, CONTROL_DRUG, DRUG, MOA_FINE, PLATE, SAMPLE

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Columns = Annotated[tuple[str, ...], Field(min_length=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
# Control cells make up whole groups of these: they can stay in training without a group being torn apart.
KEYS_OF_CONTROLS = frozenset({SAMPLE, DRUG, MOA_FINE})


class Part(BaseModel):
    """The manner of every part of a recipe: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


# --- steps of a numeric block: a matrix in, a matrix out ---------------------------------------------------------
class Impute(Part):
    """Fill what is missing with the mean or the median of the training rows."""

    do: Literal["impute"]
    strategy: Literal["mean", "median"] = "mean"


class Log1p(Part):
    """Take log(1 + x)."""

    do: Literal["log1p"]


class Standardize(Part):
    """Subtract the mean of the training rows and divide by their standard deviation (ddof 0)."""

    do: Literal["standardize"]


class Polynomial(Part):
    """Add all products of up to `degree` columns, each once, without the constant."""

    do: Literal["polynomial"]
    degree: Annotated[int, Field(ge=2, le=3)] = 2


class Svd(Part):
    """Replace the columns by their first right singular vectors (TruncatedSVD: not centred)."""

    do: Literal["svd"]
    components: Annotated[int, Field(ge=1, le=1000)]


Step = Annotated[Impute | Log1p | Standardize | Polynomial | Svd, Field(discriminator="do")]


# --- blocks of features ------------------------------------------------------------------------------------------
class Numeric(Part):
    """Columns of numbers and the steps they go through.

    Parameters
    ----------
    name : str
        Of the block.
    columns : tuple of str
        Columns of the table, joined or derived ones.
    steps : tuple of Step
        In order.
    prefix : str
        Set before the names of the columns that come out.
    """

    kind: Literal["numeric"] = "numeric"
    name: Name
    columns: Columns
    steps: tuple[Step, ...] = ()
    prefix: str = ""

    @field_validator("steps", mode="before")
    @classmethod
    def _as_steps(cls, value: object) -> object:
        # "standardize" is {do = "standardize"}.
        items = list(value) if isinstance(value, (list, tuple)) else value
        return [{"do": item} if isinstance(item, str) else item for item in items] if isinstance(items, list) else items


class OneHot(Part):
    """A column of text as one column of zeros and ones a level; a level that is not known gives zeros everywhere.

    Parameters
    ----------
    name : str
        Of the block.
    column : str
        A column of text; ``''`` and null are one level of their own, ``''``.
    levels : {"vocabulary", "seen"}
        All of the run's own tables of drugs and lines, or those of the training rows.
    top : int
        Keep that many of the most frequent levels and make one level, ``Other``, of the rest; 0 = keep all.
    """

    kind: Literal["one_hot"]
    name: Name
    column: str
    levels: Literal["vocabulary", "seen"] = "vocabulary"
    top: Annotated[int, Field(ge=0, le=100_000)] = 0


class OneHotSvd(Part):
    """Several columns of text as ones and zeros, replaced by their first right singular vectors.

    Parameters
    ----------
    name : str
        Of the block.
    columns : tuple of str
        As `OneHot.column`.
    levels : {"vocabulary", "seen"}
        As for `OneHot`.
    components : int
        How many vectors.
    """

    kind: Literal["one_hot_svd"]
    name: Name
    columns: Columns
    levels: Literal["vocabulary", "seen"] = "vocabulary"
    components: Annotated[int, Field(ge=1, le=1000)]


class TargetStatistics(Part):
    """What the target was for other training rows of the same level: out of fold, never of the row itself.

    Parameters
    ----------
    name : str
        Of the block.
    by : tuple of str
        Columns whose values together are the level.
    of : str
        Name of a numeric target.
    statistics : tuple of {"mean", "std", "quantile"}
        What is told of it.
    quantile : float
        Which one.
    smoothing : float
        Rows of the overall value that are mixed in (mean and std): (n·level + m·overall) / (n + m).
    method : {"folds", "leave_one_out"}
        Training rows see the other folds, or all others but themselves (mean alone).
    noise : float
        leave_one_out: standard deviation of the noise its values are multiplied with, 1 + N(0, noise); by the hash of
        the row, hence the same each time.
    """

    kind: Literal["target_statistics"]
    name: Name
    by: Columns
    of: str
    statistics: tuple[Literal["mean", "std", "quantile"], ...] = ("mean",)
    quantile: Annotated[float, Field(ge=0, le=1)] = 0.8
    smoothing: Annotated[float, Field(ge=0, le=1e9)] = 10.0
    method: Literal["folds", "leave_one_out"] = "folds"
    noise: Annotated[float, Field(ge=0, le=10)] = 0.0

    @model_validator(mode="after")
    def _fits(self) -> TargetStatistics:
        if self.method == "leave_one_out" and (self.statistics != ("mean",) or self.noise == 0):
            raise ValueError("leave_one_out gives the mean alone, and needs noise: the target could be solved for")
        return self


class Expression(Part):
    """log1p(CP10k) of genes that are chosen from the training groups.

    Parameters
    ----------
    name : str
        Of the block.
    genes : int
        How many.
    flavor : {"seurat", "cell_ranger"}
        As in `tahoe_engine.select_genes`.
    svd : int
        Replace the genes by that many right singular vectors; 0 = do not.
    """

    kind: Literal["expression"]
    name: Name
    genes: Annotated[int, Field(ge=1, le=20_000)] = 500
    flavor: Literal["seurat", "cell_ranger"] = "seurat"
    svd: Annotated[int, Field(ge=0, le=1000)] = 0


Block = Annotated[Numeric | OneHot | OneHotSvd | TargetStatistics | Expression, Field(discriminator="kind")]


# --- targets -----------------------------------------------------------------------------------------------------
class ColumnTarget(Part):
    """A column of the table, or a derived one; text and truth values are classes."""

    kind: Literal["column"] = "column"
    name: Name
    column: str
    without: tuple[str, ...] = ()


class DeltaTarget(Part):
    """A column minus its mean over the control cells of the same stratum.

    Parameters
    ----------
    name : str
        Of the target.
    value : str
        A numeric column.
    by : tuple of str
        Stratum: plate and line.
    baseline : {"train", "all"}
        Control cells of the training rows, or (the references' way) of all.
    missing : {"null", "zero"}
        What stands where a stratum has no control cell: null, which is counted, or (the references' way) the value.
    standardize : bool
        Divide by the standard deviation and subtract the mean, over the rows that transformers are fitted on.
    without : tuple of str
        Blocks of features that are not for this target.
    """

    kind: Literal["delta"]
    name: Name
    value: str
    by: tuple[str, ...] = (PLATE, CELL_LINE_ID)
    baseline: Literal["train", "all"] = "train"
    missing: Literal["null", "zero"] = "null"
    standardize: bool = False
    without: tuple[str, ...] = ()


Target = Annotated[ColumnTarget | DeltaTarget, Field(discriminator="kind")]


# --- rows and split ----------------------------------------------------------------------------------------------
class Rows(Part):
    """Which rows of the table.

    Parameters
    ----------
    keep : dict
        Values to keep, by column.
    where : str
        A formula that is true for rows to keep.
    first : int
        Only so many of the rows that are left, in the order of the table; 0 = all.
    controls : {"keep", "drop"}
        Whether control cells are rows of the features, or serve as baseline only.
    control : str
        Their drug.
    """

    keep: dict[str, tuple[str, ...]] = {}
    where: str = ""
    first: Annotated[int, Field(ge=0)] = 0
    controls: Literal["keep", "drop"] = "keep"
    control: str = CONTROL_DRUG


class SplitRule(Part):
    """Who trains and who is tested.

    Parameters
    ----------
    by : tuple of str
        Rows that agree in these columns stay together; empty: every row for itself.
    stratify : tuple of str
        Without `by`: each combination of their values is shared out on its own.
    test, validation : float
        Shares: of the groups, or of the rows of each stratum.
    folds : int
        Folds of the training rows for cross-validation, made of the same groups; 0 = none.
    seed : int
        Another seed, another split.
    method : {"hash", "sklearn"}
        By the hash of the group or the row, hence independent of order and parts; or as
        ``train_test_split(random_state=seed)`` does, by the order of the rows.
    controls : {"train", "share"}
        Control cells always train where they are groups of their own; or are shared out like all others.
    """

    by: tuple[str, ...] = ()
    stratify: tuple[str, ...] = ()
    test: Share = 0.2
    validation: Share = 0.0
    folds: Annotated[int, Field(ge=0, le=100)] = 5
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    method: Literal["hash", "sklearn"] = "hash"
    controls: Literal["train", "share"] = "train"

    @model_validator(mode="after")
    def _fits(self) -> SplitRule:
        if self.by and (self.stratify or self.method == "sklearn"):
            raise ValueError("groups are neither stratified nor split in scikit-learn's way; leave out split.by")
        if self.stratify and self.method == "sklearn":
            raise ValueError("what is split in scikit-learn's way is not stratified; leave out split.method")
        if self.test + self.validation >= 1:
            raise ValueError("test and validation leave nothing to train on")
        if self.folds == 1:
            raise ValueError("one fold is none: write 0, or 2 and more")
        return self

    @property
    def keeps_controls(self) -> bool:
        """Whether control cells are kept in training."""
        return self.controls == "train" and bool(KEYS_OF_CONTROLS & set(self.by))


class Recipe(Part):
    """A recipe: everything about features but where the data is.

    Parameters
    ----------
    description : str
        For people.
    table : {"cells", "groups", "top_table", "file"}
        Whose rows: cells or groups of the run; or a file that the user names: a top table of limma, or any table.
    key : tuple of str
        Columns that tell rows of a file apart; empty: all of them together.
    joins : tuple of {"drug", "cell_line", "obs"}
        Tables whose columns are added.
    derive : dict
        Further columns by their formula, in order.
    fitted_on : {"train", "all"}
        "all" is the references' mistake, kept for comparison: the leak guard refuses it.
    allow : tuple of str
        Columns of which the leak guard may say what it likes.
    rows, split, targets, features
        See there.
    """

    description: str = ""
    table: Literal["cells", "groups", "top_table", "file"] = "cells"
    key: tuple[str, ...] = ()
    joins: tuple[Literal["drug", "cell_line", "obs"], ...] = ()
    derive: dict[str, str] = {}
    fitted_on: Literal["train", "all"] = "train"
    allow: tuple[str, ...] = ()
    rows: Rows = Rows()
    split: SplitRule = SplitRule()
    targets: Annotated[tuple[Target, ...], Field(min_length=1)]
    features: Annotated[tuple[Block, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _agrees(self) -> Recipe:
        for what, parts in (("target", self.targets), ("block of features", self.features)):
            names = [part.name for part in parts]
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                raise ValueError(f"the {what} {twice[0]!r} is there twice")
        blocks = {block.name for block in self.features}
        targets = {target.name for target in self.targets}
        for target in self.targets:
            strange = [name for name in target.without if name not in blocks]
            if strange:
                raise ValueError(f"target {target.name!r}: there is no block {strange[0]!r}")
        for block in self.features:
            if isinstance(block, TargetStatistics) and block.of not in targets:
                raise ValueError(f"block {block.name!r}: there is no target {block.of!r}")
        return self
