"""What a campaign found, as a line for people and a record for programs."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import TYPE_CHECKING, Any

from bench.report import describe_machine

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.campaign import Campaign


def conclude(folder: Path, campaign: Campaign, skipped: str = "") -> str:
    """Print the last line of a campaign and append its record; give its verdict."""
    verdict = "skipped" if skipped else "FAILED" if campaign.failures else "held"
    seconds = round(time.monotonic() - campaign.started, 1)
    record: dict[str, Any] = {
        "campaign": campaign.name,
        "verdict": verdict,
        "size": "full" if campaign.full else "short",
        "seed": campaign.seed,
        "trials": campaign.trials,
        "seconds": seconds,
        "figures": campaign.figures,
        "failures": campaign.failures,
        "skipped": skipped,
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
    }
    with (folder / "results.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    for name, value in campaign.figures.items():
        campaign.say(f"{name}: {value}")
    if skipped:
        print(f"SKIPPED {campaign.name}: {skipped}")
    print(f"{campaign.name}: {verdict}, {campaign.trials} trials, {seconds} s, seed {campaign.seed}", flush=True)
    return verdict
