"""What the methods give: the rows of a contrast, and what its flags are read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.contrasts.design import Contrast


@dataclass(frozen=True)
class Computed:
    """The results of one contrast.

    Parameters
    ----------
    contrast : Contrast
        Which.
    columns : dict of str to ndarray
        By the names of the table of results, without ``contrast_id``: one value a gene that has a count on either
        side, in the order of tokens; NaN where there is none. Empty where nothing could be estimated.
    mean_score : float
        Mean of the finite scores; NaN where there are none.
    n_zero_significant : int
        Genes below a false discovery rate of 0.05 that have no count on one side.
    n_significant : int
        Genes below that rate.
    untestable : bool
        Whether nothing was left to estimate a variance from.
    estimable : bool
        Whether the treated can be compared with the control at all.
    df_residual, df_prior : float or None
        Of the linear model; None for Welch, whose degrees of freedom differ from gene to gene.
    """

    contrast: Contrast
    columns: dict[str, NDArray[np.generic]]
    mean_score: float
    n_zero_significant: int
    n_significant: int
    untestable: bool
    estimable: bool = True
    df_residual: float | None = None
    df_prior: float | None = None
