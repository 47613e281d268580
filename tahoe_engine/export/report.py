"""What an export starts from, and what it tells when it is done."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tahoe_engine.run import Layout, read_published

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tahoe_engine.export.choose import Chosen
    from tahoe_engine.run import Run

    Unknown = dict[str, dict[str, list[str]]]


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote.

    Parameters
    ----------
    into : Path
        The file.
    what : {"groups", "cells", "raw"}
        Of what it is made.
    shape : (int, int)
        Rows (groups or cells) and genes.
    nnz : int
        Stored values of each matrix.
    seconds : float
        Of the whole export.
    absent : dict
        By filter: names that the run has not, each with the nearest that it has.
    bytes_read : int
        Of the shards.
    short : int
        With ``per_group``: groups that have fewer cells than were asked for.
    """

    into: Path
    what: str
    shape: tuple[int, int]
    nnz: int
    seconds: float
    absent: Unknown = field(default_factory=dict)
    bytes_read: int = 0
    short: int = 0

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.into.stat().st_size

    def describe(self) -> dict[str, Any]:
        """Give the report as plain values.

        Returns
        -------
        dict
            JSON-able.
        """
        return {
            "into": str(self.into),
            "what": self.what,
            "n_obs": self.shape[0],
            "n_vars": self.shape[1],
            "nnz": self.nnz,
            "size": self.size,
            "bytes_read": self.bytes_read,
            "groups_with_fewer_cells": self.short,
            "absent": self.absent,
            "seconds": round(self.seconds, 3),
        }


def tell_absent(chosen: Chosen, on_unknown: Callable[[Unknown], None] | None) -> None:
    """Hand wanted names on that the run has not.

    Parameters
    ----------
    chosen : Chosen
        What was found.
    on_unknown : callable, optional
        Called if there are any.
    """
    if on_unknown is not None and chosen.absent:
        on_unknown(chosen.absent)


def describe_origin(run: Run, what: str, chosen: Chosen, stages: Iterable[str]) -> dict[str, Any]:
    """Give what a file says of its origin; no times and places, so that equal runs give equal files.

    Parameters
    ----------
    run : Run
        Where it comes from.
    what : str
        Of what it is made.
    chosen : Chosen
        What was kept.
    stages : iterable of str
        Whose tables were read.

    Returns
    -------
    dict
        ``what``, ``version``, ``core``, ``filters`` (JSON), and of each stage its digest and settings (JSON).
    """
    import tahoe_engine

    facts: dict[str, Any] = {
        "what": what,
        "version": tahoe_engine.__version__,
        "core": read_manifest_of(run, "cells").get("core", ""),
        "filters": json.dumps(chosen.values, sort_keys=True),
    }
    for stage in stages:
        manifest = read_manifest_of(run, stage)
        facts[f"{stage}_digest"] = manifest["digest"]
        facts[f"{stage}_settings"] = json.dumps(manifest.get("settings", {}), sort_keys=True)
    return facts


def read_manifest_of(run: Run, stage: str) -> dict[str, Any]:
    """Give the manifest of one stage; that another is stale does not matter then.

    Parameters
    ----------
    run : Run
        The run.
    stage : str
        Name of the stage.

    Returns
    -------
    dict
        As it was published.

    Raises
    ------
    StageError
        If the stage is not finished or stale.
    """
    return read_published(Layout(run.path), stage)
