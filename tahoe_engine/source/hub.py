"""Data sets of the Hugging Face hub: a revision is pinned to its commit, and each file to its content."""

from __future__ import annotations

import fnmatch
import importlib
import importlib.util
import json
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

from tahoe_engine.errors import ConfigError, SourceError
from tahoe_engine.source.address import is_open, show_address
from tahoe_engine.source.replies import CHANGED
from tahoe_engine.source.shard import Shard
from tahoe_engine.source.trouble import ChangedError, DeniedError, MissingError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tahoe_engine.sections import SourceSettings
    from tahoe_engine.source.trouble import Patience
    from tahoe_engine.source.web import Answer, Web

# refs/convert/parquet and refs/pr/7 are the only revisions that hold a slash unquoted.
ADDRESS = re.compile(
    r"hf://datasets/(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>refs/(?:convert|pr)/[^/@]+|[^/@]+))?(?:/(?P<path>.*))?"
)
MAX_LISTING = 64 << 20
MAX_PAGES = 10_000
NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')
MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True)
class HubPath:
    """The parts of an ``hf://`` address.

    Parameters
    ----------
    repository, revision, path : str
        ``OWNER/NAME``; branch, tag or commit; a file, a pattern, or empty.
    """

    repository: str
    revision: str
    path: str


def parse_hub_path(address: str) -> HubPath:
    """Take an address of the hub apart.

    Parameters
    ----------
    address : str
        ``hf://datasets/OWNER/NAME[@REV]/PATH``.

    Returns
    -------
    HubPath
        Revision ``main`` where none is named.

    Raises
    ------
    SourceError
        If it is of another form.

    Examples
    --------
    >>> parse_hub_path("hf://datasets/tahoebio/Tahoe-100M@v1/data/*.parquet")
    HubPath(repository='tahoebio/Tahoe-100M', revision='v1', path='data/*.parquet')
    """
    match = ADDRESS.fullmatch(address)
    if match is None:
        raise SourceError(
            f"{show_address(address)}: write hf://datasets/OWNER/NAME/data/*.parquet, with @REVISION after NAME"
        )
    return HubPath(match["repository"], match["revision"] or "main", (match["path"] or "").strip("/"))


def list_hub(address: str, source: SourceSettings, web: Web, patience: Patience) -> list[Shard]:
    """List the files of a data set that an address names.

    Parameters
    ----------
    address : str
        A file, a pattern, or a folder (its ``data/*.parquet``, or where there are none its ``*.parquet``).
    source : SourceSettings
        Where the hub is.
    web : Web
        Connections.
    patience : Patience
        For its requests.

    Returns
    -------
    list of Shard
        Without names; addresses hold the commit, versions the content.

    Raises
    ------
    SourceError
        If there is no such file.
    ConfigError
        If a token would be sent in clear.
    Trouble
        If the hub does not answer, or refuses.
    """
    wanted = parse_hub_path(address)
    hub = Hub(source, web)
    api = f"{source.hub.rstrip('/')}/api/datasets/{wanted.repository}"
    told = _get_json(f"{api}/revision/{quote(wanted.revision, safe='')}", hub, patience)[0]
    commit = str(told.get("sha", "")) if isinstance(told, dict) else ""
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise RefusedError("the hub names no commit for this revision")
    patterns = [wanted.path]
    if not wanted.path.endswith(".parquet"):
        base = f"{wanted.path}/" if wanted.path else ""
        patterns = [f"{base}data/*.parquet", f"{base}*.parquet"]
    for pattern in patterns:
        magic = MAGIC.search(pattern)
        # What stands before the first pattern is a folder: only that is listed.
        folder = (pattern[: magic.start()] if magic else pattern).rpartition("/")[0]
        deep = "/" in pattern[len(folder) :].lstrip("/")
        try:
            entries = _list_tree(f"{api}/tree/{commit}", folder, deep=deep, hub=hub, patience=patience)
        except MissingError:
            continue
        found = [_make_shard(wanted.repository, commit, entry) for entry in entries if _matches(entry["path"], pattern)]
        if found:
            return found
    raise SourceError(f"{show_address(address)}: no such file in the data set at commit {commit[:12]}")


def _list_tree(tree: str, folder: str, *, deep: bool, hub: Hub, patience: Patience) -> list[dict[str, Any]]:
    url = f"{tree}/{quote(folder)}".rstrip("/") + ("?recursive=true" if deep else "?recursive=false")
    entries: list[dict[str, Any]] = []
    for _ in range(MAX_PAGES):
        page, link = _get_json(url, hub, patience)
        if not isinstance(page, list):
            raise RefusedError("the hub's listing is no list")
        entries += [entry for entry in page if isinstance(entry, dict) and entry.get("type") == "file"]
        more = NEXT.search(link)
        if more is None:
            return entries
        before, url = url, urljoin(url, more[1])
        # It would get the token; and without it the listing would lack files, and nobody would know.
        if urlsplit(url)[:2] != urlsplit(before)[:2]:
            raise RefusedError("the hub's listing goes on at another host")
    raise RefusedError(f"the hub's listing has more than {MAX_PAGES} pages")


