"""`python -m bench BENCHMARK`, one of those below or `all`: measure, print a table, write JSON.

Nothing here fails because it was slow. `--smoke` runs everything at a tiny size and compares the results instead.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from bench.atlas import ROWS_OF_A_SHARD, Atlas, make_atlas
from bench.contrasts import compare_scanpy, find_planted, measure_contrasts
from bench.features import measure_features
from bench.groups import DESIGN, check_agreement, compare_group_memory, compare_groups, fill_groups
from bench.honesty import try_random_targets
from bench.job import measure_job
from bench.models import compare_forests, measure_models
from bench.peers import compare_peers, compare_results
from bench.protocol import measure_cost, measure_replay
from bench.report import write_report
from bench.scale import compare_memory, compare_workers, rehearse, schedule_nothing

BENCHMARKS = (
    *("peers", "groups", "contrasts", "features", "models", "honesty", "job"),
    *("scaling", "memory", "scheduling", "protocol", "rehearsal"),
)
SHARDS_OF_TAHOE = 3388


def read_arguments() -> argparse.Namespace:
    """Sizes; the defaults are those of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("benchmark", choices=[*BENCHMARKS, "all"], nargs="?", help="default: peers; all with --smoke")
    parser.add_argument("--shards", type=int, default=12, help="shards of the made-up atlas")
    parser.add_argument("--few", type=int, default=3, help="shards that are subtracted in `peers` and `groups`")
    parser.add_argument("--rows", type=int, default=ROWS_OF_A_SHARD, help="cells a shard")
    parser.add_argument("--repeat", type=int, default=3, help="turns; the median is told")
    parser.add_argument("--times", type=int, default=8, help="links to each shard in `groups`: 1,100 cells a group")
    parser.add_argument("--links", type=int, default=128, help="shards of `scaling`")
    parser.add_argument(
        "--names", type=int, default=SHARDS_OF_TAHOE, help="shards of `scheduling`, `protocol`, `rehearsal`"
    )
    parser.add_argument("--workers", type=int, default=2, help="workers of `scheduling` and `rehearsal`")
    parser.add_argument("--stats", default="all", help="what `scaling`, `memory` and `rehearsal` compute")
    parser.add_argument("--only", default="", help="contestants of `peers` and `groups`, comma-separated")
    parser.add_argument(
        "--model-rows", type=int, default=2_000_000, help="rows of `models`; 10,000,000 take 15 minutes"
    )
    parser.add_argument("--results", type=Path, default=Path("bench-results"))
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does everything run, and agree?")
    asked = parser.parse_args()
    if asked.smoke:
        tiny = {"shards": 3, "few": 1, "rows": 200, "repeat": 1, "links": 4, "names": 12, "stats": "all"}
        for name, value in tiny.items():
            setattr(asked, name, value)
        asked.benchmark, asked.results = asked.benchmark or "all", asked.results / "smoke"
    asked.benchmark = asked.benchmark or "peers"
    return asked


def main() -> None:
    """Run what was asked for."""
    asked = read_arguments()
    place = asked.results / "scratch"
    place.mkdir(parents=True, exist_ok=True)
    atlas = make_atlas(asked.results, shards=asked.shards, rows=asked.rows)
    sizes = {"shards": asked.shards, "rows": asked.rows}
    only = [name for name in asked.only.split(",") if name]
    chosen = BENCHMARKS if asked.benchmark == "all" else (asked.benchmark,)
    if "peers" in chosen:
        report_peers(asked, atlas, place, only)
    if "groups" in chosen:
        report_groups(asked, atlas, place, only)
    if "scaling" in chosen:
        rows = compare_workers(atlas, place, shards=asked.links, repeat=asked.repeat, stats=asked.stats)
        write_report(asked.results, "scaling", sizes | {"links": asked.links, "stats": asked.stats}, rows)
    if "memory" in chosen:
        rows = compare_memory(atlas, place, shards=asked.few, stats=asked.stats)
        write_report(asked.results, "memory", sizes | {"stats": asked.stats}, rows)
    if "scheduling" in chosen:
        rows = schedule_nothing(atlas, place, units=asked.names, workers=asked.workers)
        write_report(asked.results, "scheduling", {}, rows)
    if "protocol" in chosen:
        write_report(asked.results, "protocol", sizes, measure_cost(atlas, place, repeat=asked.repeat))
        write_report(asked.results, "replay", {}, measure_replay(atlas, place, units=asked.names))
    if "rehearsal" in chosen:
        rows = rehearse(atlas, place, shards=asked.names, workers=asked.workers, stats=asked.stats)
        write_report(asked.results, "rehearsal", sizes | {"stats": asked.stats}, rows)
    later = {
        "contrasts": report_contrasts,
        "features": report_features,
        "models": report_models,
        "honesty": report_honesty,
        "job": report_job,
    }
    for name in sorted(later.keys() & set(chosen)):
        later[name](asked, place)
    shutil.rmtree(place)
    if asked.smoke:
        print("\nEverything runs and agrees. At this size the figures themselves mean nothing.")


