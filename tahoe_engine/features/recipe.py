"""What a recipe says: rows, split, targets and features."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tahoe_engine.features.blocks import Block, Name, Names, Part, TargetStatistics
from tahoe_engine.schema import CELL_LINE_ID, CONTROL_DRUG, DRUG, MOA_FINE, PLATE, SAMPLE

Share = Annotated[float, Field(ge=0, lt=1)]
# Control cells make up whole groups of these: they can stay in training without a group being torn apart.
KEYS_OF_CONTROLS = frozenset({SAMPLE, DRUG, MOA_FINE})


# --- targets -----------------------------------------------------------------------------------------------------
class ColumnTarget(Part):
    """A column of the table, or a derived one; text and truth values are classes."""

    kind: Literal["column"] = "column"
    name: Name
    column: str
    without: Names = ()


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
    by: Names = (PLATE, CELL_LINE_ID)
    baseline: Literal["train", "all"] = "train"
    missing: Literal["null", "zero"] = "null"
    standardize: bool = False
    without: Names = ()


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

    keep: dict[str, Names] = Field(default_factory=dict)
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
        Folds of the training rows for cross-validation, made of the same groups, or of each stratum alike; 0 = none.
    seed : int
        Another seed, another split.
    method : {"hash", "sklearn"}
        By the hash of the group or the row, hence independent of order and parts; or as
        ``train_test_split(random_state=seed)`` does, by the order of the rows.
    controls : {"train", "share"}
        Control cells always train where they are groups of their own; or are shared out like all others.
    """

    by: Names = ()
    stratify: Names = ()
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
        Columns, or whole blocks, of which the leak guard may say what it likes.
    rows, split, targets, features
        See there.
    """

    description: str = ""
    table: Literal["cells", "groups", "top_table", "file"] = "cells"
    key: Names = ()
    joins: tuple[Literal["drug", "cell_line", "obs"], ...] = ()
    derive: dict[str, str] = Field(default_factory=dict)
    fitted_on: Literal["train", "all"] = "train"
    allow: Names = ()
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
            if isinstance(block, TargetStatistics) and not self.split.folds:
                raise ValueError(f"block {block.name!r}: statistics of the target need folds; write split.folds = 5")
        return self
