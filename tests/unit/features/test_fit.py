"""Fits by slices against scikit-learn on the whole matrix."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

from tahoe_engine.config import WorkersSettings
from tahoe_engine.errors import BadDataError, ConfigError, StageError
from tahoe_engine.features.blocks import Numeric
from tahoe_engine.features.chains import Chain, FittedChain
from tahoe_engine.features.fit import fit_chains
from tahoe_engine.workers import open_computing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from tahoe_engine.workers import Computing

    FloatArray = NDArray[np.float64]

NAMES = ("a", "b", "c", "d")
CUTS = ((), (1,), (0, 1, 2, 3, 3, 3, 500), tuple(range(7, 997, 7)))


@dataclass(frozen=True)
class Table:
    """A table in memory that is read by slices of (first, last)."""

    matrix: FloatArray
    names: tuple[str, ...] = NAMES

    def __call__(self, piece: tuple[int, int], columns: tuple[str, ...]) -> FloatArray:
        return self.matrix[slice(*piece)][:, [self.names.index(name) for name in columns]]


@pytest.fixture
def computing() -> Iterator[Computing]:
    with open_computing(WorkersSettings(count=0), 1) as opened:
        yield opened


@pytest.fixture(scope="module")
def matrix() -> FloatArray:
    random = np.random.default_rng(5)
    made = np.exp(random.normal(size=(997, 4))) * [1.0, 1e3, 1e-3, 1.0]
    made[:, 3] = 1e4 + random.normal(size=997)  # a mean far from 0
    made[random.random((997, 4)) < 0.05] = np.nan
    made[:40, 1] = np.nan  # all that a slice has of it
    return np.asfortranarray(made)  # scikit-learn's own sums are exact to the last bits only so


def cut(n_rows: int, cuts: Sequence[int]) -> list[tuple[tuple[int, int], int]]:
    return [((first, last), last - first) for first, last in itertools.pairwise((0, *cuts, n_rows))]


def chain_of(*steps: object, columns: tuple[str, ...] = NAMES, prefix: str = "", name: str = "numbers") -> Chain:
    block = Numeric.model_validate({"name": name, "columns": columns, "steps": list(steps), "prefix": prefix})
    return Chain(block.name, block.columns, block.steps, block.prefix)


def fit(matrix: FloatArray, computing: Computing, *steps: object, cuts: Sequence[int] = ()) -> FittedChain:
    return fit_chains([chain_of(*steps)], cut(len(matrix), cuts), Table(matrix), computing)[0]


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize(
    ("steps", "oracle"),
    [
        (("impute",), [SimpleImputer()]),
        (({"do": "impute", "strategy": "median"},), [SimpleImputer(strategy="median")]),
        (("standardize",), [StandardScaler()]),
        (
            ("impute", "standardize", "polynomial"),
            [SimpleImputer(), StandardScaler(), PolynomialFeatures(2, include_bias=False)],
        ),
        (
            ({"do": "impute", "strategy": "median"}, "log1p", "standardize", {"do": "polynomial", "degree": 3}),
            [
                SimpleImputer(strategy="median"),
                FunctionTransformer(np.log1p),
                StandardScaler(),
                PolynomialFeatures(3, include_bias=False),
            ],
        ),
    ],
    ids=["mean", "median", "standardize", "polynomial", "all"],
)
def test_any_partition_gives_what_scikit_learn_gives_of_the_whole(
    matrix: FloatArray, computing: Computing, cuts: tuple[int, ...], steps: tuple[object, ...], oracle: list[Any]
) -> None:
    expected = make_pipeline(*oracle).fit_transform(matrix)
    found = fit(matrix, computing, *steps, cuts=cuts).apply(matrix)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("cuts", CUTS)
def test_components_are_those_of_scikit_learn_up_to_their_signs(
    matrix: FloatArray, computing: Computing, cuts: tuple[int, ...]
) -> None:
    steps = [SimpleImputer(), StandardScaler(), TruncatedSVD(2, algorithm="arpack", tol=1e-14)]
    oracle = make_pipeline(*steps)
    expected = oracle.fit_transform(matrix)
    fitted = fit(matrix, computing, "impute", "standardize", {"do": "svd", "components": 2}, cuts=cuts)
    assert fitted.columns == ("numbers_svd1", "numbers_svd2")
    components = fitted.steps[-1].arrays["components"]
    for row, (mine, theirs) in enumerate(zip(components, oracle[-1].components_, strict=True)):
        assert mine[np.abs(mine).argmax()] > 0
        sign = np.sign(mine @ theirs)
        np.testing.assert_allclose(mine, sign * theirs, atol=1e-10)
        np.testing.assert_allclose(fitted.apply(matrix)[:, row], sign * expected[:, row], atol=1e-10)
    facts = fitted.steps[-1].facts
    np.testing.assert_allclose(facts["singular_values"], oracle[-1].singular_values_, rtol=1e-10)
    np.testing.assert_allclose(facts["explained_variance_ratio"], oracle[-1].explained_variance_ratio_, atol=1e-10)


def test_the_variance_explained_is_about_the_means(computing: Computing) -> None:
    matrix = np.random.default_rng(2).normal([100.0, 0.0, 5.0, 0.0], size=(50, 4))
    oracle = TruncatedSVD(3, algorithm="arpack", tol=1e-14).fit(matrix)
    facts = fit(matrix, computing, {"do": "svd", "components": 3}, cuts=(3, 20)).steps[0].facts
    np.testing.assert_allclose(facts["explained_variance_ratio"], oracle.explained_variance_ratio_, atol=1e-10)


def test_directions_beyond_the_rank_are_zero(computing: Computing) -> None:
    matrix = np.random.default_rng(3).normal(size=(30, 1)) * [1.0, 2.0, 0.0, -1.0]
    fitted = fit(matrix, computing, {"do": "svd", "components": 3}, cuts=(11,))
    assert fitted.steps[0].facts["rank"] == 1
    np.testing.assert_allclose(fitted.steps[0].arrays["components"][0], [6**-0.5, 2 * 6**-0.5, 0, -(6**-0.5)])
    assert (fitted.steps[0].arrays["components"][1:] == 0).all()


@pytest.mark.parametrize("cuts", [(), (1,), (3, 7)])
@pytest.mark.parametrize("value", [0.1, 0.0, -1e9 / 3])
def test_a_constant_column_is_divided_by_one(computing: Computing, value: float, cuts: tuple[int, ...]) -> None:
    matrix = np.full((10, 4), value)
    fitted = fit(matrix, computing, "standardize", cuts=cuts)
    assert fitted.steps[0].arrays["scale"].tolist() == [1.0] * 4
    np.testing.assert_allclose(fitted.apply(matrix), 0.0, atol=1e-6)


def test_what_was_imputed_is_counted_and_the_rows_are_told(matrix: FloatArray, computing: Computing) -> None:
    expected = np.isnan(matrix).sum(axis=0).tolist()
    for strategy in ("mean", "median"):
        facts = fit(matrix, computing, {"do": "impute", "strategy": strategy}, cuts=(10, 500)).steps[0].facts
        assert facts == {"strategy": strategy, "n_imputed": expected, "n_rows": 997}


def test_chains_of_all_kinds_are_fitted_together_as_each_would_be_alone(
    matrix: FloatArray, computing: Computing
) -> None:
    chains = [
        chain_of("impute", "standardize", columns=("a", "b")),
        chain_of("standardize", columns=("d",), prefix="z_", name="z"),
        chain_of({"do": "impute", "strategy": "median"}, {"do": "svd", "components": 1}, name="s"),
        chain_of(columns=("c", "a"), name="raw"),
        chain_of("impute", {"do": "svd", "components": 2}, columns=("b", "c"), prefix="p_", name="t"),
    ]
    slices = cut(997, (100, 101, 600))
    together = fit_chains(chains, slices, Table(matrix), computing)
    for chain, fitted in zip(chains, together, strict=True):
        places = [NAMES.index(name) for name in chain.columns]
        (alone,) = fit_chains([chain], slices, Table(matrix), computing)
        np.testing.assert_array_equal(fitted.apply(matrix[:, places]), alone.apply(matrix[:, places]))
    assert [fitted.columns for fitted in together] == [
        ("a", "b"), ("z_d",), ("s_svd1",), ("c", "a"), ("p_svd1", "p_svd2")
    ]  # fmt: skip


@dataclass(frozen=True)
class Counting:
    """A table that writes down who read it."""

    table: Table
    read: list[tuple[int, int]]

    def __call__(self, piece: tuple[int, int], columns: tuple[str, ...]) -> FloatArray:
        self.read.append(piece)
        return self.table(piece, columns)


def test_a_level_reads_each_slice_once_and_an_empty_one_never(matrix: FloatArray, computing: Computing) -> None:
    read: list[tuple[int, int]] = []
    chains = [chain_of("impute", "standardize"), chain_of("impute", "standardize", columns=("c",), name="other")]
    fit_chains(chains, cut(997, (5, 5, 50)), Counting(Table(matrix), read), computing)
    assert sorted(read) == [piece for piece in ((0, 5), (5, 50), (50, 997)) for _ in range(2)]


@pytest.mark.slow
def test_two_workers_give_the_bits_of_this_process(matrix: FloatArray, computing: Computing) -> None:
    chain = chain_of({"do": "impute", "strategy": "median"}, "standardize", {"do": "svd", "components": 3})
    slices = cut(997, tuple(range(50, 997, 50)))
    (here,) = fit_chains([chain], slices, Table(matrix), computing)
    with open_computing(WorkersSettings(count=2), 2) as two:
        (there,) = fit_chains([chain], slices, Table(matrix), two)
    for one, other in zip(here.steps, there.steps, strict=True):
        assert {name: array.tobytes() for name, array in one.arrays.items()} == {
            name: array.tobytes() for name, array in other.arrays.items()
        }
        assert one.facts == other.facts


@pytest.mark.parametrize("steps", [("impute",), ({"do": "impute", "strategy": "median"},), ("standardize",)])
def test_a_column_without_any_value_is_named(computing: Computing, steps: tuple[object, ...]) -> None:
    matrix = np.ones((6, 4))
    matrix[:, 2] = np.nan
    with pytest.raises(ConfigError, match=r"block 'numbers': column 'c' has no value in any of the 6 training rows"):
        fit(matrix, computing, *steps, cuts=(2,))


@pytest.mark.parametrize("steps", [("impute",), ("standardize",), ({"do": "svd", "components": 1},)])
def test_an_infinite_value_is_named(computing: Computing, steps: tuple[object, ...]) -> None:
    matrix = np.ones((6, 4))
    matrix[4, 3] = -np.inf
    with pytest.raises(BadDataError, match="column 'd' has an infinite value"):
        fit(matrix, computing, *steps, cuts=(2,))


@pytest.mark.parametrize(
    ("steps", "value"),
    [(("impute",), 1.7e308), (("standardize",), 1.7e308), (("standardize",), 1e200)],
)
def test_values_too_large_to_fit_on_are_named(computing: Computing, steps: tuple[object, ...], value: float) -> None:
    matrix = np.zeros((6, 4))
    matrix[:, 1] = value
    matrix[0, 1] = 0.0
    with pytest.raises(BadDataError, match="column 'b' are too large"):
        fit(matrix, computing, *steps, cuts=(2,))


def test_what_cannot_be_is_refused_with_its_reason(matrix: FloatArray, computing: Computing) -> None:
    with pytest.raises(ConfigError, match="'numbers': column 'a' has missing values; put impute before svd"):
        fit(matrix, computing, {"do": "svd", "components": 2})
    with pytest.raises(ConfigError, match="svd of 4 columns and 997 training rows has no 5 components"):
        fit(matrix, computing, "impute", {"do": "svd", "components": 5})
    with pytest.raises(BadDataError, match="column 'a' has a value of -1 or less"):
        fit(matrix - 5, computing, "log1p", "standardize")
    with pytest.raises(ConfigError, match="no training row"):
        fit_chains([chain_of("impute")], [((0, 0), 0)], Table(matrix), computing)
    wide = tuple(f"x{number}" for number in range(300))
    with pytest.raises(ConfigError, match="degree 2 over 300 columns has 45,450 of them"):
        fit_chains([chain_of("polynomial", columns=wide)], [], Table(matrix), computing)


def test_a_table_that_changed_meanwhile_is_noticed(matrix: FloatArray, computing: Computing) -> None:
    with pytest.raises(StageError, match="changed while features were fitted"):
        fit_chains([chain_of("impute")], [((0, 10), 11)], Table(matrix), computing)


def test_chains_that_learn_nothing_read_nothing(computing: Computing) -> None:
    fitted = fit_chains([chain_of("log1p", "polynomial", columns=("a", "b"))], [], Table(np.ones((0, 4))), computing)
    assert fitted[0].columns == (
        "log1p(a)", "log1p(b)", "log1p(a)^2", "log1p(a) log1p(b)", "log1p(b)^2"
    )  # fmt: skip
