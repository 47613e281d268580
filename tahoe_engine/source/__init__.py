"""Where shards come from: finding them, reading their footers, and knowing them again."""

from __future__ import annotations

from tahoe_engine.source.checksums import Checksum, Checksums, find_checksums, load_checksums, verify_checksum
from tahoe_engine.source.facts import describe_source
from tahoe_engine.source.footers import Footer, read_footers
from tahoe_engine.source.shards import Shard, find_metadata, find_shards

__all__ = [
    "Checksum",
    "Checksums",
    "Footer",
    "Shard",
    "describe_source",
    "find_checksums",
    "find_metadata",
    "find_shards",
    "load_checksums",
    "read_footers",
    "verify_checksum",
]
