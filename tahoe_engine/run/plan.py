"""The recorded plan of a stage: what would make its numbers different, and a refusal to mix two of them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import StageError, StoppedError, escape_controls
from tahoe_engine.run.manifest import FORMAT_VERSION, digest_of, encode_manifest
from tahoe_engine.run.parts import replace_file
from tahoe_engine.run.renew import set_aside_inputs, withdraw_stages

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from tahoe_engine.run.layout import Layout

SHOWN = 8  # differences printed in full
DAMAGED = "damaged; start anew with --new, or use another run folder"


def record_plan(  # noqa: PLR0913 - each is one thing a plan depends on
    layout: Layout,
    stage: str,
    semantic: Mapping[str, Any],
    inputs: Mapping[str, Mapping[str, Any]],
    *,
    dependents: Collection[str] = (),
    redo: Collection[str] = (),
    accept_changed_inputs: bool = False,
    known: str | None = None,
) -> str:
    """Record the plan of a stage, or check that it is the one recorded.

    Parameters
    ----------
    layout : Layout
        The run, held by this launch.
    stage : str
        Name of the stage.
    semantic : mapping
        Everything but the inputs that the numbers depend on: settings, versions, tables joined.
    inputs : mapping
        Identity of every input, by name.
    dependents : collection of str
        Stages that are published with this one, itself included.
    redo : collection of str
        Inputs that gave nothing so far (quarantined): they may have been mended.
    accept_changed_inputs : bool
        Take changed, new and missing inputs as they are now; what was published with the others is withdrawn.
    known : str, optional
        sha256 of the plan's file as the journal has it: a plan that was lost is written again if it is that one.

    Returns
    -------
    str
        Key of the plan, without the inputs.

    Raises
    ------
    StageError
        If the stage was started with other settings or other inputs; the message shows the differences.
    """
    plan = {"format_version": FORMAT_VERSION, "stage": stage, "semantic": dict(semantic), "inputs": dict(inputs)}
    # Through JSON and back, so that tuples and lists compare equal.
    plan = json.loads(encode_manifest(plan))
    path = layout.plan(stage)
    if path.is_file():
        recorded = read_plan(layout, stage)
        if recorded.get("format_version") != FORMAT_VERSION:
            _refuse(layout, stage, [f"format_version: {recorded.get('format_version')} before, {FORMAT_VERSION} now"])
        _refuse(layout, stage, list(_differences(recorded["semantic"], plan["semantic"])))
        changed = list(_input_differences(recorded["inputs"], plan["inputs"], redo))
        if not accept_changed_inputs:
            _refuse(layout, stage, changed, "use these again, accept them with --accept-changed-inputs, ")
        elif changed:
            # Before the plan: a crash in between leaves a stage that is not finished, never one that is stale.
            withdraw_stages(layout, dependents)
            # Also of those that changed: were they to change back, their old parts would be taken for the new ones.
            set_aside_inputs(layout, stage, _list_changed(recorded["inputs"], plan["inputs"]))
    elif any(layout.stage(stage).rglob("*.parquet")) and known != hashlib.sha256(encode_manifest(plan)).hexdigest():
        raise StageError(
            f"{layout.stage(stage)} holds parts, but no plan of this engine says what they are; use another run "
            "folder, or set them aside with --new"
        )
    replace_file(layout, path, encode_manifest(plan))
    return digest_of(plan["semantic"])


def read_plan(layout: Layout, stage: str) -> dict[str, Any]:
    """Read the recorded plan of a stage.

    Parameters
    ----------
    layout : Layout
        The run.
    stage : str
        Name of the stage.

    Returns
    -------
    dict
        With `semantic` (what the numbers depend on) and `inputs` (identity of every input, by name).

    Raises
    ------
    StageError
        If there is none, or it is damaged.
    StoppedError
        If it cannot be read for now.
    """
    path = layout.plan(stage)
    try:
        plan: Any = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise StageError(f"{layout.root}: no plan is recorded for {stage!r}") from error
    except OSError as error:
        raise StoppedError(f"{path}: cannot be read ({error.strerror}); mend that, then run again") from error
    except (ValueError, RecursionError) as error:
        raise StageError(f"{path}: {DAMAGED}") from error
    if not isinstance(plan, dict) or not all(isinstance(plan.get(part), dict) for part in ("semantic", "inputs")):
        raise StageError(f"{path}: {DAMAGED}")
    return plan


def _refuse(layout: Layout, stage: str, differences: list[str], remedy: str = "use these again, ") -> None:
    if not differences:
        return
    more = len(differences) - SHOWN
    shown = "; ".join(differences[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
    raise StageError(
        f"{layout.root}: the stage {stage!r} was started with something else: {escape_controls(shown)}. To go on, "
        f"{remedy}start anew with --new, or use another run folder"
    )


def _differences(old: Any, new: Any, name: str = "") -> Iterator[str]:  # noqa: ANN401 - any JSON value
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield f"{name}: {_show(old)} before, {_show(new)} now"


def _input_differences(old: Mapping[str, Any], new: Mapping[str, Any], redo: Collection[str]) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield f"input {name}: not there any more"
        elif name not in old:
            yield f"input {name}: was not there before"
        # An input that could not be read when the plan was made has no identity yet.
        elif old[name] != new[name] and name not in redo and any(value is not None for value in old[name].values()):
            yield f"input {name}: E_INPUT_CHANGED ({'; '.join(_differences(old[name], new[name]))})"


def _list_changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return sorted(name for name, identity in old.items() if new.get(name) != identity)


def _show(value: object) -> str:
    text = json.dumps(value)
    limit = 100
    return text if len(text) <= limit else text[:limit] + "…"
