"""The error of a unit that takes its process with it."""

from __future__ import annotations

from tahoe_engine.errors import TahoeError


class WorkerDiedError(TahoeError):
    """A unit whose process died under it, or did not end, each time it was tried; the message says how."""

    exit_code = 75
