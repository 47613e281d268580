from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tahoe_engine.errors import StageError
from tahoe_engine.run import Layout, list_stages, record_plan, set_aside_stages, write_manifest, write_run_manifest

if TYPE_CHECKING:
    from pathlib import Path

SEMANTIC: dict[str, Any] = {"settings": {"cells": {"min_genes": 0, "plates": ("plate4",)}}, "core": "1"}
INPUTS: dict[str, dict[str, Any]] = {"a": {"size": 1, "digest": "x"}, "b": {"size": 2, "digest": "y"}}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.make_state()
    return layout


def test_the_same_plan_has_the_same_key_and_is_accepted_again(layout: Layout) -> None:
    assert record_plan(layout, "cells", SEMANTIC, INPUTS) == record_plan(layout, "cells", SEMANTIC, INPUTS)


def test_other_settings_are_refused_and_the_difference_is_shown(layout: Layout) -> None:
    record_plan(layout, "cells", SEMANTIC, INPUTS)
    other = {"settings": {"cells": {"min_genes": 10, "plates": ["plate4"]}}, "core": "1"}
    with pytest.raises(StageError, match=r"settings\.cells\.min_genes: 0 before, 10 now") as caught:
        record_plan(layout, "cells", other, INPUTS)
    assert "plates" not in str(caught.value)


def test_changed_missing_and_new_inputs_are_refused(layout: Layout) -> None:
    record_plan(layout, "cells", SEMANTIC, INPUTS)
    with pytest.raises(StageError, match=r"input b: E_INPUT_CHANGED \(size: 2 before, 3 now\)"):
        record_plan(layout, "cells", SEMANTIC, {**INPUTS, "b": {"size": 3, "digest": "y"}})
    with pytest.raises(StageError, match="input b: not there any more"):
        record_plan(layout, "cells", SEMANTIC, {"a": INPUTS["a"]})
    with pytest.raises(StageError, match="input c: was not there before"):
        record_plan(layout, "cells", SEMANTIC, {**INPUTS, "c": INPUTS["a"]})


def test_a_quarantined_input_may_be_mended(layout: Layout) -> None:
    record_plan(layout, "cells", SEMANTIC, INPUTS)
    mended = {**INPUTS, "b": {"size": 3, "digest": "z"}}
    record_plan(layout, "cells", SEMANTIC, mended, redo={"b"})
    record_plan(layout, "cells", SEMANTIC, mended)


def test_an_input_that_had_no_identity_may_get_one(layout: Layout) -> None:
    record_plan(layout, "cells", SEMANTIC, {"a": {"size": None, "digest": None}})
    record_plan(layout, "cells", SEMANTIC, {"a": {"size": 1, "digest": "x"}})
    with pytest.raises(StageError, match="E_INPUT_CHANGED"):
        record_plan(layout, "cells", SEMANTIC, {"a": {"size": 2, "digest": "x"}})


def test_many_differences_are_cut_short(layout: Layout) -> None:
    record_plan(layout, "cells", SEMANTIC, {f"s{n}": {"size": 1} for n in range(20)})
    with pytest.raises(StageError, match="and 12 more"):
        record_plan(layout, "cells", SEMANTIC, {f"s{n}": {"size": 2} for n in range(20)})


def test_a_damaged_plan_is_said_so(layout: Layout) -> None:
    for text in ("{", "[]", "{}"):
        layout.plan("cells").write_text(text)
        with pytest.raises(StageError, match="damaged"):
            record_plan(layout, "cells", SEMANTIC, INPUTS)


def test_changed_inputs_can_be_accepted_and_what_was_published_is_withdrawn(layout: Layout) -> None:
    record_plan(layout, "cells", SEMANTIC, INPUTS)
    layout.stage("cells").mkdir()
    for name in INPUTS:
        layout.part("cells", name).write_bytes(b"part")
    write_manifest(layout, "cells", {"format_version": 1, "digest": "", "parts": []})
    write_run_manifest(layout, ["cells"])
    changed = {"a": {"size": 7, "digest": "x"}}
    record_plan(layout, "cells", SEMANTIC, changed, dependents=["cells"], accept_changed_inputs=True)
    assert list_stages(layout) == {}
    assert not layout.stage_manifest("cells").exists()
    # The part of the changed input, too: were the input to change back, it would be taken for the right one.
    assert list(layout.stage("cells").iterdir()) == []
    assert sorted(path.name for path in (layout.set_aside / "cells").glob("*.parquet")) == ["a.parquet", "b.parquet"]
    record_plan(layout, "cells", SEMANTIC, changed)


def test_accepting_inputs_accepts_no_other_settings(layout: Layout) -> None:
    record_plan(layout, "cells", SEMANTIC, INPUTS)
    with pytest.raises(StageError, match="core: "):
        record_plan(layout, "cells", {**SEMANTIC, "core": "2"}, INPUTS, accept_changed_inputs=True)


def test_parts_that_no_plan_accounts_for_are_not_taken_over(layout: Layout) -> None:
    layout.stage("cells").mkdir()
    layout.part("cells", "a").write_bytes(b"whose?")
    with pytest.raises(StageError, match="no plan of this engine"):
        record_plan(layout, "cells", SEMANTIC, INPUTS)
    set_aside_stages(layout, "cells", ["cells", "genes"])
    record_plan(layout, "cells", SEMANTIC, INPUTS)
    assert (layout.set_aside / "cells/a.parquet").read_bytes() == b"whose?"
