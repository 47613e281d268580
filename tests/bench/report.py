"""Results as a table for people and as JSON for programs, with the machine they were measured on."""

from __future__ import annotations

import json
import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

Result = dict[str, Any]
PACKAGES = ("tahoe-engine", "polars", "duckdb", "pyarrow", "numpy", "dask", "distributed")


def describe_machine() -> Result:
    """Processor, cores, memory, system and versions; no names of hosts or users."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(encoding="utf-8"))
    return {
        "cpu": cpu[1] if cpu else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(memory[1]) / 2**20, 1) if memory else None,
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def print_table(rows: list[Result]) -> None:
    """Print rows of equal keys as a Markdown table."""
    if not rows:
        return
    texts = [[format_value(row.get(name)) for name in rows[0]] for row in rows]
    widths = [max(map(len, column)) for column in zip(list(rows[0]), *texts, strict=True)]
    for line in [list(rows[0]), ["-" * width for width in widths], *texts]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")


def format_value(value: object) -> str:
    """Three figures for a fraction, separators for a large number, nothing for a null."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def write_report(folder: Path, name: str, settings: Result, rows: list[Result]) -> None:
    """Print the table and write `NAME.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    report = {"benchmark": name, "settings": settings, "machine": describe_machine(), "results": rows}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"\n## {name}  ({', '.join(f'{key}={value}' for key, value in settings.items())})\n")
    print_table(rows)
    print(f"\n{path}", flush=True)
