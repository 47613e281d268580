"""A file of a model that is none of ours, or damaged: nothing of it runs, and nothing reads beyond its arrays."""

from __future__ import annotations

import io
import os
import pickle
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import numpy as np
import pytest

from stored_models import TRUSTED, as_npy, change, find, fit, make_rows
from tahoe_engine.errors import BadDataError, StageError
from tahoe_engine.models.store import decode_model, encode_model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("name", "told"), [("forest", "sklearn.tree._tree.Tree"), ("boosted", "xgboost.core.Booster")])
def test_types_that_are_not_trusted_are_named_and_not_loaded(name: str, told: str) -> None:
    with pytest.raises(BadDataError, match=told):
        decode_model(encode_model(fit(name)), ())


class Hostile:
    """What a pickle would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch pwned",)


@pytest.mark.parametrize("content", [pickle.dumps(Hostile()), b"", b"PK", b"\x80\x04"])
def test_a_pickle_in_place_of_a_model_is_not_run(content: bytes, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StageError, match="damaged"):
        decode_model(content, TRUSTED)
    assert not list(tmp_path.iterdir())


def test_a_pickle_inside_an_array_is_not_run(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    hostile = as_npy(np.array([Hostile()], dtype=object))

    def plant(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        members[find(schema, "NdArrayNode")["file"]] = hostile

    with pytest.raises(StageError, match="not as large"):
        decode_model(change(encode_model(fit("ridge")), plant), TRUSTED)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("loader", "named"),
    [
        ("FunctionNode", ("os", "system")),
        ("TypeNode", ("subprocess", "Popen")),
        ("TypeNode", ("builtins", "eval")),
        ("ObjectNode", ("subprocess", "Popen")),
        ("ConstructorFromReduceNode", ("builtins", "list")),
        ("MethodNode", ("builtins", "str")),
        ("PartialNode", ("functools", "partial")),
        ("OperatorFuncNode", ("operator", "methodcaller")),
        ("ListNode", ("xgboost.core", "Booster")),
        ("DictNode", ("collections", "OrderedDict")),
        ("NdArrayNode", ("builtins", "eval")),
        ("CachedNode", ("builtins", "str")),
    ],
)
def test_what_could_call_something_is_refused(loader: str, named: tuple[str, str]) -> None:
    def plant(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        del members
        node = find(schema, "JsonNode")
        node["__module__"], node["__class__"] = named
        node["__loader__"], node["content"] = loader, {}

    with pytest.raises(BadDataError, match=r"\.".join(named)):
        decode_model(change(encode_model(fit("ridge")), plant), TRUSTED)


def test_an_array_is_not_handed_to_a_function() -> None:
    def plant(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        del members
        find(schema, "NdArrayNode")["__class__"] = "loadtxt"

    with pytest.raises(BadDataError, match=r"numpy\.loadtxt"):
        decode_model(change(encode_model(fit("ridge")), plant), TRUSTED)


def test_an_older_form_of_the_file_is_refused() -> None:
    content = change(encode_model(fit("ridge")), lambda schema, _: schema.update(protocol=0))
    with pytest.raises(StageError, match="protocol"):
        decode_model(content, TRUSTED)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-4,), }",
    ],
)
def test_an_array_that_claims_another_size_is_refused(header: str) -> None:
    claimed = b"\x93NUMPY\x01\x00" + (len(header) + 1).to_bytes(2, "little") + header.encode() + b"\n" + b"\0" * 32

    def plant(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        members[find(schema, "NdArrayNode")["file"]] = claimed

    with pytest.raises(StageError, match="not as large"):
        decode_model(change(encode_model(fit("ridge")), plant), TRUSTED)


def test_a_file_that_unpacks_to_much_more_is_refused_before_it_is_unpacked() -> None:
    def plant(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        members[find(schema, "NdArrayNode")["file"]] = b"\0" * (1 << 28)

    with pytest.raises(StageError, match=r"members of \d+ bytes"):
        decode_model(change(encode_model(fit("ridge")), plant), TRUSTED)


def test_members_that_are_none_of_ours_are_refused() -> None:
    content = change(encode_model(fit("ridge")), lambda _, members: members.update({"../escape.npy": b""}))
    with pytest.raises(StageError, match=r"escape\.npy"):
        decode_model(content, TRUSTED)


@pytest.mark.parametrize(
    ("field", "value"),
    [("left_child", 10**9), ("right_child", -7), ("left_child", 0), ("feature", 4), ("feature", -5)],
)
def test_a_tree_that_leads_elsewhere_is_refused(field: str, value: int) -> None:
    """Its indices are followed by C code that does not look."""

    def plant(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        name = find(schema, "TreeNode")["content"]["content"]["nodes"]["file"]
        nodes = np.load(io.BytesIO(members[name])).copy()
        nodes[field][0] = value
        members[name] = as_npy(nodes)

    with pytest.raises(StageError, match="a tree that"):
        decode_model(change(encode_model(fit("forest")), plant), TRUSTED)


def test_a_tree_that_claims_more_nodes_than_it_has_is_refused() -> None:
    def plant(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        del members
        find(schema, "TreeNode")["content"]["content"]["node_count"]["content"] = "100000"

    with pytest.raises(StageError, match="another size"):
        decode_model(change(encode_model(fit("forest")), plant), TRUSTED)


def test_a_tree_of_more_features_than_its_owner_checks_is_refused() -> None:
    def plant(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        del members
        find(schema, "TreeNode")["__reduce__"]["args"]["content"][0]["content"] = "400"

    with pytest.raises(StageError, match="other features"):
        decode_model(change(encode_model(fit("forest")), plant), TRUSTED)


def test_a_number_does_not_stand_for_two_objects() -> None:
    """One would be looked at and the other be made."""

    def plant(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        del members
        content = schema["content"]["content"]
        content["coef_"]["__id__"], content["n_features_in_"]["__id__"] = 1, 1

    with pytest.raises(StageError, match="one number"):
        decode_model(change(encode_model(fit("ridge")), plant), TRUSTED)


def test_a_sparse_matrix_that_leads_elsewhere_is_refused() -> None:
    def plant(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        name = find(schema, "SparseMatrixNode")["file"]
        with ZipFile(io.BytesIO(members[name])) as archive:
            inner = {one: archive.read(one) for one in archive.namelist()}
        indices = np.load(io.BytesIO(inner["indices.npy"])).copy()
        indices[0] = 10**6
        inner["indices.npy"] = as_npy(indices)
        buffer = io.BytesIO()
        with ZipFile(buffer, "w") as archive:
            for one, stored in inner.items():
                archive.writestr(one, stored)
        members[name] = buffer.getvalue()

    with pytest.raises(StageError, match="ind"):
        decode_model(change(encode_model(fit("scaled")), plant), TRUSTED)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_model_that_was_cut_is_damaged(share: float) -> None:
    content = encode_model(fit("forest"))
    with pytest.raises(StageError, match="damaged"):
        decode_model(content[: int(len(content) * share)], TRUSTED)


def test_a_changed_byte_is_noticed_or_without_effect() -> None:
    content = encode_model(fit("ridge"))
    x, _ = make_rows()
    expected = fit("ridge").predict(x).tobytes()
    for at in range(0, len(content), 29):
        damaged = bytearray(content)
        damaged[at] ^= 0x10
        try:
            model = decode_model(bytes(damaged), TRUSTED)
        except (StageError, BadDataError):
            continue
        assert model.predict(x).tobytes() == expected
