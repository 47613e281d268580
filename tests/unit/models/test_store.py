from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Ridge, SGDClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from xgboost import XGBRegressor

from tahoe_engine.errors import BadDataError, StageError
from tahoe_engine.models.catalogue import TREES, XGBOOST
from tahoe_engine.models.store import decode_model, encode_model

if TYPE_CHECKING:
    from collections.abc import Callable

TRUSTED = (*TREES, *XGBOOST)
SCHEMA = "schema.json"


def make_rows(n_columns: int = 4) -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(50, n_columns))
    return csr_array(x * (x > -0.5)), (x[:, 0] > x[:, 1]).astype(np.int64)


def make_models() -> dict[str, Any]:
    return {
        "ridge": Ridge(),
        "scaled": Pipeline([("scale", StandardScaler(with_mean=False)), ("model", SVC())]),
        "forest": RandomForestClassifier(4, random_state=1),
        "boosted": XGBRegressor(n_estimators=3, n_jobs=1),
        "sgd": SGDClassifier(loss="log_loss", random_state=0, average=True),
    }


def fit(name: str) -> Any:
    return make_models()[name].fit(*make_rows())


def change(content: bytes, edit: Callable[[dict[str, Any], dict[str, bytes]], object]) -> bytes:
    """A file of a model with something else in it."""
    with ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members.pop(SCHEMA))
    edit(schema, members)
    buffer = io.BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for name, stored in {SCHEMA: json.dumps(schema).encode(), **members}.items():
            archive.writestr(name, stored)
    return buffer.getvalue()


def find(schema: Any, loader: str) -> dict[str, Any]:
    waiting = [schema]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, dict):
            if one.get("__loader__") == loader:
                return one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
    raise AssertionError(loader)


def as_npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize("name", make_models())
def test_a_model_predicts_the_same_bits_after_it_was_stored(name: str) -> None:
    model = fit(name)
    x, _ = make_rows()
    again = decode_model(encode_model(model), TRUSTED)
    assert type(again) is type(model)
    assert again.predict(x).tobytes() == model.predict(x).tobytes()


@pytest.mark.parametrize("name", make_models())
def test_equal_models_have_equal_bytes(name: str) -> None:
    model = fit(name)
    content = encode_model(model)
    assert encode_model(fit(name)) == content
    assert encode_model(pickle.loads(pickle.dumps(model))) == content  # noqa: S301 - our own, of a line ago
    assert encode_model(decode_model(content, TRUSTED)) == content


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    script = tmp_path / "encode.py"
    script.write_text(
        "import hashlib, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "import test_store\n"
        "from tahoe_engine.models.store import encode_model\n"
        "for name in ('forest', 'boosted', 'scaled'):\n"
        "    print(hashlib.sha256(encode_model(test_store.fit(name))).hexdigest())\n"
    )
    told = subprocess.run(
        [sys.executable, str(script), str(Path(__file__).parent)],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert told == [hashlib.sha256(encode_model(fit(name))).hexdigest() for name in ("forest", "boosted", "scaled")]


def test_a_model_that_is_trained_on_ends_with_the_same_weights() -> None:
    x, y = make_rows()
    model = SGDClassifier(loss="log_loss", random_state=0, average=True)
    model.partial_fit(x, y, classes=np.array([0, 1]))
    again = decode_model(encode_model(model), ())
    for one in (model, again):
        one.partial_fit(x, 1 - y)
    assert again.coef_.tobytes() == model.coef_.tobytes()
    assert again.t_ == model.t_


def test_objects_that_are_one_stay_one() -> None:
    shared = np.arange(3.0)
    model = Ridge().fit([[0.0], [1.0]], [0.0, 1.0])
    model.one_, model.other_, model.third_ = shared, shared, shared.copy()
    again = decode_model(encode_model(model), ())
    assert again.one_ is again.other_
    assert again.one_ is not again.third_


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
