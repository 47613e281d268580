"""The prior, moderated t and B against the closed formulas of Smyth 2004, gene by gene."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from tahoe_engine.contrasts.limma import moderated, robust
from tahoe_engine.contrasts.limma.moderated import Prior
from tahoe_engine.errors import ConfigError

RNG = np.random.default_rng(11)


def _draw(genes: int, df: float, prior_df: float, variance: float) -> np.ndarray:
    return variance * RNG.f(df, prior_df, genes)


@pytest.mark.parametrize("value", [1e-9, 1e-3, 0.5, 4.93, 300.0, 1e9])
def test_the_trigamma_function_is_inverted(value: float) -> None:
    assert special.polygamma(1, moderated.invert_trigamma(value)) == pytest.approx(value, rel=1e-6)


def test_the_prior_solves_its_two_equations() -> None:
    variances = _draw(500, 6, 5, 0.8)
    prior = moderated.fit_prior(variances, 6)
    logs = np.log(variances) - special.digamma(3) + math.log(3)
    assert special.polygamma(1, prior.main_df / 2) == pytest.approx(
        logs.var(ddof=1) - special.polygamma(1, 3), rel=1e-9
    )
    assert math.log(prior.variance) == pytest.approx(
        logs.mean() + special.digamma(prior.main_df / 2) - math.log(prior.main_df / 2), rel=1e-9
    )


@pytest.mark.parametrize("df", [1, 6, 40])
@pytest.mark.parametrize("fit", [moderated.fit_prior, robust.fit_prior_robustly])
def test_the_prior_of_drawn_variances_is_found(df: int, fit: object) -> None:
    prior = fit(_draw(40_000, df, 7, 0.8), df)  # type: ignore[operator]
    assert prior.main_df == pytest.approx(7, rel=0.5 if df == 1 else 0.15)  # one variance of 1 tells little
    assert prior.variance == pytest.approx(0.8, rel=0.1 if df == 1 else 0.04)


@pytest.mark.parametrize("fit", [moderated.fit_prior, robust.fit_prior_robustly])
def test_a_scale_changes_nothing_but_the_scale(fit: object) -> None:
    variances = _draw(3_000, 4, 5, 1.0)
    one, other = fit(variances, 4), fit(1e4 * variances, 4)  # type: ignore[operator]
    assert other.variance == pytest.approx(1e4 * one.variance, rel=1e-9)
    assert other.df == pytest.approx(one.df, rel=1e-9)


@pytest.mark.parametrize("fit", [moderated.fit_prior, robust.fit_prior_robustly])
def test_variances_that_differ_by_chance_alone_have_one_value(fit: object) -> None:
    variances = np.exp(np.linspace(-0.1, 0.1, 200))
    prior = fit(variances, 4)  # type: ignore[operator]
    assert prior.main_df == np.inf
    posterior, total = moderated.moderate(variances, 4, prior)
    assert np.ptp(posterior) == 0
    assert (total == 800).all()  # no more than all genes have together


def test_outliers_bend_the_plain_prior_and_not_the_robust_one() -> None:
    variances = _draw(5_000, 6, 8, 1.0)
    variances[:150] *= 100
    plain, robustly = moderated.fit_prior(variances, 6), robust.fit_prior_robustly(variances, 6)
    assert plain.main_df < 4
    assert robustly.main_df == pytest.approx(8, rel=0.35)
    assert np.median(robustly.df[:150]) < 0.25 * robustly.main_df
    assert (robustly.df[150:] == robustly.main_df).mean() > 0.8
    order = np.argsort(-variances)
    assert (np.diff(robustly.df[order]) >= 0).all()  # a larger variance never has more of a prior


def test_outliers_among_otherwise_equal_variances_have_less_of_a_prior() -> None:
    variances = np.append(RNG.chisquare(8, 3_000) / 8, [200.0, 300.0])
    prior = robust.fit_prior_robustly(variances, 8)
    posterior, total = moderated.moderate(variances, 8, prior)
    assert (prior.df[-2:] < 50).all()
    assert (posterior[-2:] > 20).all()
    assert np.isfinite(total).all()


@pytest.mark.parametrize(("df", "prior_df"), [(1, 3.0), (6, 6.75), (3, np.inf), (40, 0.7)])
def test_winsorized_moments_are_those_of_the_density(df: float, prior_df: float) -> None:
    law = stats.f(df, prior_df) if np.isfinite(prior_df) else stats.chi2(df, scale=1 / df)
    low, high = np.log(law.ppf([robust.LOWER_TAIL, 1 - robust.UPPER_TAIL]))

    def expect(power: int, centre: float) -> float:
        inner, _ = integrate.quad(
            lambda z: (z - centre) ** power * law.pdf(np.exp(z)) * np.exp(z), low, high, epsabs=1e-12, epsrel=1e-12
        )
        return float(inner + robust.LOWER_TAIL * (low - centre) ** power + robust.UPPER_TAIL * (high - centre) ** power)

    mean = expect(1, 0.0)
    assert robust.winsorized_moments(df, prior_df) == pytest.approx((mean, expect(2, mean)), rel=1e-6)


def test_a_variance_of_zero_is_moderated_too() -> None:
    variances = np.append(_draw(300, 3, 5, 1.0), 0.0)
    for fit in (moderated.fit_prior, robust.fit_prior_robustly):
        posterior, _ = moderated.moderate(variances, 3, fit(variances, 3))
        assert posterior[-1] > 0


def test_mostly_zero_variances_are_borne_and_none_at_all_refused() -> None:
    variances = np.append(np.zeros(30), _draw(20, 3, 5, 1.0))
    for fit in (moderated.fit_prior, robust.fit_prior_robustly):
        assert np.isfinite(fit(variances, 3).variance)
        with pytest.raises(ConfigError, match="no gene varies"):
            fit(np.zeros(30), 3)


def test_one_gene_has_no_prior() -> None:
    prior = moderated.fit_prior(np.array([2.5]), 4)
    posterior, total = moderated.moderate(np.array([2.5]), 4, prior)
    assert posterior.tolist() == [2.5]
    assert total.tolist() == [4.0]


def test_p_values_are_those_of_t_and_keep_their_digits() -> None:
    t, df = np.array([[0.0], [2.0], [-46.96], [-300.0]]), np.array([3.5, 10, 12.75, 40])
    expected = 2 * stats.t.sf(np.abs(t[:, 0]), df)
    assert moderated.two_sided(t, df)[:, 0] == pytest.approx(expected, rel=1e-10)


def test_log_odds_are_those_of_the_paper() -> None:
    genes, df = 400, np.full(400, 9.0)
    t = RNG.standard_t(9, (genes, 1))
    t[:8, 0] *= 6
    scales = RNG.uniform(0.2, 0.9, (genes, 1))
    prior = Prior(0.7, np.full(genes, 5.0), 5.0)
    # The largest 2 of 400 (half of 1 %) are matched with the quantiles they have if 1 % differ.
    order = sorted(range(genes), key=lambda gene: -abs(t[gene, 0]))[:2]
    spreads = []
    for rank, gene in enumerate(order, start=1):
        size = abs(t[gene, 0])
        target = ((rank - 0.5) / genes - 0.99 * 2 * stats.t.sf(size, 9)) / 0.01
        spread = 0.0
        if target > 2 * stats.t.sf(size, 9):
            spread = scales[gene, 0] * ((size / stats.t.isf(target / 2, 9)) ** 2 - 1)
        spreads.append(min(max(spread, 0.1**2 / 0.7), 4**2 / 0.7))
    v0 = sum(spreads) / 2
    expected = [
        math.log(0.01 / 0.99)
        + 0.5 * math.log(v1 / (v1 + v0))
        + (1 + 9) / 2 * math.log((x**2 + 9) / (x**2 * v1 / (v1 + v0) + 9))
        for x, v1 in zip(t[:, 0], scales[:, 0], strict=True)
    ]
    assert moderated.log_odds(t, scales, df, prior)[:, 0] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_log_odds_see_a_t_of_few_degrees_of_freedom_as_less() -> None:
    df = np.full(400, 9.0)
    t, scales = RNG.standard_t(9, (400, 1)), np.full((400, 1), 0.5)
    t[0], df[0] = 30.0, 1.5
    prior = Prior(0.7, np.full(400, 5.0), 5.0)
    assert (
        moderated.log_odds(t, scales, df, prior)[0, 0] < moderated.log_odds(t, scales, np.full(400, 9.0), prior)[0, 0]
    )
