"""Formulas of a recipe: read with `ast`, made of a few allowed signs and functions, never evaluated."""

from __future__ import annotations

import ast
import operator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from tahoe_engine.features.written import Written
from tahoe_engine.vocabulary import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import polars as pl

DEEPEST: Final = 50
MOST_COPIES: Final = 64
_ARITHMETIC: Final = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "truediv"}
_COMPARISONS: Final = {ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge", ast.Eq: "eq", ast.NotEq: "ne"}
_OF_ONE: Final = ("log1p", "log2", "log10", "sqrt", "abs", "is_null")
_OF_MANY: Final = ("min", "max", "coalesce")
_ALLOWED: Final = f"+ - * / ** == != < <= > >= and or not {' '.join((*_OF_ONE, *_OF_MANY))}"


class _Value(NamedTuple):
    """What a piece of a formula is ("number", "text", "truth"; None = a column not looked at) and how it is had."""

    kind: str | None
    expr: pl.Expr


@dataclass(frozen=True)
class Formula:
    """A formula that was read.

    Parameters
    ----------
    text : str
        As it was written.
    columns : frozenset of str
        Columns it uses.

    Examples
    --------
    >>> formula = read_formula("tau / ri * 1000")
    >>> sorted(formula.columns)
    ['ri', 'tau']
    >>> import polars as pl
    >>> frame = pl.DataFrame({"tau": [20, None], "ri": [160, 100]})
    >>> frame.select(cap=formula.expression(frame.schema))["cap"].to_list()
    [125.0, None]
    """

    text: str
    columns: frozenset[str]
    _written: Written = field(repr=False, compare=False)

    def expression(self, schema: Mapping[str, pl.DataType] | None = None) -> pl.Expr:
        """Give the formula as an expression of Polars.

        Parameters
        ----------
        schema : mapping of str to polars.DataType, optional
            Of the table: with it, a column that is not there or is of the wrong kind is named now, not by Polars.

        Returns
        -------
        polars.Expr
            Numbers as Float64, texts as String, truth values as Boolean.

        Raises
        ------
        ConfigError
            If a column is not there, or a piece is of a kind that its place does not take.

        Notes
        -----
        Null in, null out, but for ``is_null`` and ``coalesce``; ``and`` and ``or`` know that null may be either. NaN is
        null, in a column and as a result (0/0, the root of -1). x/0 is infinite, and refused where a feature is fitted.
        Without `schema`, a column that is alone, or compared with another alone, is taken as it is.
        """
        return self._compile(schema).expr

    def tell_kind(self, schema: Mapping[str, pl.DataType] | None = None) -> str | None:
        """Tell what comes out.

        Parameters
        ----------
        schema : mapping of str to polars.DataType, optional
            As for `expression`.

        Returns
        -------
        {"number", "text", "truth"} or None
            None for a column alone, without `schema`.

        Raises
        ------
        ConfigError
            As for `expression`.

        Examples
        --------
        >>> read_formula("a > 0 and not is_null(b)").tell_kind()
        'truth'
        """
        return self._compile(schema).kind

    def _compile(self, schema: Mapping[str, pl.DataType] | None) -> _Value:
        return _Compiler(self._written, schema).compile(self._written.parse(), 1)


def read_formula(text: str) -> Formula:
    """Read a formula.

    Parameters
    ----------
    text : str
        Numbers, texts in quotes, columns, ``+ - * / **``, comparisons, ``and or not``, and calls of log1p, log2, log10,
        sqrt, abs, min, max, is_null and coalesce. A column whose name is more than ASCII letters, digits and ``_``
        stands in backquotes.

    Returns
    -------
    Formula
        What it says.

    Raises
    ------
    ConfigError
        If it is anything else: too long (1,000 characters), too deep (50 levels), an exponent that is no number
        between -10 and 10, a text where a number belongs. The message has the place.

    Examples
    --------
    >>> sorted(read_formula("log1p(x) > 2 and `moa-fine` != 'unclear'").columns)
    ['moa-fine', 'x']
    """
    written = Written.of(text)
    compiler = _Compiler(written, None)
    compiler.compile(written.parse(), 1)
    return Formula(text, frozenset(compiler.columns), written)


class _Compiler:
    """One walk through a formula: every node is one of those allowed, and of the kind its place takes."""

    def __init__(self, written: Written, schema: Mapping[str, pl.DataType] | None) -> None:
        self.columns: dict[str, None] = {}
        self._written, self._schema = written, schema
        self._names = dict(written.names)
        self._copies = 1

    def compile(self, node: ast.expr, depth: int) -> _Value:
        if depth > DEEPEST:
            self._refuse(node, f"it is more than {DEEPEST} levels deep; write it in several")
        readers: dict[type, Callable[[Any, int], _Value]] = {
            ast.Constant: self._constant,
            ast.Name: self._column,
            ast.UnaryOp: self._unary,
            ast.BinOp: self._arithmetic,
            ast.BoolOp: self._junction,
            ast.Compare: self._comparison,
            ast.Call: self._call,
        }
        return readers.get(type(node), self._refuse_what_is_not_allowed)(node, depth)

    def _constant(self, node: ast.Constant, _: int) -> _Value:
        import polars as pl

        if isinstance(node.value, str):
            return _Value("text", pl.lit(node.value))
        if type(node.value) in {int, float}:
            return _Value("number", pl.lit(self._written.read_number(node)))
        return self._refuse_what_is_not_allowed(node)

    def _unary(self, node: ast.UnaryOp, depth: int) -> _Value:
        if isinstance(node.op, ast.USub):
            return _Value("number", -self._number(node.operand, depth))
        if isinstance(node.op, ast.Not):
            return _Value("truth", ~self._truth(node.operand, depth))
        return self._refuse_what_is_not_allowed(node)

    def _junction(self, node: ast.BoolOp, depth: int) -> _Value:
        join = operator.and_ if isinstance(node.op, ast.And) else operator.or_
        return _Value("truth", reduce(join, [self._truth(value, depth) for value in node.values]))

    def _column(self, node: ast.Name, _: int) -> _Value:
        import polars as pl

        name = self._names.get(node.id, node.id)
        self.columns[name] = None
        if self._schema is None:
            return _Value(None, pl.col(name))
        if name not in self._schema:
            near = ", ".join(f"`{other}`" for other in nearest(name, self._schema))
            self._refuse(node, f"there is no column {name!r}; the nearest are {near}")
        dtype = self._schema[name]
        if dtype == pl.Boolean:
            return _Value("truth", pl.col(name))
        if dtype.is_numeric() or dtype == pl.Null:
            return _Value("number", _as_number(pl.col(name)))
        if dtype in (pl.String, pl.Categorical, pl.Enum):  # equal, but not of one hash
            return _Value("text", pl.col(name).cast(pl.String))
        return self._refuse(node, f"the column {name!r} is {dtype}: neither number, text nor truth value")

    def _arithmetic(self, node: ast.BinOp, depth: int) -> _Value:
        if isinstance(node.op, ast.Pow):
            made = self._number(node.left, depth).pow(self._written.read_exponent(node.right))
        elif type(node.op) in _ARITHMETIC:
            join = getattr(operator, _ARITHMETIC[type(node.op)])
            made = join(self._number(node.left, depth), self._number(node.right, depth))
        else:
            self._refuse_what_is_not_allowed(node)
        return _Value("number", made.fill_nan(None))

    def _comparison(self, node: ast.Compare, depth: int) -> _Value:
        operands = [node.left, *node.comparators]
        steps = list(zip(operands, node.ops, operands[1:], strict=False))  # a < b < c is a < b and b < c
        with self._copying(node, twice=len(steps) > 1):
            return _Value("truth", reduce(operator.and_, [self._compare(*step, depth) for step in steps]))

    def _compare(self, left: ast.expr, sign: ast.cmpop, right: ast.expr, depth: int) -> pl.Expr:
        if type(sign) not in _COMPARISONS:
            self._refuse(right, "`in` and `is` are not allowed; write a == 'x' or a == 'y', is_null(a)")
        if isinstance(sign, (ast.Eq, ast.NotEq)):
            operands = self._alike([left, right], depth)[1]
        else:
            operands = [self._number(left, depth), self._number(right, depth)]
        made: pl.Expr = getattr(operator, _COMPARISONS[type(sign)])(*operands)
        return made

    def _call(self, node: ast.Call, depth: int) -> _Value:
        import polars as pl

        name = node.func.id if isinstance(node.func, ast.Name) and not node.keywords else ""
        if name not in _OF_ONE and name not in _OF_MANY:
            self._refuse_what_is_not_allowed(node)
        if (name in _OF_ONE and len(node.args) != 1) or (name in _OF_MANY and len(node.args) < 2):  # noqa: PLR2004
            self._refuse(node, f"{name} takes {'one value' if name in _OF_ONE else 'two values or more'}")
        if name == "is_null":
            return _Value("truth", self.compile(node.args[0], depth + 1).expr.is_null())
        if name == "coalesce":
            kind, values = self._alike(node.args, depth)
            return _Value(kind, pl.coalesce(values))
        with self._copying(node, twice=name in _OF_MANY):
            numbers = [self._number(value, depth) for value in node.args]
        return _Value("number", _take_extreme(name, numbers) if name in _OF_MANY else _apply(name, numbers[0]))

    @contextmanager
    def _copying(self, node: ast.expr, *, twice: bool) -> Iterator[None]:
        """Count what stands twice in the expression: nested, it would double and double."""
        self._copies *= 1 + twice
        if self._copies > MOST_COPIES:
            self._refuse(node, "too many of min, max and a < b < c within each other; write it in several")
        yield
        self._copies //= 1 + twice

    def _alike(self, nodes: list[ast.expr], depth: int) -> tuple[str | None, list[pl.Expr]]:
        """Bring values to one kind: that of those whose kind is known."""
        values = [self.compile(node, depth + 1) for node in nodes]
        kinds = {value.kind for value in values} - {None}
        if "number" in kinds and "text" not in kinds:
            pairs = zip(nodes, values, strict=True)
            return "number", [self._to_number(node, value) for node, value in pairs]
        if len(kinds) > 1:
            self._refuse(nodes[-1], f"{' and '.join(sorted(map(str, kinds)))} are not compared or mixed")
        return (kinds.pop() if kinds else None), [value.expr for value in values]

    def _number(self, node: ast.expr, depth: int) -> pl.Expr:
        return self._to_number(node, self.compile(node, depth + 1))

    def _to_number(self, node: ast.expr, value: _Value) -> pl.Expr:
        if value.kind == "text":
            self._refuse(node, "a number belongs here, and this is text")
        return value.expr if value.kind == "number" else _as_number(value.expr)

    def _truth(self, node: ast.expr, depth: int) -> pl.Expr:
        value = self.compile(node, depth + 1)
        if value.kind in {"number", "text"}:
            self._refuse(node, f"a comparison belongs here, and this is {value.kind}")
        return value.expr

    def _refuse_what_is_not_allowed(self, node: ast.expr, _: int = 0) -> NoReturn:
        self._refuse(node, f"this is not allowed; what is: {_ALLOWED}; other names stand in backquotes: `a.b`")

    def _refuse(self, node: ast.expr, why: str) -> NoReturn:
        self._written.refuse(self._written.find(node), why)


def _as_number(expr: pl.Expr) -> pl.Expr:
    """As Float64 from the start: unsigned columns would wrap around below 0, and whole ones overflow."""
    import polars as pl

    return expr.cast(pl.Float64).fill_nan(None)


def _apply(name: str, x: pl.Expr) -> pl.Expr:
    made = {"log1p": x.log1p, "log2": lambda: x.log(2), "log10": x.log10, "sqrt": x.sqrt, "abs": x.abs}[name]()
    return made.fill_nan(None)


def _take_extreme(name: str, numbers: list[pl.Expr]) -> pl.Expr:
    import polars as pl

    extreme = pl.min_horizontal(numbers) if name == "min" else pl.max_horizontal(numbers)
    # Polars leaves nulls out; here what is not known stays so.
    return pl.when(pl.all_horizontal([number.is_not_null() for number in numbers])).then(extreme)
