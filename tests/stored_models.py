"""Fitted models for tests of how they are stored, and files of models with something else in them."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from scipy.sparse import csr_array
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Ridge, SGDClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from xgboost import XGBRegressor

from tahoe_engine.models.catalogue import TREES, XGBOOST

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
