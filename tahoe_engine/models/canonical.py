"""A model of skops in one form: equal estimators give equal bytes, whichever process writes them.

skops names members by the address of what is in them, and tells by address what is one and the same object. Here
members are numbered in the order in which they are mentioned, and only what can change says that it is shared: whether
two equal texts are one object is an accident of the process. Nodes of trees have bytes between their fields that nobody
wrote; here they are zero.
"""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING, Any, Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA: Final = "schema.json"
LOADER, IDENTITY, FILE, CONTENT = "__loader__", "__id__", "file", "content"
# What an estimator can change in place, so that it matters whether two of its attributes are one.
MUTABLE: Final = {
    *("ListNode", "DictNode", "SetNode", "ObjectNode", "BytearrayNode"),
    *("NdArrayNode", "SparseMatrixNode", "TreeNode"),
}
LEFT, MISSING_LEFT, LEAF = "left_child", "missing_go_to_left", -1  # of nodes of trees
EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the first day that a ZIP file knows
MODE: Final = 0o600 << 16
UNIX: Final = 3
LEVEL: Final = 1  # weights are noise: more effort gains a few percent


def make_canonical(content: bytes) -> bytes:
    """Bring a file of skops into its one form.

    Parameters
    ----------
    content : bytes
        As `skops.io.dumps` gives it.

    Returns
    -------
    bytes
        Of the same objects. Bits of the compression are those of the installed zlib.
    """
    with ZipFile(io.BytesIO(content)) as archive:
        schema = json.loads(archive.read(SCHEMA))
        shared = _count_shared(schema)
        numbers: dict[int, int] = {}
        members: dict[str, bytes] = {}
        names: dict[str, str] = {}
        for node in walk_nodes(schema):
            identity = node.pop(IDENTITY, None)
            if shared.get(identity, 0) > 1:
                node[IDENTITY] = numbers.setdefault(identity, len(numbers) + 1)
            if node[LOADER] == "SetNode":
                # The order of a set of texts is another one in each process.
                node[CONTENT].sort(key=lambda item: str(item[CONTENT]))
            if FILE in node:
                _, dot, kind = node[FILE].rpartition(".")
                stored = _settle_member(archive.read(node[FILE]), kind)
                digest = hashlib.sha256(stored).hexdigest() + dot + kind
                name = names.setdefault(digest, f"{len(names) + 1}{dot}{kind}")
                members[name] = stored
                node[FILE] = name
    text = json.dumps(schema, separators=(",", ":")).encode()
    return _write_archive({SCHEMA: text, **members})


def walk_nodes(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Go through all that a file of skops describes.

    Parameters
    ----------
    schema : dict
        Its JSON.

    Yields
    ------
    dict
        What has a loader, whole before part, in the order of the file.
    """
    waiting: list[Any] = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if LOADER in one:
                yield one
            waiting.extend(reversed(list(one.values())))
        elif isinstance(one, list):
            waiting.extend(reversed(one))


def _count_shared(schema: dict[str, Any]) -> dict[int, int]:
    """Count how often each object that can change is mentioned."""
    counts: dict[int, int] = {}
    for node in walk_nodes(schema):
        if _is_mutable(node) and IDENTITY in node:
            counts[node[IDENTITY]] = counts.get(node[IDENTITY], 0) + 1
    return counts


def _is_mutable(node: dict[str, Any]) -> bool:
    # Numbers of NumPy go by the loader of arrays.
    return node[LOADER] in MUTABLE and (node[LOADER] != "NdArrayNode" or node["__class__"] == "ndarray")


def _settle_member(stored: bytes, kind: str) -> bytes:
    """Take out of a member what is no value: bytes between fields, which nobody wrote, and the width of indices."""
    import numpy as np
    from numpy.lib import format as layout
    from scipy.sparse import load_npz, save_npz

    buffer = io.BytesIO()
    if kind == "npz":
        # Reading chooses the narrowest indices, so that what was read once stays as it is.
        save_npz(buffer, load_npz(io.BytesIO(stored)))
        return buffer.getvalue()
    if kind != "npy":
        return stored
    array = np.load(io.BytesIO(stored), allow_pickle=False)
    if array.dtype.names is None:
        return stored
    settled = np.zeros(array.shape, array.dtype)  # not zeros_like: it writes fields alone
    for name in array.dtype.names:
        settled[name] = array[name]
    if {LEFT, MISSING_LEFT} <= set(array.dtype.names):
        # The side of what is missing is written for inner nodes alone.
        settled[MISSING_LEFT][array[LEFT] == LEAF] = 0
    # np.save copies by fields, into a buffer that is not cleared in between.
    layout.write_array_header_1_0(buffer, layout.header_data_from_array_1_0(settled))
    buffer.write(settled.view(np.uint8).tobytes())
    return buffer.getvalue()


def _write_archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            info = ZipInfo(name, EPOCH)
            info.create_system, info.external_attr, info.compress_type = UNIX, MODE, ZIP_DEFLATED
            archive.writestr(info, content, compresslevel=LEVEL)
    return buffer.getvalue()
