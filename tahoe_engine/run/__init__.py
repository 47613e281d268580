"""A run on disk: its folders, its lock, its plan, its journal, its parts and its manifests."""

from __future__ import annotations

from tahoe_engine.run.describe import describe_run
from tahoe_engine.run.journal import Journal
from tahoe_engine.run.layout import Layout
from tahoe_engine.run.lock import hold_run
from tahoe_engine.run.manifest import FORMAT_VERSION, list_stages, read_manifest, write_manifest, write_run_manifest
from tahoe_engine.run.parts import commit_part, replace_file, sync_folder
from tahoe_engine.run.plan import record_plan
from tahoe_engine.run.tables import Run
from tahoe_engine.run.verify import Mismatch, verify_run

__all__ = [
    "FORMAT_VERSION",
    "Journal",
    "Layout",
    "Mismatch",
    "Run",
    "commit_part",
    "describe_run",
    "hold_run",
    "list_stages",
    "read_manifest",
    "record_plan",
    "replace_file",
    "sync_folder",
    "verify_run",
    "write_manifest",
    "write_run_manifest",
]
