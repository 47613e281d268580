"""Where shards come from: finding them, reading their footers, and knowing them again."""

from __future__ import annotations

from tahoe_engine.source.address import scheme_of
from tahoe_engine.source.checksums import (
    Checksum,
    Checksums,
    find_checksums,
    load_checksums,
    verify_bytes,
    verify_checksum,
)
from tahoe_engine.source.facts import describe_source
from tahoe_engine.source.fetched import fetch_pieces
from tahoe_engine.source.footers import Footer, read_footers
from tahoe_engine.source.images import Image, build_image, place_error
from tahoe_engine.source.kept import KeptTails
from tahoe_engine.source.metadata import Metadata, choose_metadata
from tahoe_engine.source.recorded import (
    Recorded,
    describe_footers,
    fetch_rows,
    read_recorded,
)
from tahoe_engine.source.shard import Shard
from tahoe_engine.source.shards import find_metadata, find_shards

__all__ = [
    "Checksum",
    "Checksums",
    "Footer",
    "Image",
    "KeptTails",
    "Metadata",
    "Recorded",
    "Shard",
    "build_image",
    "choose_metadata",
    "describe_footers",
    "describe_source",
    "fetch_pieces",
    "fetch_rows",
    "find_checksums",
    "find_metadata",
    "find_shards",
    "load_checksums",
    "place_error",
    "read_footers",
    "read_recorded",
    "scheme_of",
    "verify_bytes",
    "verify_checksum",
]