def report_features(asked: argparse.Namespace, place: Path) -> None:
    """A full recipe, beside Polars and scikit-learn."""
    rows, peer_rows = (20_000, 2_000) if asked.smoke else (5_000_000, 500_000)
    found = measure_features(place, rows=rows, peer_rows=peer_rows)
    write_report(asked.results, "features", {"rows": rows, "peer_rows": peer_rows}, found)


def report_honesty(asked: argparse.Namespace, place: Path) -> None:
    """Noise, on which nothing may be better than the baseline."""
    sizes = {"seeds": 1, "rows": 400} if asked.smoke else {"seeds": 20, "rows": 600}
    write_report(asked.results, "honesty", sizes, try_random_targets(place, **sizes))


def report_job(asked: argparse.Namespace, place: Path) -> None:
    """From shards to models; its lines are those of the demonstration, two of which the tasks keep."""
    design = ("--plates", "4,6", "--wells", "12", "--lines", "10")
    atlas = make_atlas(asked.results, shards=3, rows=asked.rows, name="job", design=design)
    write_report(asked.results, "job", {"shards": 3, "rows": asked.rows}, measure_job(atlas.folder, place))


def report_models(asked: argparse.Namespace, place: Path) -> None:
    """Passes over many rows, beside plain scikit-learn; then what fits into memory, on one worker and on two."""
    rows = 20_000 if asked.smoke else asked.model_rows
    write_report(asked.results, "models", {"rows": rows}, measure_models(place, rows=rows))
    few = {"rows": 500, "of": 20_000} if asked.smoke else {}
    write_report(asked.results, "models-parallel", few, compare_forests(place, **few))


def report_peers(asked: argparse.Namespace, atlas: Atlas, place: Path, only: list[str]) -> None:
    """Cells and genes, beside others."""
    rows = compare_peers(atlas, place, few=asked.few, repeat=asked.repeat, only=only)
    sizes = {"shards": asked.shards, "rows": asked.rows, "few": asked.few, "repeat": asked.repeat}
    write_report(asked.results, "peers", sizes, rows)
    if differing := compare_results(place):
        raise SystemExit("these do not agree with the engine:\n" + "\n".join(differing))


def report_groups(asked: argparse.Namespace, atlas: Atlas, place: Path, only: list[str]) -> None:
    """Sums by group and gene; tiny ones are only compared."""
    design = (*DESIGN, "--lines", "5") if asked.smoke else DESIGN
    plate = make_atlas(asked.results, shards=asked.shards, rows=asked.rows, name="groups", design=design)
    if asked.smoke:
        check_agreement(plate, place)
        return
    sizes = {"shards": asked.shards, "rows": asked.rows}
    rows = compare_groups(plate, place, few=asked.few, repeat=asked.repeat, only=only)
    write_report(asked.results, "groups", sizes | {"few": asked.few, "repeat": asked.repeat}, rows)
    rows = fill_groups(plate, place, times=asked.times)
    write_report(asked.results, "groups-filled", sizes | {"times": asked.times}, rows)
    write_report(asked.results, "groups-memory", sizes, compare_group_memory([plate, atlas], place))


def report_contrasts(asked: argparse.Namespace, place: Path) -> None:
    """Both methods on made-up moments, beside scanpy, and what they find of what was planted."""
    tiny = {"lines": 2, "wells": 6, "genes": 500} if asked.smoke else {}
    # Clusters take seconds to start.
    rows = measure_contrasts(place, workers=(0,) if asked.smoke else (0, 2), **tiny)
    write_report(asked.results, "contrasts", tiny, rows)
    beside = {"treatments": 3, "cells": 50, "genes": 500} if asked.smoke else {}
    write_report(asked.results, "contrasts-scanpy", beside, compare_scanpy(place, **beside))
    cells = {"cells": 1_000} if asked.smoke else {}
    write_report(asked.results, "contrasts-planted", cells, find_planted(place, **cells))


if __name__ == "__main__":
    main()
