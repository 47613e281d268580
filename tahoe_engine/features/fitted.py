"""Fitted chains as files: one JSON with all of them, and Parquet beside it for large arrays. No pickle.

Floats are written as the shortest text that reads back as the same bits, so that a chain that was read gives the same
matrix, bit for bit. Every file is covered by a SHA-256 in the JSON, and the JSON by one of its own.
"""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import StageError
from tahoe_engine.features.chains import Chain, Fitted, FittedChain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

NAME = "transformers.json"
FORMAT = 1
MOST_IN_JSON = 4096  # elements; larger arrays become Parquet
# For each kind of step: its arrays with their dtype and number of dimensions.
ARRAYS = {
    "impute": {"fill": ("float64", 1)},
    "log1p": {},
    "standardize": {"mean": ("float64", 1), "scale": ("float64", 1)},
    "polynomial": {"powers": ("int64", 2)},
    "svd": {"components": ("float64", 2)},
    "codes_svd": {"components": ("float64", 2), "sizes": ("int64", 1)},
}
VALUES = "value"  # the column of a large array
_AGAIN = "run `tahoe features` again"


def encode_chains(chains: Sequence[FittedChain]) -> dict[str, bytes]:
    """Write chains.

    Parameters
    ----------
    chains : sequence of FittedChain
        In an order that is kept.

    Returns
    -------
    dict of str to bytes
        Contents by file name; equal for equal fits.

    Examples
    --------
    >>> files = encode_chains([FittedChain(Chain("numbers", ("a",), ()), ())])
    >>> list(files), decode_chains(files)[0].columns
    (['transformers.json'], ('a',))
    """
    files: dict[str, bytes] = {}
    told = [
        {
            "name": fitted.chain.name,
            "columns": list(fitted.chain.columns),
            "prefix": fitted.chain.prefix,
            "steps": [step.model_dump(mode="json") for step in fitted.chain.steps],
            "fitted": [
                {
                    "do": step.do,
                    "columns_in": list(step.columns_in),
                    "columns_out": list(step.columns_out),
                    "arrays": {
                        name: _encode_array(array, f"transformers-{number}-{place}-{name}.parquet", files)
                        for name, array in sorted(step.arrays.items())
                    },
                    "facts": step.facts,
                }
                for place, step in enumerate(fitted.steps)
            ],
        }
        for number, fitted in enumerate(chains)
    ]
    body = {"format": FORMAT, "chains": told}
    text = json.dumps({**body, "sha256": _digest_body(body)}, indent=1, sort_keys=True, allow_nan=False)
    return {NAME: f"{text}\n".encode(), **files}


