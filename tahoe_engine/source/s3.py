"""Objects of S3 and its likes, through s3fs."""

from __future__ import annotations

import asyncio
import importlib
import logging
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import ConfigError, SourceError
from tahoe_engine.source.address import is_open, show_address
from tahoe_engine.source.replies import CHANGED, DENIED, MISSING, NO_SUCH_RANGE, PARTIAL, PASSING
from tahoe_engine.source.shard import Shard
from tahoe_engine.source.trouble import ChangedError, MissingError, NoRangesError, PassingError, RefusedError, Trouble
from tahoe_engine.source.web import SLOWEST, Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tahoe_engine.sections import SourceSettings
    from tahoe_engine.source.trouble import Patience

# What S3 calls its passing troubles, whatever the status.
PASSING_CODES = {
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestTimeout",
    "InternalError",
    "ServiceUnavailable",
}
REFUSED_CODES = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "403"}
NETWORK = {"botocore", "aiobotocore", "aiohttp", "asyncio"}  # whose errors without a status are of the connection
TALKATIVE = ("botocore", "aiobotocore", "aiohttp", "s3fs", "fsspec")
MISSING_CODES = {"NoSuchKey", "NoSuchBucket", "404"}


@lru_cache(maxsize=4)
def open_s3(endpoint: str, timeout_s: float, *, anonymous: bool) -> Any:  # noqa: ANN401 - s3fs has no types
    """Give the file system, once a process.

    Parameters
    ----------
    endpoint : str
        Empty for Amazon's.
    timeout_s : float
        Seconds without an answer.
    anonymous : bool
        Ask without credentials; else boto's usual places are looked at.

    Returns
    -------
    S3FileSystem
        That does not try again itself: one place counts attempts.

    Raises
    ------
    ConfigError
        If s3fs is not installed.
    """
    try:
        s3fs = importlib.import_module("s3fs")
    except ImportError:
        raise ConfigError("reading s3:// needs s3fs: pip install 'tahoe-engine[s3]'") from None
    for name in TALKATIVE:
        # At DEBUG these write session tokens and signatures; whoever wants that says so for them by name.
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.INFO)
    system = s3fs.S3FileSystem(
        anon=anonymous,
        endpoint_url=endpoint or None,
        config_kwargs={"retries": {"max_attempts": 0}, "connect_timeout": timeout_s, "read_timeout": timeout_s},
        skip_instance_cache=True,
        use_listings_cache=False,
    )
    system.retries = 1
    return system


def _open(source: SourceSettings) -> Any:  # noqa: ANN401 - s3fs has no types
    system = open_s3(source.s3_endpoint, source.timeout_s, anonymous=source.s3_anonymous)
    if not source.s3_anonymous and not source.insecure_http:
        # boto looks for an address in its own places, too: the one that counts is the one it found.
        endpoint = str(_told(system.connect).meta.endpoint_url)
        if is_open(endpoint):
            raise ConfigError(
                f"the S3 endpoint {show_address(endpoint)} is an http:// address: credentials would be sent in clear; "
                "use https://, or set source.s3_anonymous=true or source.insecure_http=true"
            )
    return system


def list_s3(address: str, source: SourceSettings, patience: Patience) -> list[Shard]:
    """List the objects that an address names.

    Parameters
    ----------
    address : str
        A key, a pattern, or a prefix (its ``data/*.parquet``, or where there are none its ``*.parquet``).
    source : SourceSettings
        Endpoint and credentials.
    patience : Patience
        For its requests.

    Returns
    -------
    list of Shard
        Without names, with size and ETag.

    Raises
    ------
    SourceError
        If there is none.
    Trouble
        If the service does not answer, or refuses.
    """
    system = _open(source)
    key = address.partition("://")[2].strip("/")
    patterns = [key] if key.endswith(".parquet") else [f"{key}/data/*.parquet", f"{key}/*.parquet"]
    for pattern in patterns:
        found: dict[str, Any] = patience.ask(partial(_told, partial(system.glob, pattern, detail=True)))
        shards = [
            Shard("", f"s3://{name}", size=int(facts["size"]), version=f"etag:{facts['ETag']}")
            for name, facts in sorted(found.items())
            if facts.get("type") == "file"
        ]
        if shards:
            return shards
    raise SourceError(f"{show_address(address)}: no such object")


class S3File:
    """One object.

    Parameters
    ----------
    shard : Shard
        With its address.
    source : SourceSettings
        Endpoint and credentials.
    """

    def __init__(self, shard: Shard, source: SourceSettings) -> None:
        self._system, self._timeout = _open(source), source.timeout_s
        self._bucket, _, self._key = shard.path.partition("://")[2].partition("/")

    def get(self, span: str, most: int, version: str) -> tuple[Answer, str]:
        """Ask for a range; see `HubFile.get`."""
        etag = version.removeprefix("etag:")
        condition = {"IfMatch": etag} if etag else {}

        async def fetch() -> tuple[dict[str, Any], bytes]:
            # No public way of s3fs gives the ETag with the bytes.
            told = await self._system._call_s3(  # noqa: SLF001
                "get_object", Bucket=self._bucket, Key=self._key, Range=span, **condition
            )
            if int(told["ContentLength"]) > most:
                told["Body"].close()
                raise NoRangesError("the service does not serve byte ranges")
            async with told["Body"] as body:
                return told, await body.read()

        async def ask() -> tuple[dict[str, Any], bytes]:
            # A byte now and then keeps the time-outs of the socket quiet.
            return await asyncio.wait_for(fetch(), self._timeout + most / SLOWEST)

        sync = importlib.import_module("fsspec.asyn").sync
        try:
            told, body = _told(lambda: sync(self._system.loop, ask))
        except _OutOfRangeError:
            return Answer(NO_SUCH_RANGE, {}, {}, b"", ""), version
        headers = {"content-range": str(told.get("ContentRange", ""))}
        status = int(told.get("ResponseMetadata", {}).get("HTTPStatusCode", PARTIAL))
        return Answer(status, headers, headers, body, ""), f"etag:{told['ETag']}"


class _OutOfRangeError(Exception):
    """The object has no such bytes: it is empty."""


def _told(request: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the service gives
    """Make a request and sort what goes wrong; texts of errors may hold addresses and are left out."""
    try:
        return request()
    except (Trouble, ConfigError, _OutOfRangeError):
        raise
    except Exception as error:
        found: BaseException | None = error
        while found is not None and not hasattr(found, "response"):
            found = found.__cause__
        told = getattr(found, "response", None)
        told = told if isinstance(told, dict) else {}
        code = str(told.get("Error", {}).get("Code", ""))
        status = int(told.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if status == CHANGED:
            raise ChangedError("its ETag is another one now") from None
        if status == NO_SUCH_RANGE:
            raise _OutOfRangeError from None
        if isinstance(error, FileNotFoundError) or code in MISSING_CODES or status in MISSING:
            raise MissingError(f"{code or 'missing'}: there is no such object") from None
        name = f"HTTP {status}" if status else type(error).__name__
        if isinstance(error, PermissionError) or code in REFUSED_CODES or "Credential" in name or status in DENIED:
            reason = (
                f"{code or name}: no access; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or "
                "source.s3_anonymous=true for a public bucket"
            )
            raise RefusedError(reason) from None
        network = type(error).__module__.partition(".")[0] in NETWORK or isinstance(error, (OSError, TimeoutError))
        if code in PASSING_CODES or status in PASSING or (network and not status):
            raise PassingError(code or name) from None
        if status:
            raise RefusedError(code or name) from None
        raise
