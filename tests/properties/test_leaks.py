"""Whatever an honest table looks like, the guard is silent; wherever a leak is planted in one, it is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tahoe_engine.leaks import find_leaks

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (1, 2, 3, 5, 8, 12, 30, 80, 300, 900)
TARGETS = ("noise", "signal", "drug effect", "rare class", "line", "counts", "zeros", "dose")


class Atlas:
    """A made-up table of cells: counts, summaries, categories that are nested, one-hot blocks, gaps, heavy ties."""

    def __init__(self, seed: int, rows: int) -> None:
        self.random = random = np.random.default_rng(seed)
        self.rows = rows
        n_lines, n_drugs = int(random.integers(2, 7)), int(random.integers(2, 30))
        self.line = np.array(
            [f"CVCL_{one}" for one in random.choice(n_lines, rows, p=random.dirichlet(np.ones(n_lines)))]
        )
        drug = random.integers(0, n_drugs, rows)
        moa = random.integers(0, 5, n_drugs)[drug]
        self.sample = np.array(
            [f"smp_{one}_{plate}" for one, plate in zip(drug, random.integers(0, 3, rows), strict=True)]
        )
        self.effect = random.normal(size=n_drugs)[drug]
        self.total = np.round(np.exp(random.normal(8, 1, rows)))
        self.score = random.normal(size=rows)
        z = (self.total - self.total.mean()) / max(self.total.std(), 1e-9)
        gaps = np.where(random.random(rows) < 0.1, np.nan, random.normal(size=rows))
        one_hot = {f"drug_{one}": (drug == one).astype(float) for one in range(n_drugs)}
        one_hot |= {f"moa_{one}": (moa == one).astype(np.int8) for one in range(5)}
        self.columns: dict[str, Any] = {
            "total": self.total,
            "log1p_total": np.log1p(self.total),
            "total^2": z**2,
            "n_genes": random.poisson(self.total / 3),
            "score": self.score,
            "score total": self.score * z,
            "single": random.normal(size=rows).astype(np.float32),
            "printed": random.normal(size=rows).round(2),
            "few": random.poisson(1, rows),
            "mostly_zero": np.where(random.random(rows) < 0.9, 0, random.gamma(2, 1, rows)),
            "constant": np.full(rows, 3.0),
            "nothing": np.full(rows, np.nan),
            "share": random.beta(0.5, 3, rows),
            "flag": random.random(rows) < 0.3,
            "gaps": gaps,
            "id": [f"cell{one:06}" for one in range(rows)],
            "sample": self.sample,
            "drug": [f"drug {one}" for one in drug],
            "moa": [f"moa {one}" for one in moa],
            **one_hot,
        }

    def make_target(self, kind: str) -> Any:
        noise = self.random.normal(size=self.rows)
        made = {
            "noise": noise,
            "signal": 3 * self.score + noise,
            "drug effect": 3 * self.effect + noise,
            "rare class": self.random.random(self.rows) < 0.1,
            "line": self.line,
            "counts": self.random.poisson(2, self.rows) + (self.score > 0),
            "zeros": np.where(self.random.random(self.rows) < 0.7, 0, self.random.gamma(1, 1, self.rows)),
            "dose": self.random.choice([0.05, 0.5, 5.0], self.rows),
        }
        return made[kind]

    def split(self) -> Any:
        """Whole samples are held out; one column is standardized and one imputed by the training rows."""
        samples = np.unique(self.sample)
        test = np.isin(self.sample, self.random.choice(samples, max(1, samples.size // 4), replace=False))
        if (~test).any():
            train = self.total[~test]
            self.columns["total"] = (self.total - train.mean()) / max(train.std(), 1e-9)
            gaps = self.columns["gaps"]
            known = gaps[~test & ~np.isnan(gaps)]
            self.columns["gaps"] = np.where(np.isnan(gaps), known.mean() if known.size else 0.0, gaps)
        return test

    def build(self, target: Any) -> pl.DataFrame:
        return pl.DataFrame({**self.columns, "y": target})


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(SIZES), st.sampled_from(TARGETS), st.booleans())
def test_an_honest_table_is_silent(seed: int, rows: int, kind: str, split: bool) -> None:  # noqa: FBT001
    atlas = Atlas(seed, rows)
    options = {"split": atlas.split(), "groups": "sample"} if split else {}
    assert find_leaks(atlas.build(atlas.make_target(kind)), "y", **options) == []


PLANTED: dict[str, Callable[[Any, Any], Any]] = {
    "affine": lambda y, _: -2 * y + 5,
    "single": lambda y, _: y.astype(np.float32),
    "order": lambda y, _: np.exp(y / 3),
    "steps": lambda y, _: np.floor(3 * y),
    "gaps": lambda y, random: np.where(random.random(y.size) < 0.01, np.nan, y),
    "square": lambda y, _: y**2,
    "label": lambda y, _: y > np.median(y),
}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from((600, 900)), st.sampled_from(sorted(PLANTED)), st.booleans())
def test_an_image_of_the_target_is_found(seed: int, rows: int, image: str, signal: bool) -> None:  # noqa: FBT001
    atlas = Atlas(seed, rows)
    y = atlas.make_target("signal" if signal else "noise")
    atlas.columns["planted"] = PLANTED[image](y, atlas.random)
    assert {leak.column for leak in find_leaks(atlas.build(y), "y")} == {"planted"}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from((300, 900)), st.lists(st.floats(0.1, 10), min_size=2, max_size=4))
def test_a_combination_of_columns_is_found(seed: int, rows: int, weights: list[float]) -> None:
    atlas = Atlas(seed, rows)
    names = ["score", "single", "printed", "share"][: len(weights)]
    y = sum(weight * np.asarray(atlas.columns[name], float) for weight, name in zip(weights, names, strict=True))
    assert {leak.column for leak in find_leaks(atlas.build(y), "y")} == set(names)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from((300, 900)), st.floats(0.2, 5), st.floats(0.01, 5))
def test_a_tie_within_classes_is_found(seed: int, rows: int, slope: float, apart: float) -> None:
    atlas = Atlas(seed, rows)
    label = atlas.random.integers(0, 3, rows)
    atlas.columns["tied"] = slope * atlas.score + apart * label
    leaks = find_leaks(atlas.build([f"class {one}" for one in label]), "y")
    assert [(leak.column, leak.kind) for leak in leaks] in ([("tied", "affine_within_classes")], [("tied", "auc")])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from((300, 900)), st.integers(1, 20))
def test_a_group_on_both_sides_is_found_however_small(seed: int, rows: int, n_moved: int) -> None:
    atlas = Atlas(seed, rows)
    test = atlas.split()
    sizes = {one: int((atlas.sample == one).sum()) for one in atlas.sample[test]}
    one = max(sizes, key=lambda name: sizes[name])
    moved = np.flatnonzero(atlas.sample == one)[: min(n_moved, sizes[one] - 1)]
    test[moved] = False
    leaks = find_leaks(atlas.build(atlas.make_target("noise")), "y", split=test, groups="sample")
    named = [leak.facts["named"] for leak in leaks if leak.kind == "straddle"]
    assert named == ([[one]] if moved.size else [])
