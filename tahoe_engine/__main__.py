"""``python -m tahoe_engine VERB``, the same as ``tahoe VERB``."""

from __future__ import annotations

import sys

from tahoe_engine.cli import main

if __name__ == "__main__":
    sys.exit(main())