def _matches(path: str, pattern: str) -> bool:
    names, wanted = path.split("/"), pattern.split("/")
    if "**" in wanted:
        return fnmatch.fnmatchcase(path, pattern.replace("**/", "*"))
    return len(names) == len(wanted) and all(map(fnmatch.fnmatchcase, names, wanted))


def _make_shard(repository: str, commit: str, entry: dict[str, Any]) -> Shard:
    lfs = entry.get("lfs") or {}
    version = f"sha256:{lfs['oid']}" if lfs.get("oid") else f"blob:{entry.get('oid', '')}"
    size = lfs.get("size", entry.get("size"))
    if not isinstance(size, int):
        raise RefusedError("the hub's listing has a file without a size")
    return Shard("", f"hf://datasets/{repository}@{commit}/{entry['path']}", size=size, version=version)


class Hub:
    """The hub, asked with the user's token.

    Parameters
    ----------
    source : SourceSettings
        Where it is.
    web : Web
        Connections.

    Raises
    ------
    ConfigError
        If there is a token, and anyone on the way could read it.
    """

    def __init__(self, source: SourceSettings, web: Web) -> None:
        self._web, self._token = web, find_token()
        if self._token and is_open(source.hub) and not source.insecure_http:
            raise ConfigError(
                "source.hub is an http:// address: your token would be sent in clear; use https://, or set "
                "source.insecure_http=true"
            )

    def get(self, url: str, most: int, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask for an address of the hub; see `Web.get`."""
        try:
            return self._web.get(url, most, headers, token=self._token)
        except DeniedError as error:
            status = error.reason.partition(":")[0]
            known = "your token does not open it" if self._token else "set HF_TOKEN or run `hf auth login`"
            more = "" if self._token or _has_package() else ", with the package huggingface_hub installed"
            raise DeniedError(
                f"{status}: no access, or no such data set; {known}{more}; if it has terms, accept them on its page"
            ) from None


def _get_json(url: str, hub: Hub, patience: Patience) -> tuple[Any, str]:
    answer = patience.ask(lambda: hub.get(url, MAX_LISTING))
    try:
        return json.loads(answer.body), answer.headers.get("link", "")
    except (ValueError, RecursionError):
        raise RefusedError("the hub's answer is not JSON") from None


def find_token() -> str:
    """Give the token of the logged-in user, where there is one; public data sets need none.

    Returns
    -------
    str
        Empty without a token, or without the package `huggingface_hub`.
    """
    try:
        # The package knows all the places a token may be; without it only public data sets can be read.
        return importlib.import_module("huggingface_hub").get_token() or ""
    except ImportError:
        return ""


def _has_package() -> bool:
    return importlib.util.find_spec("huggingface_hub") is not None


class HubFile:
    """One file of the hub, at one commit.

    Parameters
    ----------
    shard : Shard
        Pinned, as `list_hub` gives it.
    source : SourceSettings
        Where the hub is.
    web : Web
        Connections.
    """

    def __init__(self, shard: Shard, source: SourceSettings, web: Web) -> None:
        path = parse_hub_path(shard.path)
        self._commit, self._version, self._web = path.revision, shard.version, web
        self._hub = Hub(source, web)
        self._url = f"{source.hub.rstrip('/')}/datasets/{path.repository}/resolve/{path.revision}/{quote(path.path)}"
        self._location = self._tag = ""
        self._resolving = threading.Lock()

    def get(self, span: str, most: int, version: str) -> tuple[Answer, str]:
        """Ask for a range.

        Parameters
        ----------
        span : str
            As the header says it.
        most : int
            Bytes wanted.
        version : str
            What is expected.

        Returns
        -------
        Answer, str
            And the version that was found.

        Raises
        ------
        ChangedError
            If the hub has other content under this commit.
        """
        headers = {"Range": span}
        # The hub limits how often files are resolved: go straight to where the bytes are until that address ends.
        # Whoever comes first resolves; the others wait for that, and have no need to.
        with self._resolving:
            if not self._location:
                return self._resolve(headers, most, version)
            location, tag = self._location, self._tag
        try:
            answer = self._web.get(location, most, headers)
        except (RefusedError, MissingError):
            with self._resolving:
                return self._resolve(headers, most, version)
        if tag != answer.headers.get("etag", "") and answer.status != CHANGED:
            raise ChangedError("the bytes behind the hub's address are others now")
        return answer, version

    def _resolve(self, headers: dict[str, str], most: int, version: str) -> tuple[Answer, str]:
        answer = self._hub.get(self._url, most, headers)
        said = answer.first_headers
        linked = (said.get("x-linked-etag") or said.get("etag", "")).removeprefix("W/").strip('"')
        if said.get("x-repo-commit", self._commit) != self._commit:
            raise ChangedError("the hub answers with another commit")
        if version and linked and linked != version.partition(":")[2]:
            raise ChangedError(f"content {linked[:12]}, planned {version.partition(':')[2][:12]}")
        if answer.location != self._url:
            self._location, self._tag = answer.location, answer.headers.get("etag", "")
        return answer, version
