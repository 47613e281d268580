"""How a campaign spoils a shard, and how it sees who worked on what."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chaos.processes import INJECTED, OURS

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Injection:
    """A shard that is spoilt (see `injected/sitecustomize.py`), or the pace of all of them."""

    marks: Path
    what: str
    shard: str = "*"
    seconds: float = 0.0

    @property
    def env(self) -> dict[str, str]:
        """The environment of a launch."""
        asked = {"marks": str(self.marks), "what": self.what, "shard": self.shard, "seconds": self.seconds}
        return {"PYTHONPATH": f"{INJECTED}:{OURS}", "TAHOE_CHAOS": json.dumps(asked)}

    def calls(self) -> list[tuple[int, int, str]]:
        """Give pid, parent and shard of every call so far."""
        if not self.marks.exists():
            return []
        lines = [line.split() for line in self.marks.read_text().splitlines()]
        return [(int(pid), int(parent), shard) for pid, parent, shard in lines]

    def calls_of(self, shard: str, parent: int | None = None) -> int:
        """Tell how often a shard was begun, by any process or by the children of one."""
        return sum(name == shard and parent in {None, its} for _, its, name in self.calls())


def keep_pace(place: Path, seconds: float) -> Injection:
    """Make every shard take a while, so that small ones leave moments to disturb."""
    return Injection(place / "marks", "pace", seconds=seconds)
