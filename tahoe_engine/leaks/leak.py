"""What the guard finds: a leak, its kind and its evidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

KINDS: Final = {
    "affine": "the target is a·x + b, over all rows or within the levels of other columns",
    "affine_combination": "the target is an exact linear combination of columns, or of their logarithms",
    "affine_within_classes": "columns are tied exactly within each class, by constants that differ between classes",
    "monotone": "no pair of rows is ordered one way by the column and the other way by the target",
    "auc": "the column separates a class from the others without a mistake",
    "separation": "a class lies alone on one side of a threshold on a sum of columns",
    "function": "the target is told exactly by the value of the column",
    "duplicate": "two columns are equal, or one is a·x + b of the other",
    "straddle": "a group, or the very same row, is on both sides of the split",
    "fitted_on_test": "the column was scaled, imputed or rotated with the help of test rows",
    "target_statistics": "the column is the mean of the target by level, the row itself included",
    "lineage": "the column was made of what the target was made of",
}


@dataclass(frozen=True)
class Leak:
    """A way in which a column gives the target, or a test row, away.

    Parameters
    ----------
    column : str
        The feature; of a straddle, the columns that make the groups.
    kind : str
        One of `KINDS`.
    evidence : str
        A sentence with numbers.
    columns : tuple of str
        All columns that take part.
    facts : dict
        The numbers of the sentence, by name.

    Examples
    --------
    >>> print(Leak("x", "affine", "y = 2·x + 1 in all 50 rows"))
    x: affine: y = 2·x + 1 in all 50 rows
    """

    column: str
    kind: str
    evidence: str
    columns: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return f"{self.column}: {self.kind}: {self.evidence}"
