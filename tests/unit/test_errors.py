from __future__ import annotations

import pickle

import pytest

from tahoe_engine import errors
from tahoe_engine.errors import ShardError, TahoeError, escape_controls, hide_secrets


def test_a_shard_error_survives_plain_pickle() -> None:
    error = pickle.loads(pickle.dumps(ShardError("train-7", 2, 41, "E_TYPE", "found text")))  # noqa: S301
    assert (error.shard, error.row_group, error.row, error.code, error.reason) == (
        "train-7",
        2,
        41,
        "E_TYPE",
        "found text",
    )


def test_a_shard_error_names_only_what_is_known() -> None:
    assert str(ShardError("a", None, None, "E_FOOTER", "no")) == "a: E_FOOTER: no"
    assert str(ShardError("a", 0, None, "E_FOOTER", "no")) == "a: row group 0: E_FOOTER: no"
    assert str(ShardError("a", None, 0, "E_FOOTER", "no")) == "a: row 0: E_FOOTER: no"


def test_a_message_never_drives_a_terminal() -> None:
    assert str(ShardError("a", None, None, "E_TYPE", "\x1b[2J\r\u202e")) == "a: E_TYPE: \\x1b[2J\\r\\u202e"
    assert escape_controls("plain, auch über µM") == "plain, auch über µM"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("ConfigError", 64),
        ("StageError", 64),
        ("BadDataError", 65),
        ("ShardError", 65),
        ("SourceError", 66),
        ("HeldError", 73),
        ("StoppedError", 75),
    ],
)
def test_every_error_has_the_exit_code_of_the_contract(kind: str, code: int) -> None:
    found = getattr(errors, kind)
    assert issubclass(found, TahoeError)
    assert found.exit_code == code


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://h.org/a.parquet?sig=canary&x=1 now", "see https://h.org/a.parquet now"),
        ("'HTTP://me:canary@h.org/a#canary', then 'b'", "'HTTP://h.org/a', then 'b'"),
        ("s3://bucket/what?.parquet and a@b.c", "s3://bucket/what?.parquet and a@b.c"),
        ("is it https://h.org?", "is it https://h.org"),
    ],
)
def test_a_message_shows_no_signature_that_stood_in_an_address(text: str, shown: str) -> None:
    assert hide_secrets(text) == shown
