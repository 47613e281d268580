"""A run on disk: its folders, its lock, its plan, its journal, its parts and its manifests."""

from __future__ import annotations

from tahoe_engine.run.begin import begin_stage, hold_back
from tahoe_engine.run.describe import describe_run
from tahoe_engine.run.disk import hash_file, require_room, sync_folder
from tahoe_engine.run.epoch import require_newest
from tahoe_engine.run.fingerprint import describe_build
from tahoe_engine.run.frames import digest_frame, encode_frame, write_frame
from tahoe_engine.run.garbage import collect_garbage
from tahoe_engine.run.journal import Journal, read_journal
from tahoe_engine.run.layout import Layout
from tahoe_engine.run.ledger import Ledger
from tahoe_engine.run.lock import hold_run, require_free
from tahoe_engine.run.manifest import (
    FORMAT_VERSION,
    is_published,
    list_stages,
    read_manifest,
    read_published,
    remove_stages,
    write_manifest,
    write_run_manifest,
)
from tahoe_engine.run.opened import open_run, translate_disk_errors
from tahoe_engine.run.partitions import name_part, read_plate
from tahoe_engine.run.parts import commit_part, replace_file
from tahoe_engine.run.plan import record_plan
from tahoe_engine.run.publish import publish_indexed, publish_stage
from tahoe_engine.run.receipts import keep_receipt
from tahoe_engine.run.renew import set_aside_stages
from tahoe_engine.run.tables import Run
from tahoe_engine.run.verify import Mismatch, verify_run
from tahoe_engine.run.whole import require_whole

__all__ = [
    "FORMAT_VERSION",
    "Journal",
    "Layout",
    "Ledger",
    "Mismatch",
    "Run",
    "begin_stage",
    "collect_garbage",
    "commit_part",
    "describe_build",
    "describe_run",
    "digest_frame",
    "encode_frame",
    "hash_file",
    "hold_back",
    "hold_run",
    "is_published",
    "keep_receipt",
    "list_stages",
    "name_part",
    "open_run",
    "publish_indexed",
    "publish_stage",
    "read_journal",
    "read_manifest",
    "read_plate",
    "read_published",
    "record_plan",
    "remove_stages",
    "replace_file",
    "require_free",
    "require_newest",
    "require_room",
    "require_whole",
    "set_aside_stages",
    "sync_folder",
    "translate_disk_errors",
    "verify_run",
    "write_frame",
    "write_manifest",
    "write_run_manifest",
]
