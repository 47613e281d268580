"""A formula says what was written, in numbers, and nothing that is not allowed gets in."""

from __future__ import annotations

import math
import pickle
import re
import time
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tahoe_engine.errors import ConfigError
from tahoe_engine.features.formulas import read_formula

FRAME = pl.DataFrame(
    {
        "a": [1.0, 4.0, None, -2.0, math.nan],
        "b": pl.Series([2, 0, 3, None, 5], dtype=pl.UInt32),
        "yes": [True, False, None, True, False],
        "drug": ["x", "y", "", None, "DMSO"],
        "moa-fine": ["m", "m", "", None, "it's"],
        "line": pl.Series(["p", "q", "p", "q", None], dtype=pl.Categorical),
        "log2": [1, 2, 3, 4, 5],
        "nothing": [None] * 5,
    }
)


def evaluate(text: str) -> list[Any]:
    return FRAME.select(out=read_formula(text).expression(FRAME.schema))["out"].to_list()


CASES: dict[str, list[Any]] = {
    "a + 1": [2.0, 5.0, None, -1.0, None],
    "b - 3": [-1.0, -3.0, 0.0, None, 2.0],  # unsigned numbers do not wrap around
    "-b": [-2.0, 0.0, -3.0, None, -5.0],
    "1 / b": [0.5, math.inf, 1 / 3, None, 0.2],
    "b / b": [1.0, None, 1.0, None, 1.0],  # 0/0 has no value
    "2 + b * 3 ** 2": [20.0, 2.0, 29.0, None, 47.0],
    "b ** -1": [0.5, math.inf, 1 / 3, None, 0.2],
    "a ** 0": [1.0, 1.0, None, 1.0, None],  # what is not known stays so, though x ** 0 is 1 for every x
    "sqrt(a)": [1.0, 2.0, None, None, None],
    "abs(a)": [1.0, 4.0, None, 2.0, None],
    "log2(b + 2)": [2.0, 1.0, math.log2(5), None, math.log2(7)],
    "log10(log2 * 10)": [1.0, math.log10(20), math.log10(30), math.log10(40), math.log10(50)],
    "log1p(b)": [math.log(3), 0.0, math.log(4), None, math.log(6)],
    "min(a, b)": [1.0, 0.0, None, None, None],
    "max(a, b, 3)": [3.0, 4.0, None, None, None],
    "coalesce(a, b, 0)": [1.0, 4.0, 3.0, -2.0, 5.0],
    "coalesce(drug, 'none')": ["x", "y", "", "none", "DMSO"],
    "a > 0": [True, True, None, False, None],  # NaN is nothing: not greater than all
    "0 < b <= 3": [True, False, True, None, False],
    "a == b": [False, False, None, None, None],
    "drug == 'x' or drug == 'y'": [True, True, False, None, False],
    "drug != ''": [True, True, False, None, True],
    "line == 'p'": [True, False, True, False, None],
    '`moa-fine` == "it\'s"': [False, False, False, None, True],
    "not yes": [False, True, None, False, True],
    "yes and a > 0": [True, False, None, False, False],  # null may be either: false and null is false
    "yes or b > 1": [True, False, True, True, True],
    "(a > 0) * 2 + yes": [3.0, 2.0, None, 1.0, None],
    "is_null(a)": [False, False, True, False, True],
    "is_null(drug) or is_null(nothing)": [True] * 5,
    "nothing + 1": [None] * 5,
    "drug": ["x", "y", "", None, "DMSO"],
    "\n a\n + b ": [3.0, 4.0, None, None, None],
}


@pytest.mark.parametrize("text", CASES)
def test_a_formula_means_what_it_says(text: str) -> None:
    got = evaluate(text)
    for value, expected in zip(got, CASES[text], strict=True):
        assert value == (pytest.approx(expected, rel=1e-15) if isinstance(expected, float) else expected)


# A column alone is taken as it is.
ALONE = {"a == b", "is_null(a)", "drug", "line == 'p'"}


@pytest.mark.parametrize("text", sorted(set(CASES) - ALONE))
def test_the_schema_changes_no_number(text: str) -> None:
    plain = FRAME.select(out=read_formula(text).expression())["out"]
    assert plain.equals(FRAME.select(out=read_formula(text).expression(FRAME.schema))["out"], null_equal=True)


