"""Flags: what makes a contrast doubtful is said, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from tahoe_engine.contrasts.flags import (
    FLAGS,
    Evidence,
    count_flags,
    count_zero_significant,
    find_cell_count_artefacts,
    flag_contrasts,
)

SOUND = Evidence([100, 100], [1_000, 1_000], [2, 2], [6, 6], [0.1, -0.1], [0, 0], [20, 20], [False, False])


def test_sound_contrasts_have_no_flag() -> None:
    assert flag_contrasts(SOUND, method="limma", min_cells=10) == ["", ""]


CASES = [
    ({"n_cells_treated": [9, 10]}, "few_cells"),
    ({"n_cells_control": [9, 10]}, "few_cells"),
    ({"n_wells_treated": [1, 2]}, "few_replicates"),
    ({"n_wells_control": [1, 2]}, "few_replicates"),
    ({"n_cells_control": [0, 10], "n_wells_control": [0, 2]}, "no_control"),
    ({"untestable": [True, False]}, "no_residual_df"),
    ({"n_zero_significant": [2, 1]}, "zero_count_genes"),  # one of 20 may be false
]


@pytest.mark.parametrize(("changed", "flag"), CASES, ids=str)
def test_each_flag_is_raised_by_its_own_evidence(changed: dict[str, Any], flag: str) -> None:
    assert flag_contrasts(replace(SOUND, **changed), method="limma", min_cells=10) == [flag, ""]


def test_welch_needs_no_second_well() -> None:
    one = replace(SOUND, n_wells_treated=[1, 1], n_wells_control=[1, 1])
    assert flag_contrasts(one, method="welch", min_cells=10) == ["", ""]


def test_several_flags_are_sorted_and_counted() -> None:
    bad = replace(SOUND, n_cells_treated=[3, 50], n_wells_treated=[1, 2], n_zero_significant=[4, 2])
    flags = flag_contrasts(bad, method="limma", min_cells=10)
    assert flags == ["few_cells,few_replicates,zero_count_genes", "zero_count_genes"]
    counted = count_flags(flags)
    assert list(counted) == list(FLAGS) == sorted(FLAGS)
    assert {name: n for name, n in counted.items() if n} == {"few_cells": 1, "few_replicates": 1, "zero_count_genes": 2}


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="2 contrasts have lengths"):
        flag_contrasts(replace(SOUND, n_wells_treated=[1]), method="limma", min_cells=10)


def test_no_contrast_has_no_flag() -> None:
    assert flag_contrasts(Evidence([], [], [], []), method="limma", min_cells=10) == []


def test_only_significant_genes_that_a_side_lacks_are_counted() -> None:
    treated = np.array([[0, 3, 0, 5], [1, 0, 2, 0]])
    control = np.array([4, 0, 4, 5])
    adjusted = np.array([[0.01, 0.01, 0.05, 0.01], [0.01, np.nan, 0.01, 0.049]])
    assert count_zero_significant(treated, control, adjusted).tolist() == [2, 1]


CELLS = np.array([20, 40, 60, 80, 100, 120, 140, 160, 180, 900])
LINE = (CELLS - 110) / 100


@pytest.mark.parametrize("sign", [1, -1])
def test_contrasts_driven_by_their_cells_are_found_on_both_ends(sign: int) -> None:
    # |LINE - median| is 0.9, 0.7, 0.5, 0.3, 0.1, 0.1, 0.3, 0.5, 0.7, 7.9: the median is 0.5, and 1.4826 of it 0.7413.
    assert np.flatnonzero(find_cell_count_artefacts(sign * LINE, CELLS)).tolist() == [0, 9]


def test_a_contrast_far_out_on_the_other_side_is_no_artefact() -> None:
    scores = LINE.copy()
    scores[4] = 5.0  # of 100 cells, fewer than the median of 110
    # Away from the median of 0.2: 1.1, 0.9, 0.7, 0.5, 4.8, 0.1, 0.1, 0.3, 0.5, 7.7; the bound is 1.4826 * 0.6 = 0.89.
    assert np.flatnonzero(find_cell_count_artefacts(scores, CELLS)).tolist() == [0, 1, 9]


def test_seven_contrasts_are_too_few() -> None:
    assert not find_cell_count_artefacts(LINE[:7], CELLS[:7]).any()
    assert find_cell_count_artefacts(LINE[:8], CELLS[:8]).any()


def test_a_weak_correlation_is_no_artefact_however_sure_it_is() -> None:
    cells = np.arange(60)
    scores = cells + 60.0 * np.tile([0, 1, 2], 20)  # each third of the contrasts is a line of its own
    correlation = spearmanr(scores, cells)
    assert 0.3 < correlation.statistic < 0.6
    assert correlation.pvalue < 0.01
    assert not find_cell_count_artefacts(scores, cells).any()


def test_a_strong_correlation_may_be_chance_among_few() -> None:
    scores = np.array([2.0, 4, 1, 3, 6, 8, 5, 7])
    correlation = spearmanr(scores, CELLS[:8])
    assert correlation.statistic > 0.6
    assert correlation.pvalue > 0.01
    assert not find_cell_count_artefacts(scores, CELLS[:8]).any()


def test_contrasts_without_a_score_take_no_part() -> None:
    scores = np.where(np.arange(10) < 3, np.nan, LINE)
    assert not find_cell_count_artefacts(scores, CELLS).any()


@pytest.mark.parametrize(("scores", "cells"), [(np.zeros(10), CELLS), (LINE, np.full(10, 50))])
def test_where_nothing_varies_nothing_correlates(scores: Any, cells: Any) -> None:
    assert not find_cell_count_artefacts(scores, cells).any()


def test_fewer_than_one_stratum_in_a_hundred_is_taken_for_an_artefact() -> None:
    random = np.random.default_rng(6)
    found = [find_cell_count_artefacts(random.normal(size=20), random.permutation(20)).any() for _ in range(400)]
    assert np.mean(found) <= 0.01


def test_the_artefact_reaches_the_flags() -> None:
    evidence = Evidence(CELLS, [500] * 10, [2] * 10, [6] * 10, mean_scores=LINE)
    flags = flag_contrasts(evidence, method="limma", min_cells=10)
    assert [place for place, flag in enumerate(flags) if flag == "cell_count_artefact"] == [0, 9]
