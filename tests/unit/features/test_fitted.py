"""Fitted chains as files."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tahoe_engine.errors import StageError
from tahoe_engine.features.blocks import Impute, Log1p, Standardize, Svd
from tahoe_engine.features.chains import Chain, Fitted, FittedChain
from tahoe_engine.features.fitted import NAME, decode_chains, digest_fitted, encode_chains

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = tuple(f"x{number}" for number in range(60))
PARQUET = "transformers-0-3-components.parquet"


def made_chains() -> list[FittedChain]:
    """Numbers that no short text tells, and an array that is too large for the JSON."""
    random = np.random.default_rng(4)
    steps = (Impute(do="impute"), Log1p(do="log1p"), Standardize(do="standardize"), Svd(do="svd", components=100))
    fitted = (
        Fitted("impute", COLUMNS, COLUMNS, {"fill": random.random(60) / 3}, {"n_imputed": [0] * 60}),
        Fitted("log1p", COLUMNS, COLUMNS),
        Fitted("standardize", COLUMNS, COLUMNS, {"mean": random.normal(size=60), "scale": 1 / random.random(60)}),
        Fitted("svd", COLUMNS, tuple(f"svd{n + 1}" for n in range(100)), {"components": random.normal(size=(100, 60))}),
    )
    other = Fitted("impute", ("a",), ("a",), {"fill": np.array([-0.0])})
    return [
        FittedChain(Chain("big", COLUMNS, steps, "p_"), fitted),
        FittedChain(Chain("small", ("a",), (Impute(do="impute"),)), (other,)),
        FittedChain(Chain("raw", ("a", "b"), ()), ()),
    ]


def made_matrix() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    matrix = np.random.default_rng(8).random((300, 60))
    matrix[::7, ::3] = np.nan
    return matrix


def test_what_was_read_gives_the_same_bits() -> None:
    before = made_chains()
    files = encode_chains(before)
    assert set(files) == {NAME, PARQUET}
    after = decode_chains(files)
    assert [chain.chain for chain in after] == [chain.chain for chain in before]
    assert [chain.columns for chain in after] == [chain.columns for chain in before]
    assert after[0].apply(made_matrix()).tobytes() == before[0].apply(made_matrix()).tobytes()
    assert after[1].apply(np.array([[np.nan]])).tobytes() == np.array([-0.0]).tobytes()
    assert after[0].steps[0].facts == {"n_imputed": [0] * 60}
    assert encode_chains(after) == files


def test_another_process_gives_the_same_bits(tmp_path: Path) -> None:
    for name, content in encode_chains(made_chains()).items():
        (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "matrix.npy", made_matrix())
    code = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from tahoe_engine.features.fitted import decode_chains\n"
        "folder = Path(sys.argv[1]); matrix = np.load(folder / 'matrix.npy')\n"
        "chain = decode_chains({p.name: p.read_bytes() for p in folder.glob('transformers*')})[0]\n"
        "sys.stdout.buffer.write(chain.apply(matrix).tobytes())\n"
    )
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, check=True).stdout
    assert found == made_chains()[0].apply(made_matrix()).tobytes()


def test_equal_fits_have_equal_files_and_other_fits_another_digest() -> None:
    files = encode_chains(made_chains())
    assert encode_chains(made_chains()) == files
    changed = made_chains()
    changed[0].steps[2].arrays["mean"][3] = np.nextafter(changed[0].steps[2].arrays["mean"][3], 1e9)
    assert digest_fitted(encode_chains(changed)) != digest_fitted(files)
    changed = made_chains()
    changed[0].steps[3].arrays["components"][3, 3] *= -1
    assert digest_fitted(encode_chains(changed)) != digest_fitted(files)


def test_any_damage_is_noticed() -> None:
    files = encode_chains(made_chains())
    for name, content in files.items():
        for place in range(0, len(content), max(1, len(content) // 150)):
            damaged = bytearray(content)
            damaged[place] ^= 1
            if name == NAME and _same_json(bytes(damaged), content):
                continue  # a space that became another letter of no meaning
            with pytest.raises(StageError, match=r"damaged|format"):
                decode_chains({**files, name: bytes(damaged)})


def _same_json(one: bytes, other: bytes) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


def test_missing_foreign_and_forged_files_are_refused() -> None:
    files = encode_chains(made_chains())
    with pytest.raises(StageError, match=r"transformers.json is missing"):
        decode_chains({})
    with pytest.raises(StageError, match=r"components\.parquet is missing"):
        decode_chains({NAME: files[NAME]})
    with pytest.raises(StageError, match="x belongs to no transformer"):
        decode_chains({**files, "x": b""})
    for content in (b"", b"[]", b"{}", b"null", b'{"sha256": 1}', b"[" * 100_000):
        with pytest.raises(StageError, match="damaged"):
            decode_chains({NAME: content})


@pytest.mark.parametrize(
    ("array", "message"),
    [(np.zeros(3), "instead of"), (np.zeros((1, 1)), "dimensions"), (np.zeros(1, np.int64), "int64")],
)
def test_arrays_that_do_not_fit_their_step_are_refused(array: np.ndarray[tuple[int, ...]], message: str) -> None:
    step = Fitted("impute", ("a",), ("a",), {"fill": array})
    chain = FittedChain(Chain("small", ("a",), (Impute(do="impute"),)), (step,))
    with pytest.raises(StageError, match=message):
        decode_chains(encode_chains([chain]))


def test_steps_that_were_not_fitted_are_refused() -> None:
    chain = FittedChain(Chain("small", ("a",), (Impute(do="impute"),)), ())
    with pytest.raises(StageError, match="other steps than were fitted"):
        decode_chains(encode_chains([chain]))
