"""Shards on a web server, well-behaved or not: the same tables, nothing fetched for nothing, each trouble named."""

from __future__ import annotations

import json
import shutil
from functools import partial, partialmethod
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

import tahoe_engine as te
from runs import published, quarantined, scan
from server import COMMIT, Server
from tahoe_engine.config import load_settings
from tahoe_engine.errors import FetchError, SourceError
from tahoe_engine.schema import COLUMNS_READ
from tahoe_engine.source import find_shards
from tahoe_engine.source.trouble import Patience

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tahoe_engine.cells import Progress
    from tahoe_engine.config import Settings

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")

GUESS = 65_536
TABLES = ("cells/", "genes/")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that would have been waited."""
    waited: list[float] = []
    patience = partial(Patience, sleep=waited.append)
    monkeypatch.setattr("tahoe_engine.source.remote.Patience", patience)
    return waited


@pytest.fixture
def server(atlas: Path, tmp_path: Path) -> Iterator[Server]:
    shutil.copytree(atlas / "data", tmp_path / "served/data")
    with Server(tmp_path / "served") as server:
        yield server


def settings(*overrides: str) -> Settings:
    return load_settings(overrides=["source.connections=2", "source.footer_threads=2", *overrides])


def list_of(server: Server, query: str = "") -> list[str]:
    return [f"{server.url}/data/{path.name}{query}" for path in sorted((server.folder / "data").iterdir())]


def tables(run: Path) -> dict[str, bytes]:
    return {n: c for n, c in published(run).items() if n.startswith(TABLES) and n.endswith(".parquet")}


def needed_bytes(server: Server, stats: str) -> int:
    """Count, with another reader, the bytes of the column chunks that a scan must read."""
    total = 0
    for path in sorted((server.folder / "data").iterdir()):
        footer = pq.read_metadata(path)
        for group in (footer.row_group(i) for i in range(footer.num_row_groups)):
            for column in (group.column(i) for i in range(group.num_columns)):
                if column.path_in_schema.partition(".")[0] in COLUMNS_READ[stats]:
                    total += column.total_compressed_size
    return total


@pytest.mark.parametrize("stats", ["summary", "all"])
def test_a_web_server_gives_what_the_folder_gives_and_sends_only_what_is_needed(
    server: Server, tmp_path: Path, stats: str
) -> None:
    scan(server.folder, tmp_path / "local", stats=stats)
    scan(list_of(server), tmp_path / "remote", stats=stats, settings=settings("source.gap_bytes=0"))
    assert tables(tmp_path / "remote") == tables(tmp_path / "local")
    shards = len(list_of(server))
    # The ends once, the first 48 bytes once, and no other byte twice; what lies in the ends is not fetched again.
    most = needed_bytes(server, stats) + shards * (GUESS + 48)
    assert needed_bytes(server, stats) < server.sent <= most
    ends = [request for request in server.requests if request.range.startswith("bytes=-")]
    assert len(ends) == shards


def test_a_filter_on_wells_fetches_their_row_groups_alone(server: Server, tmp_path: Path) -> None:
    well = pq.read_table(next(iter((server.folder / "data").iterdir())), columns=["sample"])["sample"][0].as_py()
    scan(server.folder, tmp_path / "local", samples=[well])
    scan(list_of(server), tmp_path / "remote", samples=[well], settings=settings("source.gap_bytes=0"))
    assert tables(tmp_path / "remote") == tables(tmp_path / "local")
    shards = len(list_of(server))
    assert server.sent - shards * (GUESS + 48) < needed_bytes(server, "all") / 2


def test_the_hub_is_pinned_to_a_commit_and_listed_page_by_page(server: Server, atlas: Path, tmp_path: Path) -> None:
    server.page = 4
    source = "hf://datasets/o/n@v1/data/*.parquet"
    chosen = settings(f"source.hub={server.url}")
    shards = find_shards(source, chosen.source)
    assert [shard.path for shard in shards] == [
        f"hf://datasets/o/n@{COMMIT}/data/{path.name}" for path in sorted((atlas / "data").iterdir())
    ]
    scan(server.folder, tmp_path / "local")
    report = scan(source, tmp_path / "hub", settings=chosen)
    assert tables(tmp_path / "hub") == tables(tmp_path / "local")
    assert all(entry["version"].startswith("sha256:") for entry in report.manifest["inputs"])
    # A resolved address serves all further ranges of a shard: the hub counts how often it is asked.
    resolved = [request for request in server.requests if "/resolve/" in request.path]
    assert len(resolved) == 2 * len(shards)


def test_a_token_goes_to_the_hub_and_nowhere_else(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setattr("tahoe_engine.source.hub.find_token", lambda: "canary-token")
    scan("hf://datasets/o/n", tmp_path / "run", stats="summary", settings=settings(f"source.hub={server.url}"))
    for request in server.requests:
        assert request.headers.get("authorization") == (
            None if request.path.startswith("/cdn/") else "Bearer canary-token"
        )
    assert "canary" not in caplog.text
    for path in (tmp_path / "run").rglob("*"):
        assert not path.is_file() or b"canary" not in path.read_bytes(), path


def test_the_hub_s_own_sha256_is_verified_where_whole_files_are_asked_for(server: Server, tmp_path: Path) -> None:
    chosen = settings(f"source.hub={server.url}", "source.verify_inputs=true")
    report = scan("hf://datasets/o/n", tmp_path / "run", settings=chosen)
    for entry in report.manifest["inputs"]:
        assert entry["version"] == f"sha256:{entry['sha256']}"


@pytest.mark.parametrize("fault", ["503", "429", "reset", "short", "long", "few"])
def test_passing_faults_are_tried_again(server: Server, tmp_path: Path, waits: list[float], fault: str) -> None:
    scan(server.folder, tmp_path / "local", stats="qc")
    # On footers and on ranges, the second time with a good answer in between.
    server.faults = [fault, "", fault, fault, *[""] * 6, fault]
    scan(list_of(server), tmp_path / "remote", stats="qc", settings=settings())
    assert tables(tmp_path / "remote") == tables(tmp_path / "local")
    met = [request for request in server.requests if request.fault]
    assert len(met) == 4
    # Which connection meets a fault depends on the threads. One that lay idle may be closed by then: a reset there is
    # no fault of the server, and the request is repeated at once on a new connection.
    assert len(waits) == sum(not (fault == "reset" and request.reused) for request in met)
    # 1 s is what the server of the 429 asks for; else half a second at first, less by chance.
    assert min(waits) >= (1.0 if fault == "429" else 0.25)


@pytest.mark.usefixtures("waits")
def test_a_server_that_stays_away_stops_the_run_and_a_resume_goes_on(server: Server, tmp_path: Path) -> None:
    chosen = settings("source.retries=1", "source.connections=1", "source.footer_threads=1")
    footers = len(list_of(server))
    server.faults, server.always = [""] * (footers + 9), "503"
    with pytest.raises(FetchError, match=r"HTTP 503, 2 times") as caught:
        scan(list_of(server), tmp_path / "run", stats="summary", settings=chosen)
    assert caught.value.exit_code == 75
    assert not (tmp_path / "run/cells/_MANIFEST.json").exists()
    done = len(list((tmp_path / "run/cells").glob("*.parquet")))
    server.always, server.faults = "", []
    server.requests.clear()
    report = scan(list_of(server), tmp_path / "run", stats="summary", settings=chosen)
    assert report.units_found_done == done > 0
    assert report.n_quarantined == 0
    # Footers are kept with the run.
    assert not [request for request in server.requests if request.range.startswith("bytes=-")]
    scan(server.folder, tmp_path / "local", stats="summary")
    assert tables(tmp_path / "run") == tables(tmp_path / "local")


def test_a_shard_that_fails_for_a_while_is_deferred_to_the_end(
    server: Server, tmp_path: Path, waits: list[float]
) -> None:
    chosen = settings("source.retries=1", "source.connections=1", "source.footer_threads=1")
    server.faults = [*[""] * len(list_of(server)), "503", "503"]
    report = scan(list_of(server), tmp_path / "run", stats="summary", settings=chosen)
    assert (report.n_quarantined, report.units_done) == (0, len(list_of(server)))
    assert len(waits) == 1


def test_the_waiting_time_is_shared_and_ends(server: Server, tmp_path: Path, waits: list[float]) -> None:
    server.always = "429"
    with pytest.raises(FetchError, match="retry_budget_s"):
        scan(list_of(server)[0], tmp_path / "run", settings=settings("source.retry_budget_s=3"))
    assert 2 <= sum(waits) <= 3


def test_a_file_that_changes_in_mid_read_is_named(server: Server, tmp_path: Path) -> None:
    source = list_of(server)
    name = "data/" + source[1].rpartition("/")[2]
    chosen = settings("source.footer_threads=1")

    def change(progress: Progress) -> None:
        # After the plan, before the pieces.
        if progress.doing == "footers" and progress.done == len(source):
            server.etags[name] = '"another"'

    report = scan(source, tmp_path / "run", stats="summary", settings=chosen, on_progress=change)
    assert quarantined(report) == {source[1].rpartition("/")[2].removesuffix(".parquet"): "E_INPUT_CHANGED"}
    # Its footer is not kept: the same command takes the file as it is now, and no other one again.
    report = scan(source, tmp_path / "run", stats="summary", settings=chosen)
    assert (report.n_quarantined, report.units_done) == (0, 1)


def test_a_server_without_ranges_is_refused_before_it_sends_everything(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    with pytest.raises(SourceError, match="does not serve byte ranges; download the file"):
        scan(list_of(server)[0], tmp_path / "run", settings=settings())
    # What the socket buffers took; not the file twice over.
    assert len(server.requests) <= 2


def test_a_server_without_ranges_from_the_end_is_asked_for_the_size(server: Server, tmp_path: Path) -> None:
    server.suffixes = False
    scan(server.folder, tmp_path / "local", stats="summary")
    scan(list_of(server), tmp_path / "remote", stats="summary", settings=settings())
    assert tables(tmp_path / "remote") == tables(tmp_path / "local")


def test_a_list_on_the_server_may_name_files_beside_it(server: Server) -> None:
    names = [path.name for path in sorted((server.folder / "data").iterdir())]
    (server.folder / "data/list.txt").write_text("# shards\n" + "\n".join(names))
    shards = find_shards(f"{server.url}/data/list.txt", settings().source)
    assert [shard.path for shard in shards] == [f"{server.url}/data/{name}" for name in names]


def test_a_list_on_disk_may_name_signed_addresses(server: Server, tmp_path: Path) -> None:
    names = [path.name for path in sorted((server.folder / "data").iterdir())]
    text = "".join(f"{server.url}/data/{name}?sig=canary#part\n" for name in names)
    (tmp_path / "list.txt").write_text(f"# shards\n\n{text}")
    shards = find_shards(tmp_path / "list.txt", settings().source)
    assert [shard.path for shard in shards] == [f"{server.url}/data/{name}" for name in names]
    assert {shard.secret for shard in shards} == {"sig=canary"}


def test_a_list_whose_length_nobody_tells_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    (server.folder / "data/list.txt").write_text("a.parquet\n")
    monkeypatch.setattr(BaseHTTPRequestHandler, "send_header", partialmethod(leave_out, "Content-Length"))
    with pytest.raises(SourceError, match="does not say how long the list is"):
        find_shards(f"{server.url}/data/list.txt", settings().source)


SEND_HEADER = BaseHTTPRequestHandler.send_header


def leave_out(handler: BaseHTTPRequestHandler, left_out: str, name: str, value: str) -> None:
    """Send all headers but one; the end of the answer is then that of the connection."""
    handler.close_connection = True
    SEND_HEADER(handler, *(("Connection", "close") if name == left_out else (name, value)))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("{url}/data/*.parquet", "cannot list its files"),
        ("{url}/data/none.parquet", "HTTP 404"),
        ("http://me:canary@127.0.0.1/a.parquet", "user name or password"),
        ("ftp://host/a.parquet", "no source is read from ftp://"),
        ("{url}/a.csv", r"only \.parquet files"),
        ("hf://tahoebio/Tahoe-100M", "write hf://datasets/OWNER/NAME"),
    ],
)
def test_what_is_no_source_is_said_without_secrets(server: Server, tmp_path: Path, address: str, said: str) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        scan(address.format(url=server.url), tmp_path / "run", settings=settings())
    assert "canary" not in str(caught.value)


@pytest.mark.slow
def test_worker_processes_fetch_and_convert_too(server: Server, atlas: Path, tmp_path: Path) -> None:
    first, second, third, *rest = sorted((atlas / "data").iterdir())
    lines = tmp_path / f"{second.stem}.jsonl"
    lines.write_text("".join(f"{json.dumps(row)}\n" for row in pq.read_table(second).to_pylist()))
    source = [*list_of(server, "?sig=canary")[:1], str(lines), str(third), *map(str, rest)]
    scan(atlas / "data", tmp_path / "local")
    scan(source, tmp_path / "run", workers=2, settings=settings())
    assert server.sent > 0
    assert first.stem in te.Run(tmp_path / "run").table("cells").collect()["shard"].unique().to_list()
    for name in ("cells", "genes"):
        local, mixed = (te.Run(tmp_path / run).table(name).collect() for run in ("local", "run"))
        assert mixed.equals(local)


@pytest.mark.usefixtures("waits")
def test_planted_secrets_stand_nowhere(server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    chosen = settings("source.retries=1", "source.connections=1", "source.footer_threads=1")
    source = list_of(server, "?X-Amz-Signature=canary")
    server.faults, server.always = [""] * len(source), "403"
    with pytest.raises(FetchError, match="no access") as caught:
        scan(source, tmp_path / "run", stats="summary", settings=chosen)
    server.always = ""
    scan(source, tmp_path / "run", stats="summary", settings=chosen)
    # The server did get them.
    assert all("canary" in request.path for request in server.requests)
    told = f"{caught.value!r} {caught.value.__cause__!r} {caplog.text} {find_shards(source)!r}"
    assert "canary" not in told
    for path in (tmp_path / "run").rglob("*"):
        assert not path.is_file() or b"canary" not in path.read_bytes(), path
