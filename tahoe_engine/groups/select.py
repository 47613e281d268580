"""Highly variable genes from moments alone, as scanpy chooses them: no cell is read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from tahoe_engine.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

# Moments a flavor works on: scanpy takes the logarithm back for seurat only.
MOMENTS_OF: Final = {
    "seurat": ("mean_cp10k", "var_cp10k"),
    "cell_ranger": ("mean_log1p_cp10k", "var_log1p_cp10k"),
}
CHOSEN: Final = ("highly_variable", "means", "dispersions", "dispersions_norm")
NO_MEAN: Final = 1e-12  # in place of a mean of 0, in scanpy
MAD_OF_NORMAL: Final = 0.6744897501960817  # median absolute deviation of a standard normal


def select_genes(  # noqa: PLR0913 -- the names and defaults of scanpy
    genes: pl.DataFrame,
    *,
    flavor: Literal["seurat", "cell_ranger"] = "seurat",
    n_top_genes: int | None = None,
    min_mean: float = 0.0125,
    max_mean: float = 3,
    min_disp: float = 0.5,
    max_disp: float = float("inf"),
    n_bins: int = 20,
) -> pl.DataFrame:
    """Choose genes whose dispersion is high among genes of about the same mean.

    Parameters
    ----------
    genes : polars.DataFrame
        One row a gene, with its moments over all cells, zeros counted, n - 1 in the denominator of the variance:
        ``mean_cp10k`` and ``var_cp10k`` for flavor seurat, ``mean_log1p_cp10k`` and ``var_log1p_cp10k`` for flavor
        cell_ranger, which scanpy computes on the logarithms. The table of genes has them, and so has a group of
        ``groups/moments`` (which leaves out genes without counts: other bins than with them).
    flavor : {"seurat", "cell_ranger"}, default "seurat"
        How dispersions are compared within a bin of means: by mean and standard deviation of their logarithms, in
        bins of equal width; or by median and median absolute deviation, in 20 bins with as many genes each.
    n_top_genes : int, optional
        Choose as many; the thresholds then go unused. More where genes tie with the last one, fewer where there are
        not as many with a dispersion.
    min_mean, max_mean, min_disp, max_disp : float
        Choose genes between these (exclusive) means and normalised dispersions.
    n_bins : int, default 20
        Of flavor seurat.

    Returns
    -------
    polars.DataFrame
        The columns of `genes` and those of scanpy: ``highly_variable`` (Boolean), ``means``, ``dispersions``,
        ``dispersions_norm`` (Float64). Null where scanpy has NaN: seurat gives a gene without variance no dispersion;
        a gene that is alone in its bin has a normalised one of 1 with seurat, and none with cell_ranger.
        ``highly_variable_rank`` is of scanpy's other flavors.

    Raises
    ------
    ConfigError
        If a column is missing, is there already or has nulls, if a mean is negative, for an unknown flavor, fewer
        than one bin or gene, or (cell_ranger) if so many genes have the same mean that bins have no width.

    Notes
    -----
    Equal to ``scanpy.pp.highly_variable_genes`` 1.11 on log1p of counts per ten thousand in float64; in float32, which
    scanpy keeps where the data have it, genes at a threshold may differ. R. Satija et al., Nat. Biotechnol. 33 (2015)
    495-502; G. X. Y. Zheng et al., Nat. Commun. 8 (2017) 14049.

    With `n_top_genes` and an infinite dispersion at the last place scanpy 1.11 chooses none; here that gene and those
    that tie with it are chosen.

    Examples
    --------
    >>> import polars as pl
    >>> table = pl.DataFrame({"gene": [3, 4, 5], "mean_cp10k": [1.0, 1.0, 1.0], "var_cp10k": [1.0, 1.0, 9.0]})
    >>> select_genes(table, n_top_genes=1)["highly_variable"].to_list()
    [False, False, True]
    """
    import numpy as np
    import polars as pl

    _check(genes, flavor, n_top_genes, n_bins)
    means, variances = (genes[name].to_numpy().astype(np.float64) for name in MOMENTS_OF[flavor])
    means[means == 0] = NO_MEAN
    dispersions = variances / means
    if flavor == "seurat":
        with np.errstate(divide="ignore"):
            dispersions = np.log(np.where(dispersions == 0, np.nan, dispersions))
        means = np.log1p(means)
    # Pandas' cut: a bin has its upper edge and not its lower one.
    bins = np.searchsorted(_find_edges(means, flavor, n_bins), means, side="left")
    norm = np.full(means.size, np.nan)
    for one in np.unique(bins):
        within = bins == one
        norm[within] = _normalize(dispersions[within], flavor)
    if n_top_genes is not None:
        known = np.sort(norm[~np.isnan(norm)])[::-1]
        chosen = norm >= known[min(n_top_genes, known.size) - 1] if known.size else np.zeros(norm.size, np.bool_)
    else:
        compared = np.nan_to_num(norm)
        chosen = (means > min_mean) & (means < max_mean) & (compared > min_disp) & (compared < max_disp)
    values = (chosen, means, dispersions, norm)
    return genes.with_columns(
        pl.Series(name, column, nan_to_null=True) for name, column in zip(CHOSEN, values, strict=True)
    )


def _check(genes: pl.DataFrame, flavor: str, n_top_genes: int | None, n_bins: int) -> None:
    if flavor not in MOMENTS_OF:
        raise ConfigError(f"there is no flavor {flavor!r} of gene selection: choose {' or '.join(MOMENTS_OF)}")
    if n_bins < 1 or (n_top_genes is not None and n_top_genes < 1):
        raise ConfigError(f"n_bins ({n_bins}) and n_top_genes ({n_top_genes}) must be at least 1")
    names = MOMENTS_OF[flavor]
    if missing := [name for name in names if name not in genes.columns]:
        raise ConfigError(f"the table of genes has no column {', '.join(missing)}; flavor {flavor} needs it")
    if there := [name for name in CHOSEN if name in genes.columns]:
        raise ConfigError(f"the table of genes has a column {', '.join(there)} already; drop it first")
    for name in names:
        if genes[name].null_count() or not genes[name].is_finite().all():
            raise ConfigError(f"{name} is not known for every gene; moments of less than two cells choose no genes")
        if (genes[name] < 0).any():
            raise ConfigError(f"{name} is negative: these are no moments of counts")
    if not genes.height:
        raise ConfigError("the table of genes is empty; there is nothing to choose from")


def _find_edges(means: NDArray[np.float64], flavor: str, n_bins: int) -> NDArray[np.float64]:
    """Give the edges of the bins as ``pandas.cut`` makes them, or the percentiles that scanpy hands it."""
    import numpy as np

    if flavor == "cell_ranger":
        inner = np.percentile(means, np.arange(10, 105, 5))
        edges = np.concatenate([[-np.inf], inner, [np.inf]])
        if (np.diff(edges) == 0).any():
            raise ConfigError(
                "more than one gene in twenty has the same mean, so that bins of means have no width; leave out the "
                "genes without counts, or choose flavor seurat"
            )
        return edges
    low, high = float(means.min()), float(means.max())
    edges = np.linspace(low, high, n_bins + 1)
    edges[0] -= 0.001 * (high - low)
    return edges


def _normalize(dispersions: NDArray[np.float64], flavor: str) -> NDArray[np.float64]:
    """Compare the dispersions of a bin with each other."""
    import numpy as np

    known = dispersions[~np.isnan(dispersions)]
    if flavor == "cell_ranger":
        middle = np.median(known)
        spread = np.median(np.abs(known - middle)) / MAD_OF_NORMAL
    elif known.size > 1 and np.ptp(known) == 0:
        return np.full(dispersions.size, np.nan)  # 0 / 0, whatever the rounding of a mean
    elif known.size > 1:
        middle, spread = known.mean(), known.std(ddof=1)
    elif known.size:
        middle, spread = np.float64(0.0), known[0]  # alone in its bin: 1, by scanpy's rule
    else:
        return dispersions
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((dispersions - middle) / spread)
