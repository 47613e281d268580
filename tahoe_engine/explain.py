"""What is wrong with settings, in the words of those who write them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel

from tahoe_engine.errors import escape_controls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import ValidationError

# What the language of settings calls things, where Pydantic has words of Python.
IN_TOML: Final = {
    "tuple_type": "input should be a list",
    "dict_type": "input should be a table",
    "model_type": "input should be a table",
    "model_attributes_type": "input should be a table",
    "too_short": "it is empty, and should have at least one item",
}
SHOWN: Final = 100  # characters of a wrong value


def explain_errors(model: type[BaseModel], error: ValidationError, origin: str, prefix: str = "") -> str:
    """Say what is wrong with settings.

    Parameters
    ----------
    model : type
        What they were checked against.
    error : ValidationError
        What it found.
    origin : str
        Where they were read.
    prefix : str
        Set before the names of keys.

    Returns
    -------
    str
        Every wrong key or value; an unknown key with the nearest real one.

    Examples
    --------
    >>> from pydantic import BaseModel, ValidationError
    >>> class Step(BaseModel, extra="forbid"):
    ...     seed: int = 0
    >>> try:
    ...     Step.model_validate({"sed": 3})
    ... except ValidationError as error:
    ...     explain_errors(Step, error, "a.toml")
    "a.toml: unknown setting 'sed'; did you mean 'seed'?"
    """
    found = error.errors()
    places = [item["loc"] for item in found]
    # A list whose items are wrong is too short for that: it says nothing of its own.
    own = [item for item in found if item["type"] != "too_short" or not _holds(item["loc"], places)]
    return "; ".join(_explain(model, item, origin, prefix) for item in own)


def tell_nearest(name: str, model: type[BaseModel], prefix: str = "") -> str:
    """Say which key may have been meant.

    Parameters
    ----------
    name : str
        Of an unknown key, dots and all.
    model : type
        Whose keys there are.
    prefix : str
        Set before the names of keys.

    Returns
    -------
    str
        A question.
    """
    place = name.split(".")
    # Of an item of a list of several kinds: features.0.numeric.column
    member = _find_member(model, place[-2]) if any(part.isdigit() for part in place[:-2]) else None
    if member is not None:
        near = difflib.get_close_matches(name.rpartition(".")[2], member.model_fields, n=1, cutoff=0.0)
        return f"did you mean {near[0]!r}?"
    keys = sorted(_all_keys(model))
    # A name without a dot may be a section misspelt, or a key without its section.
    known = keys if "." in name else [*model.model_fields, *keys]
    last = name.rpartition(".")[2]
    by_key = difflib.get_close_matches(last, [key.rpartition(".")[2] for key in known], n=1, cutoff=0.5)
    best = [key for key in known if by_key and key.rpartition(".")[2] == by_key[0]]
    # The same key may stand in several sections: take the one whose full name is nearest.
    close = difflib.get_close_matches(name, best or known, n=1, cutoff=0.0)
    return f"did you mean {prefix + close[0]!r}?"


def _holds(place: tuple[int | str, ...], places: list[tuple[int | str, ...]]) -> bool:
    return any(other[: len(place)] == place and other != place for other in places)


def _explain(model: type[BaseModel], item: Any, origin: str, prefix: str) -> str:  # noqa: ANN401 - any JSON value
    place = [str(part) for part in item["loc"]]
    name = escape_controls(prefix + ".".join(place))
    if item["type"] == "extra_forbidden":
        return f"{origin}: unknown setting {name!r}; {tell_nearest('.'.join(place), model, prefix)}"
    if item["type"] == "missing":
        return f"{origin}: {name!r} is missing"
    if item["type"] == "union_tag_not_found" and isinstance(item["input"], dict):
        return f"{origin}: {name}: {item['ctx']['discriminator'].strip(chr(39))!r} is missing"
    message = IN_TOML.get(item["type"]) or str(item["msg"]).removeprefix("Value error, ")
    if not place:
        return f"{origin}: {message}"
    given = repr(item["input"])
    given = given if len(given) <= SHOWN else given[:SHOWN] + "…"
    return f"{origin}: {name} = {given}: {message[:1].lower()}{message[1:]}"


def _find_member(kind: Any, tag: str) -> type[BaseModel] | None:  # noqa: ANN401 - an annotation
    """Find the one of several models that the items of a list may be which says ``tag`` of itself."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if any(
            get_origin(field.annotation) is Literal and tag in get_args(field.annotation)
            for field in kind.model_fields.values()
        ):
            return kind
        inner: Iterable[Any] = [field.annotation for field in kind.model_fields.values()]
    else:
        inner = get_args(kind)
    return next((found for one in inner if (found := _find_member(one, tag)) is not None), None)


def _all_keys(model: type[BaseModel], prefix: str = "") -> Iterable[str]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _all_keys(inner, f"{prefix}{name}.")
        else:
            yield prefix + name
