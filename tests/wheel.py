"""Try the built wheel as a stranger would: an empty environment, another folder, a blank in its path.

`make wheel` builds the wheel and runs this. The package must not be importable from the current folder, or the test
would find the source tree instead of the wheel.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

READ_TABLES = """
import sys, polars as pl, tahoe_engine as te
assert 'site-packages' in te.__file__, te.__file__
cells = te.Run(sys.argv[1]).table('cells').collect()
genes = te.Run(sys.argv[1]).table('genes').collect()
assert cells['total_counts'].sum() == genes['total_counts'].sum() > 0
print(f'{cells.height} cells, {genes.height} genes, {cells["total_counts"].sum()} counts')
"""


LIST_RECIPES = """
from tahoe_engine.errors import ConfigError
from tahoe_engine.features import list_recipes, plan_features
from tahoe_engine.models import list_tasks
assert {'biospark-m3', 'biospark-m4', 'dge'} <= {path.stem for path in list_recipes()}
assert {'biospark-m3', 'compare', 'dge-benchmark'} <= {path.stem for path in list_tasks()}
try:
    plan_features('run')
except ConfigError as error:
    assert 'tahoe-engine[ml]' in str(error), error
else:
    raise AssertionError('the plain installation has dask-ml')
"""


def main() -> None:
    """Install the one wheel of a folder with the locked dependencies, and do the main job with it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default="python3", help="interpreter of the new environment")
    parser.add_argument("--dist", type=Path, required=True)
    parser.add_argument("--lock", type=Path, required=True)
    asked = parser.parse_args()
    (wheel,) = asked.dist.resolve().glob("tahoe_engine-*.whl")
    if "-abi3-" not in wheel.name:
        raise SystemExit(f"{wheel.name} is bound to one version of Python; the wheel must be abi3")
    lock = asked.lock.resolve()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    with tempfile.TemporaryDirectory(prefix="an empty place ") as name:
        place = Path(name)

        def run(*command: str | Path) -> None:
            subprocess.run([str(part) for part in command], cwd=place, env=clean, stdin=subprocess.DEVNULL, check=True)

        run(asked.python, "-m", "venv", "environment")
        python = place / "environment" / "bin" / "python"
        pip = (python, "-m", "pip", "--disable-pip-version-check", "--no-input")
        run(*pip, "install", "--quiet", "--require-hashes", "--requirement", lock)
        run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel)
        run(*pip, "check")
        tahoe = python.with_name("tahoe")
        run(tahoe, "synth", place / "atlas", "--plates", "4", "--wells", "3", "--cells", "300", "--seed", "1")
        run(tahoe, "cells", place / "atlas", "--into", place / "run", "--profile", "small_machine", "--quiet")
        run(tahoe, "verify", place / "run", "--deep")
        run(python, "-c", READ_TABLES, place / "run")
        run(python, "-c", LIST_RECIPES)
    print(f"{wheel.name} works in an empty environment")


if __name__ == "__main__":
    main()
