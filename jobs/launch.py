"""Run one job file: ``python jobs/launch.py jobs/demo.toml [section.key=value ...]``. No logic lives here."""

from __future__ import annotations

import sys

from tahoe_engine.cli import main

if __name__ == "__main__":
    job, overrides = sys.argv[1:2], sys.argv[2:]
    sys.exit(main(["run", *job, *(word for override in overrides for word in ("--set", override))]))
