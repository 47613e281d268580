"""Hashes of texts never change, and texts that differ have other hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from tahoe_engine.features.keys import hash_texts, mix

if TYPE_CHECKING:
    from collections.abc import Sequence

ALL_ONES = (1 << 64) - 1
# Computed by `hash_one` below, once; a change would share out every atlas anew.
GOLDEN = ["0dfaadfc87a5aacb", "6310bf04d8207f46", "07a6ff7ad3030ecc", "0598b3856a7cfa85"]


def mix_one(value: int) -> int:
    """Splitmix64 as it was published (public domain, S. Vigna), in whole numbers of Python."""
    value = (value + 0x9E3779B97F4A7C15) & ALL_ONES
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & ALL_ONES
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & ALL_ONES
    return value ^ (value >> 31)


def hash_one(texts: tuple[str | None, ...], seed: int) -> int:
    """The hash of one row, one byte after the other."""
    found = mix_one(seed)
    for text in texts:
        content = (text or "").encode()
        found = mix_one(found ^ (0xD1B54A32D192ED03 if text is None else len(content)))
        for at in range(0, len(content), 8):
            found = mix_one(found ^ int.from_bytes(content[at : at + 8], "little"))
    return found


def hash_rows_of(rows: Sequence[tuple[str | None, ...]], seed: int = 0) -> list[int]:
    columns = [pl.Series(values, dtype=pl.String) for values in zip(*rows, strict=True)]
    return [int(one) for one in hash_texts(columns, seed)]


def test_the_numbers_of_splitmix64_are_the_published_ones() -> None:
    # The first three that the generator gives from seed 1234567.
    steps = (np.arange(3, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) + np.uint64(1_234_567)
    assert mix(steps).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_hashes_are_what_they_have_always_been() -> None:
    rows = [("01_001_052-lib_1105", "smp_1783"), ("", ""), (None, ""), ("é" * 9, None)]
    assert [f"{one:016x}" for one in hash_rows_of(rows, 42)] == GOLDEN


@pytest.mark.parametrize("seed", [0, 42, 2**32 - 1])
def test_a_row_hashes_as_it_does_byte_by_byte(seed: int) -> None:
    texts = [*("x" * n for n in range(26)), None, "Größe", "\x00", "\x00\x00", "12345678", "123456789"]
    rows = [(one, other) for one in texts for other in texts]
    assert hash_rows_of(rows, seed) == [hash_one(row, seed) for row in rows]


def test_texts_that_differ_have_other_hashes() -> None:
    rows = [("ab", "c"), ("a", "bc"), ("abc", ""), ("abc", None), (None, "abc"), ("", "abc"), ("a\x00", "bc")]
    assert len(set(hash_rows_of(rows))) == len(rows)
    assert len({*hash_rows_of([("a",)]), *hash_rows_of([("a", "")]), *hash_rows_of([("a", None)])}) == 3


def test_a_slice_of_a_column_hashes_as_its_texts_do() -> None:
    column = pl.Series(["one", None, "a text of more than sixteen bytes", "", "five"])
    whole = hash_texts([column], 7).tolist()
    assert hash_texts([column[1:4]], 7).tolist() == whole[1:4]
    assert hash_texts([column.reverse()], 7).tolist() == whole[::-1]
    parts = pl.concat([column[:2], column[2:]], rechunk=False)
    assert hash_texts([parts], 7).tolist() == whole
    assert hash_texts([column.clear()], 7).tolist() == []


def test_flipping_a_bit_of_a_text_flips_about_half_of_those_of_the_hash() -> None:
    texts = [f"cell {n:06d}" for n in range(4_000)]
    other = [text[:5] + chr(ord(text[5]) ^ 1) + text[6:] for text in texts]
    flipped = hash_texts([pl.Series(texts)], 1) ^ hash_texts([pl.Series(other)], 1)
    share = np.unpackbits(flipped.view(np.uint8)).reshape(len(texts), 64).mean(axis=0)
    # Five standard deviations of 4,000 fair coins.
    assert np.abs(share - 0.5).max() < 5 * 0.5 / np.sqrt(4_000)


def test_another_seed_gives_other_hashes() -> None:
    assert not set(hash_rows_of([("a",), ("b",)], 0)) & set(hash_rows_of([("a",), ("b",)], 1))
