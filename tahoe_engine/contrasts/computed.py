"""What the methods give: the rows of a contrast, and what its flags are read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.contrasts.design import Contrast

# What is in memory at once, of a stratum of any size. Sides of more groups than this are pooled in steps, which rounds
# otherwise: so these are no settings.
GROUPS_AT_ONCE: Final = 64
CONTRASTS_AT_ONCE: Final = 128


@dataclass(frozen=True)
class Facts:
    """What is known of a contrast beside its rows.

    Parameters
    ----------
    contrast : Contrast
        Which.
    n_genes, n_significant : int
        Genes that were listed, and those of them below a false discovery rate of 0.05.
    mean_score : float
        Mean of the finite scores; NaN where there are none.
    n_zero_significant : int
        Genes below that rate that have no count on one side.
    untestable : bool
        Whether nothing was left to estimate a variance from.
    estimable : bool
        Whether the treated can be compared with the control at all.
    df_residual, df_prior : float or None
        Of the linear model; None for Welch, whose degrees of freedom differ from gene to gene.
    """

    contrast: Contrast
    n_genes: int = 0
    n_significant: int = 0
    mean_score: float = float("nan")
    n_zero_significant: int = 0
    untestable: bool = False
    estimable: bool = True
    df_residual: float | None = None
    df_prior: float | None = None


@dataclass(frozen=True)
class Computed:
    """The results of one contrast.

    Parameters
    ----------
    facts : Facts
        What is kept when its rows are written.
    columns : dict of str to ndarray
        By the names of the table of results, without ``contrast_id``: one value a gene that has a count on either
        side, in the order of tokens; NaN where there is none. Empty where nothing could be estimated.
    """

    facts: Facts
    columns: dict[str, NDArray[np.generic]]
