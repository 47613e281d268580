"""What is looked at in the file of a model before anything in it is made: types, sizes, indices that C code believes.

skops makes no object of a type that it was not told to trust, and reads no pickle. It does not bound what is unpacked,
takes older forms of its own files, and lets a trusted type stand where a list is expected: here only the forms that
`tahoe_engine.models.canonical` writes are let through. Trees are checked since scikit-learn follows their indices
without looking (scikit-learn#34558); of libsvm and XGBoost models the sha256 in the card vouches for what is inside.
"""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any, Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

from tahoe_engine.errors import BadDataError, escape_controls
from tahoe_engine.models.canonical import CONTENT, FILE, IDENTITY, LOADER, SCHEMA, walk_nodes

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np
    from numpy.typing import NDArray

TREE: Final = "sklearn.tree._tree.Tree"
SPARSE: Final = ("scipy.sparse._csr.csr_array", "scipy.sparse._csr.csr_matrix")
BUILT_IN: Final = {
    "JsonNode": "str",
    "DictNode": "dict",
    "ListNode": "list",
    "TupleNode": "tuple",
    "SetNode": "set",
    "SliceNode": "slice",
    "BytesNode": "bytes",
    "BytearrayNode": "bytearray",
}
PROTOCOL: Final = 2  # of skops; older ones have loaders of their own
MEMBER: Final = re.compile(r"[1-9][0-9]{0,8}\.(npy|npz|bin)")
SPARSE_MEMBERS: Final = {"indices.npy", "indptr.npy", "format.npy", "shape.npy", "data.npy", "_is_array.npy"}
MOST_MEMBERS: Final = 1_000_000
MOST_BYTES: Final = 1 << 34
FREE_BYTES: Final = 1 << 26  # that may be unpacked of a file, however small it is
MOST_TIMES: Final = 200  # a file may unpack to, beyond these
UNTRUSTED_SHOWN: Final = 8


def audit_model(content: bytes, trusted: Collection[str]) -> None:
    """Refuse a file of skops that is not one of ours.

    Parameters
    ----------
    content : bytes
        Of the file.
    trusted : collection of str
        Types it may have besides scikit-learn's own.

    Raises
    ------
    BadDataError
        If it has other types.
    ValueError, KeyError, TypeError, zipfile.BadZipFile
        If it is damaged, or made to look like a model.
    """
    with ZipFile(io.BytesIO(content)) as archive:
        sizes = _require_small(archive, len(content))
        schema = json.loads(archive.read(SCHEMA))
        if schema.get("protocol") is not PROTOCOL:
            raise ValueError("another protocol of skops")
        nodes = list(walk_nodes(schema))
        _require_trusted(nodes, trusted)
        _require_one_a_number(nodes)
        arrays = {name: _read_member(archive, name) for name in sizes if name != SCHEMA}
    for node in nodes:
        if FILE in node and node[FILE] not in arrays:
            raise ValueError(f"no member {node[FILE]!r}")
        if node[LOADER] == "TreeNode":
            _require_tree(node, arrays)


def _require_small(archive: ZipFile, n_bytes: int) -> dict[str, int]:
    """Give the sizes of the members; more than is declared is never unpacked."""
    sizes: dict[str, int] = {}
    for info in archive.infolist():
        name = info.filename
        if name in sizes or (name != SCHEMA and not MEMBER.fullmatch(name)):
            raise ValueError(f"a member {name!r}")
        if info.compress_type not in {ZIP_DEFLATED, ZIP_STORED}:
            raise ValueError("a compression that is not used here")
        sizes[name] = info.file_size
    if len(sizes) > MOST_MEMBERS or sum(sizes.values()) > min(MOST_BYTES, FREE_BYTES + MOST_TIMES * n_bytes):
        raise ValueError(f"{len(sizes)} members of {sum(sizes.values())} bytes in {n_bytes}")
    return sizes


def _require_trusted(nodes: list[dict[str, Any]], trusted: Collection[str]) -> None:
    strange = sorted({named for node in nodes if not _is_trusted(node, named := _name_type(node), trusted)})
    if strange:
        told = ", ".join(strange[:UNTRUSTED_SHOWN]) + (", …" if len(strange) > UNTRUSTED_SHOWN else "")
        raise BadDataError(
            f"the model holds what no model of this engine has: {escape_controls(told)}. It was not loaded; "
            "train it here (`tahoe train`), and take no models from others"
        )


