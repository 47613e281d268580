"""Check what stands in ``.tahoe`` of a finished stage: a later launch would build on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import StageError
from tahoe_engine.run.disk import hash_file
from tahoe_engine.run.journal import list_journals, read_lines
from tahoe_engine.run.plan import read_plan
from tahoe_engine.run.receipts import find_receipt, hash_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tahoe_engine.run.layout import Layout

Found = tuple[str, str]  # file in the run folder, what is wrong with it


def check_protocol(layout: Layout, stage: str) -> tuple[int, list[Found]]:
    """Check plan, journals, receipts and sums of a stage, every byte.

    Parameters
    ----------
    layout : Layout
        The run.
    stage : str
        Name of the stage.

    Returns
    -------
    n_files : int
        Files that were checked; none where the stage has no journal of its own, or was copied without it.
    found : list of (str, str)
        File and reason.
    """
    found: list[Found] = []
    last: dict[str, dict[str, Any]] = {}
    plan: str | None = None
    sources: str | None = None
    journals = list_journals(layout, stage)
    for path in journals:
        try:
            records, whole = read_lines(path)
        except StageError as error:
            found.append((_place(layout, path), str(error)))
            continue
        except OSError as error:
            found.append((_place(layout, path), f"cannot be read ({error.strerror})"))
            continue
        if whole != path.stat().st_size:
            found.append((_place(layout, path), "its last line is torn or damaged"))
        for record in records:
            plan = record.get("plan", plan)
            sources = record.get("sources", sources)
            if "shard" in record:
                last[record["shard"]] = record
    if not journals:
        return 0, []
    found += _check_file(layout, layout.plan(stage), plan)
    if sources is not None:
        found += _check_file(layout, layout.sources, sources)
    # Units of inputs that are gone (--accept-changed-inputs) are nobody's concern.
    inputs = _list_inputs(layout, stage)
    finished = {name: record for name, record in last.items() if "receipt" in record and name in inputs}
    n_files = len(journals) + 1 + (sources is not None)
    for name, record in sorted(finished.items()):
        checked = list(_check_unit(layout, stage, name, record))
        n_files += len(checked)
        found += [entry for entries in checked for entry in entries]
    return n_files, found


def _list_inputs(layout: Layout, stage: str) -> set[str]:
    try:
        return set(read_plan(layout, stage)["inputs"])
    except StageError:
        return set()  # it was found to be damaged already


def _check_unit(layout: Layout, stage: str, name: str, record: dict[str, Any]) -> Iterator[list[Found]]:
    kept = layout.receipt(stage, name)
    found = find_receipt(layout, stage, name, record["key"])
    # Without it nothing is lost as long as the journal is whole. A second attempt may have left one that says more.
    same = found is not None and hash_files(layout, stage, name, found) == hash_files(
        layout, stage, name, record["receipt"]
    )
    yield [] if same or not kept.exists() else [(_place(layout, kept), "differs from what the journal recorded")]
    for entry, path in layout.unit_files(stage, name).items():
        part = record["receipt"].get(entry)
        # What users read is checked against the manifest.
        if part is not None and path.is_relative_to(layout.state):
            yield list(_check_file(layout, path, part["sha256"]))


def _check_file(layout: Layout, path: Path, sha256: str | None) -> Iterator[Found]:
    if not path.is_file():
        yield _place(layout, path), "missing"
    elif sha256 is not None and hash_file(path) != sha256:
        yield _place(layout, path), "its sha256 differs from what the journal recorded"


def _place(layout: Layout, path: Path) -> str:
    return path.relative_to(layout.root).as_posix()
