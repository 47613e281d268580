"""What a recipe says of features: blocks of columns, and the steps that numbers go through."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Names = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]
Columns = Annotated[Names, Field(min_length=1)]


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
    prefix : str
        Set before the name of the column of codes.
    """

    kind: Literal["one_hot"]
    name: Name
    column: str
    levels: Literal["vocabulary", "seen"] = "vocabulary"
    top: Annotated[int, Field(ge=0, le=100_000)] = 0
    prefix: str = ""


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
        leave_one_out: standard deviation of the noise that is added, in units of the target's; never less than ten
        times what leaving out a row moves its level by. By the hash of the row, hence the same each time.
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