def _name_type(node: dict[str, Any]) -> str:
    return f"{node['__module__']}.{node['__class__']}"


def _is_trusted(node: dict[str, Any], named: str, trusted: Collection[str]) -> bool:
    loader, module = node[LOADER], str(node["__module__"])
    if loader in BUILT_IN:
        return named == f"builtins.{BUILT_IN[loader]}"
    if loader == "NdArrayNode":
        return module == "numpy"
    if loader == "TypeNode":
        return module in {"builtins", "numpy"}
    if loader == "SparseMatrixNode":
        return named in SPARSE
    if loader == "TreeNode":
        return named == TREE and TREE in trusted
    return loader in {"ObjectNode", "LossNode"} and (module.startswith("sklearn.") or named in trusted)


def _require_one_a_number(nodes: list[dict[str, Any]]) -> None:
    """Refuse numbers that stand for two objects: one would be looked at and the other be made."""
    known: dict[Any, dict[str, Any]] = {}
    for node in nodes:
        if IDENTITY in node and known.setdefault(node[IDENTITY], node) != node:
            raise ValueError("two objects of one number")


def _read_member(archive: ZipFile, name: str) -> NDArray[Any] | None:
    """Read an array, once it is known to be as large as it says; None where it is none."""
    stored = archive.read(name)
    if name.endswith(".npy"):
        return _read_array(stored)
    if name.endswith(".npz"):
        _require_sparse(stored)
    return None


def _read_array(stored: bytes) -> NDArray[Any]:
    import numpy as np
    from numpy.lib import format as layout

    buffer = io.BytesIO(stored)
    version = layout.read_magic(buffer)
    read_header = {(1, 0): layout.read_array_header_1_0, (2, 0): layout.read_array_header_2_0}[version]
    shape, _, dtype = read_header(buffer)
    n_values = 1
    for size in shape:
        n_values *= int(size)
    if dtype.hasobject or min((0, *shape)) < 0 or n_values * dtype.itemsize != len(stored) - buffer.tell():
        raise ValueError("an array that is not as large as it says")
    buffer.seek(0)
    array: NDArray[Any] = np.load(buffer, allow_pickle=False)
    return array


def _require_sparse(stored: bytes) -> None:
    """Refuse a sparse matrix whose indices lead elsewhere: it goes to C code as it is."""
    from scipy.sparse import load_npz

    with ZipFile(io.BytesIO(stored)) as archive:
        infos = archive.infolist()
        strange = {info.filename for info in infos} - SPARSE_MEMBERS
        unpacked = sum(info.file_size for info in infos)
        if strange or len(infos) > len(SPARSE_MEMBERS) or unpacked > FREE_BYTES + MOST_TIMES * len(stored):
            raise ValueError("a sparse matrix with other members, or too large")
        for info in infos:
            _read_array(archive.read(info))
    matrix = load_npz(io.BytesIO(stored))
    if matrix.format != "csr":
        raise ValueError("a sparse matrix that is not by rows")
    matrix.check_format(full_check=True)


def _require_tree(node: dict[str, Any], arrays: dict[str, NDArray[Any] | None]) -> None:
    """Refuse a tree that leads elsewhere than to its own nodes and features, or in a circle."""
    stored = node[CONTENT][CONTENT]
    nodes, values = (arrays[stored[name][FILE]] for name in ("nodes", "values"))
    n_features = json.loads(node["__reduce__"]["args"][CONTENT][0][CONTENT])
    n_nodes = json.loads(stored["node_count"][CONTENT])
    if nodes is None or values is None or nodes.shape != (n_nodes,) or values.shape[:1] != (n_nodes,) or n_nodes < 1:
        raise ValueError("a tree of another size than it says")
    _require_paths(nodes, n_features)


def _require_paths(nodes: NDArray[np.void], n_features: int) -> None:
    import numpy as np

    left, right, feature = (nodes[name] for name in ("left_child", "right_child", "feature"))
    leaf = left == -1
    numbers = np.arange(len(nodes))
    for child in (left, right):
        # A child comes after its parent in every tree that scikit-learn grows, so that no walk is endless.
        if ((child <= numbers) & ~leaf).any() or (child >= len(nodes)).any():
            raise ValueError("a tree that leads out of itself")
    if (~leaf & ((feature < 0) | (feature >= n_features))).any():
        raise ValueError("a tree that asks for a feature that is not there")
