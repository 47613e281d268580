from __future__ import annotations

from typing import Any

import pytest

from tahoe_engine.cells.manifests import count_rows, describe_cells, describe_quarantine
from tahoe_engine.errors import ShardError
from tahoe_engine.run.manifest import encode_manifest


def receipt(
    rows_in: int, kept: int, filtered: dict[str, int], rejected: dict[str, int] | None = None
) -> dict[str, Any]:
    return {
        "rows_in": rows_in,
        "kept": kept,
        "filtered": filtered,
        "rejected": rejected or {},
        "warnings": {"W_EMPTY_CELL": 1},
        "extra_columns": ["x"],
        "absent_columns": [],
        "input_sha256": None,
        "cells": {"rows": kept, "size": 9, "sha256": "s", "digest": "d"},
    }


BAD = describe_quarantine(ShardError("c", 1, 2, "E_TYPE", "why"), 5)
UNKNOWN = describe_quarantine(ShardError("d", None, None, "E_FOOTER", "why"), None)


def test_rows_in_are_kept_filtered_rejected_or_quarantined() -> None:
    receipts = {"a": receipt(10, 4, {"drug": 6}), "b": receipt(5, 3, {}, {"E_NONFINITE": 2})}
    assert count_rows(receipts, [BAD, UNKNOWN]) == {"in": 20, "kept": 7, "filtered": 6, "rejected": 2, "quarantined": 5}


@pytest.mark.parametrize("wrong", [receipt(10, 4, {"drug": 5}), {**receipt(4, 4, {}), "cells": {"rows": 3}}])
def test_rows_that_do_not_add_up_are_a_bug(wrong: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="do not add up"):
        count_rows({"a": wrong}, [])


def test_the_order_of_completion_does_not_show() -> None:
    receipts = {name: receipt(10, 10, {}) for name in "ab"}
    semantic = {"settings": {"cells": {"stats": "summary"}}, "core": "1", "metadata": {}}
    inputs = {name: {"size": 1} for name in "abcd"}
    first = describe_cells(semantic, inputs, receipts, quarantined=[BAD, UNKNOWN], wanted={}, tables=[])
    turned = describe_cells(
        semantic,
        dict(reversed(inputs.items())),
        dict(reversed(receipts.items())),
        quarantined=[UNKNOWN, BAD],
        wanted={},
        tables=[],
    )
    assert encode_manifest(first) == encode_manifest(turned)
    assert first["tokens_checked"] is False
    assert first["warnings"] == {"W_EMPTY_CELL": 2}
    assert first["extra_columns"] == {"x": 2}
    assert first["quarantined_by_code"] == {"E_FOOTER": 1, "E_TYPE": 1}
