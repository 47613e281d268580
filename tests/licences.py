"""List the licence of every locked package and crate; end with an error on one that nobody has allowed.

`make licences` runs this. Packages are read from the environment, crates from `cargo metadata`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata

# Permissive, or file-level copyleft that asks nothing of those who only use the file (MPL).
ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MIT-CMU",
    "MPL-2.0",
    "PSF-2.0",
    "Python-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}
# What the field `License` or a classifier says, in SPDX words.
SPELT = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
LONGEST_NAME = 60  # some packages put the whole text into the field
# Their metadata names no licence that can be looked up; read in what they ship.
READ = {"scverse-misc": "BSD-3-Clause", "skops": "MIT", "umap-learn": "BSD-3-Clause"}


def is_allowed(expression: str) -> bool:
    """Read an SPDX expression: every side of an AND, one side of an OR (`/` is the old way to write OR)."""
    expression = SPELT.get(expression, expression)
    if expression in ALLOWED:
        return True
    flat = expression.replace("(", " ").replace(")", " ").replace("/", " OR ")
    return all(
        any(SPELT.get(one.strip(), one.strip()) in ALLOWED for one in re.split(r"\s+OR\s+", side))
        for side in re.split(r"\s+AND\s+", flat)
    )


def list_packages() -> dict[str, str]:
    """Name and licence of every installed distribution but our own."""
    found = {}
    for package in metadata.distributions():
        fields = package.metadata
        if fields["Name"] in {"tahoe-engine", "pip", "setuptools"}:
            continue
        classified = [
            line.rsplit(" :: ", 1)[-1] for line in fields.get_all("Classifier", []) if line.startswith("License ::")
        ]
        written = fields["License"] or ""
        named = written if len(written) < LONGEST_NAME else ""
        found[f"{fields['Name']} {package.version}"] = (
            READ.get(fields["Name"]) or fields["License-Expression"] or (" AND ".join(classified) or named)
        )
    return found


def list_crates() -> dict[str, str]:
    """Name and licence of every crate of the lock file but our own."""
    told = subprocess.run(
        ["cargo", "metadata", "--locked", "--format-version", "1", "--all-features"],  # noqa: S607 - cargo is on PATH
        capture_output=True,
        check=True,
        text=True,
    )
    return {
        f"{crate['name']} {crate['version']}": crate["license"] or ""
        for crate in json.loads(told.stdout)["packages"]
        if crate["source"]
    }


def main() -> None:
    """Print both lists and stop on what is not allowed."""
    found = list_packages() | list_crates()
    refused = {name: licence for name, licence in found.items() if not is_allowed(licence)}
    for name, licence in sorted(found.items()):
        print(f"{name:40} {licence or '?'}{'   <-- not on the list' if name in refused else ''}")
    if refused:
        sys.exit(f"{len(refused)} licences are not on the list of tests/licences.py")
    print(f"{len(found)} packages and crates, all with an allowed licence")


if __name__ == "__main__":
    main()
