"""The design of a stratum: what is in it, and what can be told from it."""

from __future__ import annotations

import numpy as np

from tahoe_engine.contrasts.design import Contrast, Side, Stratum
from tahoe_engine.contrasts.matrix import build_matrix


def stratum_of(control: list[int], treated: list[list[int]], blocks: dict[int, str] | None = None) -> Stratum:
    contrasts = tuple(
        Contrast(place, f"drug {place}", 1.0, None, None, Side(tuple(groups), 10 * len(groups), len(groups)))
        for place, groups in enumerate(treated)
    )
    named = {group: (value,) for group, value in (blocks or {}).items()}
    return Stratum(None, None, Side(tuple(control), 10 * len(control), len(control)), contrasts, {}, named)


def test_every_level_has_a_mean_of_its_own() -> None:
    matrix = build_matrix(stratum_of([0, 3], [[1], [2, 4]]))
    assert matrix.groups == (0, 1, 2, 3, 4)
    assert matrix.design.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 1]]
    assert matrix.contrasts.tolist() == [[-1, -1], [1, 0], [0, 1]]
    assert matrix.control.tolist() == [1, 0, 0]
    assert matrix.estimable.all()


def test_a_block_is_a_covariate_and_takes_its_effect_away() -> None:
    matrix = build_matrix(stratum_of([0, 3], [[1, 4]], {0: "a", 1: "a", 3: "b", 4: "b"}))
    assert matrix.design.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 1], [0, 1, 1]]
    # Block b adds 5, the drug 2: the fit is exact.
    fitted = np.linalg.lstsq(matrix.design, np.array([1.0, 3.0, 6.0, 8.0]))[0]
    assert np.allclose(fitted @ matrix.contrasts, [2.0])
    assert np.allclose(fitted @ matrix.control, 3.5)  # half of the samples are in block b


def test_a_block_without_control_tells_nothing_and_spoils_nothing() -> None:
    blocks = {0: "a", 1: "a", 2: "b", 3: "b"}
    matrix = build_matrix(stratum_of([0], [[1], [2], [3]], blocks))
    # In block b stand two treatments and no control: each may be as large as the block's effect says.
    assert matrix.estimable.tolist() == [True, False, False]
    assert matrix.design.shape == (4, 4)
    assert np.linalg.matrix_rank(matrix.design) == 4
    assert matrix.contrasts[:, 1:].tolist() == np.zeros((4, 2)).tolist()


def test_a_treatment_in_both_blocks_ties_them_together() -> None:
    blocks = {0: "a", 1: "a", 2: "b", 3: "b"}
    matrix = build_matrix(stratum_of([0], [[1, 2], [3]], blocks))
    assert matrix.estimable.all()
    # Control 1, first drug +2, block b +5, second drug +3.
    fitted = np.linalg.lstsq(matrix.design, np.array([1.0, 3.0, 8.0, 9.0]))[0]
    assert np.allclose(fitted @ matrix.contrasts, [2.0, 3.0])


def test_groups_without_counts_take_no_part() -> None:
    matrix = build_matrix(stratum_of([0, 3], [[1], [2]]), empty={1, 3})
    assert matrix.groups == (0, 2)
    assert matrix.estimable.tolist() == [False, True]
    assert matrix.design.tolist() == [[1, 0], [0, 1]]
    assert matrix.contrasts.tolist() == [[0, -1], [0, 1]]


def test_without_any_count_in_the_control_nothing_can_be_told() -> None:
    matrix = build_matrix(stratum_of([0], [[1]]), empty={0})
    assert matrix.estimable.tolist() == [False]