REFUSED = {
    "__import__('os').system('x')": "character 1",
    "a.real": "character 1",
    "a + b[0]": "character 5",
    "[a for a in b]": "character 1",
    "lambda: 1": "character 1",
    "a if b else 3": "character 1",
    "a := 3": "character 3",
    "f'{a}'": "character 1",
    "b'x'": "character 1",
    "True": "character 1",
    "a == None": "character 6",
    "1j": "character 1",
    "...": "character 1",
    "a // b": "character 1",
    "a % b": "character 1",
    "a @ b": "character 1",
    "~yes": "character 1",
    "+a": "character 1",
    "a & b": "character 1",
    "exp(a)": "character 1",
    "`min`(a, b)": "character 1",
    "min(a)": "two values",
    "sqrt(a, b)": "one value",
    "min(*a)": "two values",
    "abs(x=a)": "not allowed",
    "drug in ('a', 'b')": "`in`",
    "a ** b": "exponent",
    "a ** 11": "exponent",
    "a ** -10.5": "exponent",
    "2 ** 2 ** 9": "exponent",
    "1e999": "too large",
    "9" * 400: "too large",
    "drug + 1": "character 1: a number",
    "1 + log1p('x')": "character 11: a number",
    "'a' == 1": "not compared",
    "a and yes": "character 1: a comparison",
    "not 3": "character 5: a comparison",
    "coalesce(a, 'x')": "number and text",
    "drug < 'x'": "number belongs",
    "missing + 1": "no column 'missing'",
    "moa-fine": "no column 'moa'; the nearest are `moa-fine`",
    "``": "cannot be the name",
    "`*`": "cannot be the name",
    "`^.*$`": "cannot be the name",
    "a + `b": "character 5: ` is not closed",
    "drug == 'x": "character 9: ' is not closed",
    "drug == 'x\\n'": "character 9",
    "a # b": "character 3: #",
    "a; b": "character 2: ;",
    "\u00b5 + 1": "character 1: \u00b5",  # Python would take another letter for it
    "a`b`": "cannot be read",
    "a b": "cannot be read",
    "1or 2": "cannot be read",
    "(a": "cannot be read",
    "": "empty",
    "   ": "cannot be read",
    "class + 1": "character 1",
    "a\0": "character 2",
    "a == 'x\ud800'": "character 8: this is half of a character",
}


@pytest.mark.parametrize("text", REFUSED)
def test_anything_else_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_formula(text).expression(FRAME.schema)
    assert REFUSED[text] in str(caught.value)
    assert str(caught.value).isprintable()


def test_places_count_the_signs_of_the_text_that_was_written() -> None:
    with pytest.raises(ConfigError, match="character 29: this is not allowed"):
        read_formula("`moa-fine` == 'Å🧬' and not (a % 2 == 1)")


HOSTILE = {
    "long": "a + " * 300 + "a",
    "deep in brackets": "(" * 300 + "a" + ")" * 300,
    "deep in signs": "-" * 900 + "a",
    "deep in calls": "abs(" * 150 + "a" + ")" * 150,
    "deep in sums": "+".join("a" * 60),
    "doubling in min": "min(" * 40 + "a" + ", b)" * 40,
    "doubling in comparisons": "(0 < " * 40 + "a" + " < 1)" * 40,
    "unbalanced": "(" * 900,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_formula_is_refused_at_once(kind: str) -> None:
    began = time.monotonic()
    with pytest.raises(ConfigError):
        read_formula(HOSTILE[kind])
    assert time.monotonic() - began < 1


def test_a_formula_tells_its_columns_and_kind() -> None:
    formula = read_formula("coalesce(a, `moa-fine_2`) > log2(log2) and not is_null(`drug`)")
    assert formula.columns == {"a", "moa-fine_2", "log2", "drug"}
    assert formula.tell_kind() == "truth"
    assert read_formula("a").tell_kind() is None
    assert read_formula("a").tell_kind(FRAME.schema) == "number"
    assert read_formula("drug").tell_kind(FRAME.schema) == "text"


def test_a_column_in_backquotes_is_never_mistaken_for_another() -> None:
    assert read_formula("_c0 + `x y` + `_c0`").columns == {"_c0", "x y"}
    frame = pl.DataFrame({"_c0": [1], "x y": [10]})
    assert frame.select(out=read_formula("_c0 + `x y` * 2").expression())["out"].to_list() == [21.0]


def test_a_formula_travels_between_processes() -> None:
    formula = read_formula("a * `moa-fine`")
    again = pickle.loads(pickle.dumps(formula))  # noqa: S301 -- our own
    assert again == formula
    assert str(again.expression()) == str(formula.expression())


def test_a_date_is_neither_number_nor_text() -> None:
    with pytest.raises(ConfigError, match="'day' is Date"):
        read_formula("day == 3").expression({"day": pl.Date()})


NUMBERS = st.recursive(
    st.one_of(st.sampled_from(["x", "y"]), st.floats(0, 100).map(lambda number: f"{number:.3f}")),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda three: f"({' '.join(three)})"),
        inner.map(lambda one: f"(-{one})"),
        inner.map(lambda one: f"abs({one})"),
        st.tuples(inner, st.integers(1, 3)).map(lambda two: f"({two[0]} ** {two[1]})"),
    ),
    max_leaves=8,
)


@given(NUMBERS)
def test_arithmetic_is_that_of_numpy(text: str) -> None:
    formula = read_formula(text)
    if not formula.columns:
        return
    values = {"x": np.array([0.5, -3.0, 7.25]), "y": np.array([2.0, 0.0, -1.5])}
    # The oracle is Python itself, on a text that is made here; numbers are NumPy's, which divide by zero.
    oracle = re.sub(r"\d+\.\d+", r"np.float64(\g<0>)", text.replace("abs", "np.abs"))
    with np.errstate(all="ignore"):
        expected = eval(oracle, {"np": np, **values})  # noqa: S307
    got = pl.DataFrame(values).select(out=formula.expression())["out"].to_numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-12)
