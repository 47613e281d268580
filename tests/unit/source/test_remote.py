"""The parts of reading from elsewhere that need no server: waiting, joining ranges, keeping footers, hiding secrets."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tahoe_engine.errors import SourceError
from tahoe_engine.source.address import show_address, split_secret
from tahoe_engine.source.fetched import coalesce
from tahoe_engine.source.hub import parse_hub_path
from tahoe_engine.source.kept import KeptTails, Tail
from tahoe_engine.source.replies import parse_retry_after
from tahoe_engine.source.shard import Shard
from tahoe_engine.source.trouble import ExhaustedError, PassingError, Patience

if TYPE_CHECKING:
    from pathlib import Path

RANGES = st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 500)), max_size=30)


@given(RANGES, st.integers(0, 200), st.integers(500, 5_000))
def test_joined_ranges_hold_every_range_whole_and_little_more(
    ranges: list[tuple[int, int]], gap: int, most: int
) -> None:
    joined = coalesce(ranges, gap, most)
    for start, length in ranges:
        assert any(first <= start and start + length <= first + size for first, size in joined)
    wanted = {byte for start, length in ranges for byte in range(start, start + length)}
    fetched = {byte for start, length in joined for byte in range(start, start + length)}
    if gap == 0:
        assert fetched == wanted
    assert joined == sorted(joined)
    assert all(size <= most for _, size in joined)


def fail(error: PassingError) -> object:
    raise error


def test_waits_grow_and_are_spread_by_chance() -> None:
    for dice, expected in ((0.0, [0.25, 0.5, 1.0, 2.0]), (1.0, [0.5, 1.0, 2.0, 4.0])):
        waited: list[float] = []
        patience = Patience(4, 100, sleep=waited.append, dice=partial(float, dice))
        with pytest.raises(ExhaustedError, match="HTTP 503, 5 times"):
            patience.ask(lambda: fail(PassingError("HTTP 503")))
        assert waited == expected


def test_a_server_that_asks_for_more_than_the_budget_is_given_up_at_once() -> None:
    waited: list[float] = []
    with pytest.raises(ExhaustedError, match="retry_budget_s"):
        Patience(9, 60, sleep=waited.append).ask(lambda: fail(PassingError("HTTP 429", wait_s=61)))
    assert waited == []


def test_the_budget_is_one_for_all_threads() -> None:
    waited: list[float] = []
    patience = Patience(99, 20, sleep=waited.append)

    def ask() -> None:
        with pytest.raises(ExhaustedError):
            patience.ask(lambda: fail(PassingError("reset", wait_s=1)))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(waited) <= 20


def test_retry_after_may_be_a_date() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    assert 25 < (parse_retry_after(format_datetime(soon, usegmt=True)) or 0) <= 30
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert [parse_retry_after(text) for text in (None, "", "-1", "1e9", "9" * 40)] == [None] * 5


def test_kept_footers_are_found_again_and_torn_ones_are_not(tmp_path: Path) -> None:
    kept = KeptTails(tmp_path / "footers")
    shard = Shard("a", "https://host/a.parquet", secret="sig=canary")  # noqa: S106 - planted
    tail = Tail(Shard("a", shard.path, size=100, version='etag:"1"'), b"PAR1", b"footerPAR1")
    assert kept.find(shard) is None
    kept.keep(tail)
    found = kept.find(shard)
    assert found is not None
    assert (found.head, found.tail, found.size, found.shard.version) == (tail.head, tail.tail, 100, 'etag:"1"')
    # A new signature is the same file; another address, size or version is not.
    assert found.shard.secret == "sig=canary"  # noqa: S105 - planted
    assert kept.find(Shard("a", "https://host/b.parquet")) is None
    assert kept.find(Shard("a", shard.path, size=101)) is None
    assert kept.find(Shard("a", shard.path, version='etag:"2"')) is None
    (file,) = (tmp_path / "footers").iterdir()
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole[:10], b"", whole[:-1] + b"2"):
        file.write_bytes(damaged)
        assert kept.find(shard) is None
    kept.forget(shard)
    assert not file.exists()


def test_addresses_are_shown_without_secrets() -> None:
    assert split_secret("HTTPS://host:8443/a b.parquet?x=1&y=2#z") == ("https://host:8443/a b.parquet", "x=1&y=2")
    assert split_secret("s3://bucket/a?b#c.parquet") == ("s3://bucket/a?b#c.parquet", "")
    assert split_secret("hf://datasets/o/n@v1/data/*.parquet")[0] == "hf://datasets/o/n@v1/data/*.parquet"
    assert show_address("s3://key:canary@bucket/x@y") == "s3://bucket/x@y"
    assert show_address("https://h/a?canary") == "https://h/a"
    assert show_address("hptts://h/a?canary") == "hptts://h/a"
    for wrong in (
        "https://me:canary@host/a",
        "s3://me:canary@host/a",
        "hf://me:canary@x/y",
        "https:///a",
        "https://host:port/a",
        "https://h/a\nb?canary",
    ):
        with pytest.raises(SourceError) as caught:
            split_secret(wrong)
        assert "canary" not in str(caught.value)


def test_revisions_of_the_hub_may_hold_a_slash() -> None:
    path = parse_hub_path("hf://datasets/o/n@refs/convert/parquet/default/train/0.parquet")
    assert (path.revision, path.path) == ("refs/convert/parquet", "default/train/0.parquet")
    assert parse_hub_path("hf://datasets/o/n").path == ""