def decode_chains(files: Mapping[str, bytes]) -> list[FittedChain]:
    """Read what `encode_chains` wrote.

    Parameters
    ----------
    files : mapping of str to bytes
        All of them, and no other.

    Returns
    -------
    list of FittedChain
        They give the same matrices, bit for bit.

    Raises
    ------
    StageError
        If a file is missing or too many, damaged, or of another version.
    """
    if NAME not in files:
        raise StageError(f"{NAME} is missing; {_AGAIN}")
    try:
        body = json.loads(files[NAME])
        digest = body.pop("sha256")
        if body["format"] != FORMAT:
            raise StageError(f"{NAME} has format {body['format']!r}, this version reads {FORMAT}; {_AGAIN}")
        if digest != _digest_body(body):
            raise StageError(f"{NAME} is damaged: its SHA-256 differs; {_AGAIN}")
        used = {NAME}
        chains = [_decode_chain(chain, files, used) for chain in body["chains"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StageError(f"{NAME} is damaged ({type(error).__name__}: {error}); {_AGAIN}") from error
    strange = sorted(set(files) - used)
    if strange:
        raise StageError(f"{strange[0]} belongs to no transformer of {NAME}; {_AGAIN}")
    return chains


def digest_fitted(files: Mapping[str, bytes]) -> str:
    """Give one SHA-256 of all files.

    Parameters
    ----------
    files : mapping of str to bytes
        As `encode_chains` gave them.

    Returns
    -------
    str
        In hexadecimal; equal for equal fits.

    Examples
    --------
    >>> digest_fitted({"a": b"1", "b": b"2"}) == digest_fitted({"b": b"2", "a": b"1"})
    True
    """
    told = [[name, hashlib.sha256(content).hexdigest()] for name, content in sorted(files.items())]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _digest_body(body: object) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _encode_array(array: NDArray[Any], file: str, files: dict[str, bytes]) -> dict[str, Any]:
    told: dict[str, Any] = {"dtype": str(array.dtype), "shape": list(array.shape)}
    if array.size <= MOST_IN_JSON:
        return {**told, "values": array.ravel().tolist()}
    import polars as pl

    out = io.BytesIO()
    pl.DataFrame({VALUES: array.ravel()}).write_parquet(out, compression="zstd", statistics=False)
    files[file] = out.getvalue()
    return {**told, "file": file, "sha256": hashlib.sha256(files[file]).hexdigest()}


def _decode_chain(told: dict[str, Any], files: Mapping[str, bytes], used: set[str]) -> FittedChain:
    from pydantic import TypeAdapter

    from tahoe_engine.features.blocks import Step

    adapter: TypeAdapter[Step] = TypeAdapter(Step)
    steps = tuple(adapter.validate_python(step) for step in told["steps"])
    chain = Chain(told["name"], tuple(told["columns"]), steps, told["prefix"])
    fitted, columns = [], chain.columns
    for step in told["fitted"]:
        if tuple(step["columns_in"]) != columns:
            raise ValueError(f"step {step['do']!r} of block {chain.name!r} starts with other columns")
        columns = tuple(step["columns_out"])
        wanted = ARRAYS[step["do"]]
        if set(step["arrays"]) != set(wanted):
            raise ValueError(f"step {step['do']!r} of block {chain.name!r} has other arrays")
        arrays = {name: _decode_array(array, wanted[name], files, used) for name, array in step["arrays"].items()}
        fitted.append(Fitted(step["do"], tuple(step["columns_in"]), columns, arrays, step["facts"]))
        _require_shapes(fitted[-1])
    if [step.do.removeprefix("codes_") for step in fitted] != [step.do for step in steps]:
        raise ValueError(f"block {chain.name!r} has other steps than were fitted")
    return FittedChain(chain, tuple(fitted))


def _decode_array(
    told: dict[str, Any], wanted: tuple[str, int], files: Mapping[str, bytes], used: set[str]
) -> NDArray[Any]:
    import numpy as np

    if (told["dtype"], len(told["shape"])) != wanted:
        raise ValueError(f"an array is {told['dtype']} of {len(told['shape'])} dimensions instead of {wanted}")
    if "file" not in told:
        return np.array(told["values"], dtype=told["dtype"]).reshape(told["shape"])
    import polars as pl

    name = told["file"]
    if name not in files:
        raise StageError(f"{name} is missing; {_AGAIN}")
    used.add(name)
    if hashlib.sha256(files[name]).hexdigest() != told["sha256"]:
        raise StageError(f"{name} is damaged: its SHA-256 differs; {_AGAIN}")
    values: NDArray[Any] = pl.read_parquet(io.BytesIO(files[name]))[VALUES].to_numpy()
    return values.astype(told["dtype"]).reshape(told["shape"])


def _require_shapes(step: Fitted) -> None:
    """Refuse arrays that do not fit the columns."""
    n_in, n_out = len(step.columns_in), len(step.columns_out)
    shapes: dict[str, tuple[int, ...]] = {
        "fill": (n_in,),
        "mean": (n_in,),
        "scale": (n_in,),
        "powers": (n_out, n_in),
        "sizes": (n_in,),
        "components": (n_out, int(step.arrays["sizes"].sum()) if "sizes" in step.arrays else n_in),
    }
    for name, array in step.arrays.items():
        if array.shape != shapes[name]:
            raise ValueError(f"{name} of step {step.do!r} is {array.shape} instead of {shapes[name]}")
