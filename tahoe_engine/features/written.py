"""The text of a formula, made readable for Python, with the place of every piece for messages."""

from __future__ import annotations

import ast
import math
import re
import warnings
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final, NoReturn

from tahoe_engine.errors import ConfigError, escape_controls

LONGEST: Final = 1_000
LARGEST_EXPONENT: Final = 10
# A text in quotes, a name in backquotes, a stretch without either, or a quote that is left alone.
_PIECES: Final = re.compile(r"""'[^'\\`\n]*'|"[^"\\`\n]*"|`[^`\n]*`|[^'"`]+|['"`]""")


@dataclass(frozen=True)
class Written:
    """A formula as Python reads it: columns in backquotes have become plain names.

    Parameters
    ----------
    text : str
        As the user wrote it.
    code : str
        For Python.
    names : tuple of (str, str)
        Plain names and the columns they stand for.
    starts : tuple of (int, int)
        Where each piece begins, in the code and in the text.

    Examples
    --------
    >>> Written.of("`moa-fine` == 'unclear'").code
    "_c0  == 'unclear'"
    """

    text: str
    code: str
    names: tuple[tuple[str, str], ...]
    starts: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, text: str) -> Written:
        """Prepare a text.

        Parameters
        ----------
        text : str
            Of a formula.

        Returns
        -------
        Written
            Prepared.

        Raises
        ------
        ConfigError
            If it is too long, a quote is not closed, or a sign has no meaning.
        """
        if len(text) > LONGEST:
            raise ConfigError(f"a formula has at most {LONGEST} characters, and this has {len(text)}: {_show(text)}")
        broken = re.search("[\ud800-\udfff]", text)  # half of a character: Polars stumbles over it
        if broken:
            _refuse(text, broken.start(), "this is half of a character")
        stem = "_c"
        while stem in text:  # so that no column can be mistaken for one in backquotes
            stem += "_"
        names: dict[str, str] = {}
        parts: list[tuple[int, str]] = []
        for match in _PIECES.finditer(text):
            piece, index = match.group(), match.start()
            if piece in {"'", '"', "`"}:
                _refuse(text, index, f"{piece} is not closed; a text has no backslash, backquote or line break")
            elif piece.startswith("`"):
                name = _check_name(text, index, piece)
                # Blanks around it, so that it cannot grow together with what stands beside it.
                parts.append((index, f" {names.setdefault(name, f'{stem}{len(names)}')} "))
            elif piece.startswith(("'", '"')):
                parts.append((index, piece))
            else:
                parts.append((index, _check_signs(text, index, piece)))
        code = "".join(piece for _, piece in parts)
        starts, length = [], len(code.lstrip()) - len(code)
        for index, piece in parts:
            # A name in backquotes begins behind its blank.
            starts.append((length + (text[index] == "`"), index))
            length += len(piece)
        return cls(text, code.strip(), tuple((plain, name) for name, plain in names.items()), tuple(starts))

    def parse(self) -> ast.expr:
        """Let Python read it, and do nothing with it.

        Returns
        -------
        ast.expr
            The tree.

        Raises
        ------
        ConfigError
            If it is no expression; what Python warns of (``1or 2``) is none either.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                return ast.parse(self.code, mode="eval").body
        except SyntaxError as error:
            self.refuse((error.offset or 1) - 1, f"this cannot be read ({error.msg})")
        except (ValueError, MemoryError, RecursionError):
            self.refuse(0, "it is too deep; write it in several")

    def find(self, node: ast.expr) -> int:
        """Give the index in the code where a node begins.

        Parameters
        ----------
        node : ast.expr
            Of the tree.

        Returns
        -------
        int
            In characters; `ast` counts bytes.
        """
        return len(self.code.encode()[: node.col_offset].decode())

    def read_number(self, node: ast.Constant) -> float:
        """Read a number.

        Parameters
        ----------
        node : ast.Constant
            With an int or float.

        Returns
        -------
        float
            Finite.

        Raises
        ------
        ConfigError
            If it is too large.
        """
        try:
            number = float(node.value)  # type: ignore[arg-type]
        except OverflowError:
            number = math.inf
        return number if math.isfinite(number) else self.refuse(self.find(node), "the number is too large")

    def read_exponent(self, node: ast.expr) -> float:
        """Read what stands behind ``**``.

        Parameters
        ----------
        node : ast.expr
            A number, with or without a minus.

        Returns
        -------
        float
            Between -10 and 10.

        Raises
        ------
        ConfigError
            If it is anything else.
        """
        negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
        inner = node.operand if isinstance(node, ast.UnaryOp) and negative else node
        if isinstance(inner, ast.Constant) and type(inner.value) in {int, float}:
            number = self.read_number(inner)
            if number <= LARGEST_EXPONENT:
                return -number if negative else number
        why = f"an exponent is a number between -{LARGEST_EXPONENT} and {LARGEST_EXPONENT}"
        return self.refuse(self.find(node), why)

    def refuse(self, index: int, why: str) -> NoReturn:
        """Say what is wrong, and where.

        Parameters
        ----------
        index : int
            In the code.
        why : str
            What is wrong.

        Raises
        ------
        ConfigError
            Always.
        """
        if not self.starts:
            raise ConfigError("a formula is empty; write one, or leave the key out")
        start, origin = self.starts[max(0, bisect_right([start for start, _ in self.starts], index) - 1)]
        _refuse(self.text, min(origin + max(0, index - start), len(self.text)), why)


def _check_name(text: str, index: int, piece: str) -> str:
    name = piece[1:-1]
    # Polars takes these for patterns of names.
    if not name or name == "*" or (name.startswith("^") and name.endswith("$")):
        _refuse(text, index, f"{piece} cannot be the name of a column here; rename the column")
    return name


def _check_signs(text: str, index: int, piece: str) -> str:
    strange = re.search(r"[^\x20-\x7e\n\r\t]|[#\\;]", piece)
    if strange:
        why = "has no meaning here; a column with such a name stands in backquotes, `name`"
        _refuse(text, index + strange.start(), f"{strange.group()} {why}")
    return re.sub(r"\s", " ", piece)


def _refuse(text: str, index: int, why: str) -> NoReturn:
    raise ConfigError(escape_controls(f"the formula {_show(text)}, character {index + 1}: {why}"))


def _show(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "…")  # noqa: PLR2004 -- a line of a terminal
