from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge, SGDClassifier

import stored_models
from stored_models import TRUSTED, fit, make_models, make_rows
from tahoe_engine.models.store import decode_model, encode_model


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
        "import stored_models\n"
        "from tahoe_engine.models.store import encode_model\n"
        "for name in ('forest', 'boosted', 'scaled'):\n"
        "    print(hashlib.sha256(encode_model(stored_models.fit(name))).hexdigest())\n"
    )
    told = subprocess.run(
        [sys.executable, str(script), str(Path(stored_models.__file__).parent)],
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
