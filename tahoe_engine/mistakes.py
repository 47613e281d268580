"""What is wrong in a settings file or a recipe, in words that name the key and the nearest real one."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel

from tahoe_engine.errors import escape_controls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pydantic import ValidationError

SHOWN = 100  # characters of a wrong value
# What TOML calls things, where pydantic has words of Python.
IN_TOML = {
    "tuple_type": "input should be a list",
    "dict_type": "input should be a table",
    "model_type": "input should be a table",
    "model_attributes_type": "input should be a table",
    "too_short": "it is empty, and should have at least one item",
}
UNTAGGED = {"union_tag_not_found", "union_tag_invalid"}


def explain_mistakes(model: type[BaseModel], error: ValidationError, origin: str, prefix: str = "") -> Iterator[str]:
    """Explain each mistake.

    Parameters
    ----------
    model : type
        What it should have been.
    error : pydantic.ValidationError
        With all mistakes.
    origin : str
        Where they are.
    prefix : str
        Set before the names of keys.

    Yields
    ------
    str
        One a mistake.
    """
    items = error.errors()
    places = [tuple(item["loc"]) for item in items]
    for item, place in zip(items, places, strict=True):
        # A list is called too short because of what is wrong in it.
        inside = any(len(other) > len(place) and other[: len(place)] == place for other in places)
        if item["type"] != "too_short" or not inside:
            yield _explain(model, item, origin, prefix)


def name_nearest(name: str, model: type[BaseModel], prefix: str = "") -> str:
    """Ask whether another key was meant.

    Parameters
    ----------
    name : str
        A key that there is not, with its section.
    model : type
        Which keys there are.
    prefix : str
        Set before the name of a key.

    Returns
    -------
    str
        A question.
    """
    keys = sorted(_all_keys(model))
    # A name without a dot may be a section misspelt, or a key without its section.
    known = keys if "." in name else [*model.model_fields, *keys]
    last = name.rpartition(".")[2]
    by_key = difflib.get_close_matches(last, [key.rpartition(".")[2] for key in known], n=1, cutoff=0.5)
    best = [key for key in known if by_key and key.rpartition(".")[2] == by_key[0]]
    # The same key may stand in several sections: take the one whose full name is nearest.
    close = difflib.get_close_matches(name, best or known, n=1, cutoff=0.0)
    return f"did you mean {prefix + close[0]!r}?"


def _explain(model: type[BaseModel], item: Any, origin: str, prefix: str) -> str:  # noqa: ANN401 - any JSON value
    place = item["loc"]
    owner, path = _find_owner(model, place)
    name = escape_controls(prefix + ".".join(path))
    if item["type"] == "extra_forbidden":
        if owner is None or not any(isinstance(step, int) for step in place):
            return f"{origin}: unknown setting {name!r}; {name_nearest('.'.join(path), model, prefix)}"
        near = difflib.get_close_matches(str(place[-1]), owner.model_fields, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"{origin}: unknown key {name!r}; {hint}There is {', '.join(owner.model_fields)}"
    if item["type"] == "missing":
        return f"{origin}: {name!r} is missing"
    if item["type"] in UNTAGGED:
        context = item["ctx"]
        key = str(context["discriminator"]).strip("'")
        given = context.get("tag")
        tags = str(context.get("expected_tags", "")).replace("'", "")
        near = difflib.get_close_matches(str(given), tags.split(", "), n=1, cutoff=0.5)
        told = f"{key} = {given!r} is not known" if given is not None else f"{key!r} is missing"
        hint = f"; did you mean {near[0]!r}?" if near else "." if tags else ""
        return f"{origin}: {name}: {told}{hint}" + (f" There is {tags}" if tags else f"; say which {key} it is")
    message = IN_TOML.get(item["type"]) or str(item["msg"]).removeprefix("Value error, ")
    given = repr(item["input"])
    given = given if len(given) <= SHOWN else given[:SHOWN] + "…"
    told = f"{name} = {given}: " if name else ""
    return f"{origin}: {told}{message[:1].lower()}{message[1:]}"


def _find_owner(model: type[BaseModel], place: Sequence[Any]) -> tuple[type[BaseModel] | None, list[str]]:
    """Give the model that a key belongs to, and its name without the tags that pydantic puts between."""
    owner: type[BaseModel] | None = model
    found: Any = model
    path: list[str] = []
    for step in place[:-1]:
        choices = _list_models(found)
        tagged = [one for one in choices if step in _tags(one)]
        if tagged and not isinstance(step, int):
            found = owner = tagged[0]
            continue
        path.append(str(step))
        if isinstance(step, int):
            continue
        field = owner.model_fields.get(step) if owner is not None else None
        found = field.annotation if field is not None else None
        inner = _list_models(found)
        owner = inner[0] if len(inner) == 1 else owner if inner else None
    tags = {tag for one in _list_models(found) for tag in _tags(one)}
    return owner, path if place and place[-1] in tags and len(place) > 1 else [*path, *map(str, place[-1:])]


def _list_models(annotation: Any) -> list[type[BaseModel]]:  # noqa: ANN401 - any type
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    inner = get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation)
    return [model for one in inner for model in _list_models(one)]


def _tags(model: type[BaseModel]) -> set[str]:
    return {
        tag
        for name in ("kind", "do")
        if name in model.model_fields and get_origin(model.model_fields[name].annotation) is Literal
        for tag in get_args(model.model_fields[name].annotation)
    }


def _all_keys(model: type[BaseModel], prefix: str = "") -> Iterable[str]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _all_keys(inner, f"{prefix}{name}.")
        else:
            yield prefix + name
