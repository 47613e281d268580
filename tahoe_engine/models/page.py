"""The card of a task for people: what was asked, who was tested, what it is worth, and what that stands on."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import escape_controls
from tahoe_engine.figures import Scores, find_scores
from tahoe_engine.models.caveats import count_leaks, tell_leaks, tell_limits
from tahoe_engine.models.findings import Findings, show_figure
from tahoe_engine.models.markdown import escape_text, format_value, quote_name, quote_names, write_table
from tahoe_engine.models.passages import tell_details
from tahoe_engine.models.results import tell_results
from tahoe_engine.named import BUG_COMPAT
from tahoe_engine.schema import SPLITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl


def write_page(facts: Mapping[str, Any], tables: Mapping[str, pl.DataFrame], figures: Sequence[str]) -> str:
    """Write the card.

    Parameters
    ----------
    facts : mapping
        Of the manifest of the stage: ``features``, ``mode``, ``kind``, ``targets``, ``split_by``, ``split`` (hash and
        rows), ``metric``, ``judged_on``, ``models`` (label, estimator), ``rows``, ``leaks``, ``notes``, ``versions``,
        ``needs``; and ``name``, ``task`` (as plain values), ``into``; optional ``limits``. What is missing is not told.
    tables : mapping of str to polars.DataFrame
        By name, as `tahoe_engine.schema.models` has them, without ``models/``.
    figures : sequence of str
        Names of the files in the folder ``figures`` beside the card.

    Returns
    -------
    str
        Markdown. Names and sentences from data are escaped.

    Examples
    --------
    >>> page = write_page({"name": "first", "targets": ["delta_mean"], "kind": "regression"}, {}, [])
    >>> page.splitlines()[0]
    '# Models: first'
    """
    task = facts.get("task", {})
    scores = Scores(tables.get("metrics"), facts.get("metric", ""), facts.get("judged_on", SPLITS[-1]))
    scores = scores if scores.metric else find_scores(tables)
    found = Findings(tables, scores, tuple(figures), find_baselines(facts))
    lines = [f"# Models: {escape_text(str(facts.get('name', '')))}", ""]
    lines += [escape_text(task["description"]), ""] if task.get("description") else []
    lines += tell_short(facts, found)
    lines += tell_question(facts)
    lines += tell_split(facts, found)
    lines += tell_results(found)
    lines += tell_leaks(facts, found)
    lines += tell_details(found)
    lines += tell_limits(facts, found)
    lines += tell_commands(facts)
    lines += show_rest(found, lines)
    return "\n".join(lines).rstrip() + "\n"


def find_baselines(facts: Mapping[str, Any]) -> frozenset[str]:
    """Name the models that look at no feature.

    Parameters
    ----------
    facts : mapping
        As `write_page` takes them.

    Returns
    -------
    frozenset of str
        Labels.
    """
    from tahoe_engine.models.task import BASELINES

    return frozenset(row["model"] for row in facts.get("models", ()) if row.get("estimator") in BASELINES)


def tell_short(facts: Mapping[str, Any], found: Findings) -> list[str]:
    """Say what matters in a few lines.

    Parameters
    ----------
    facts, found
        As `write_page` has them.

    Returns
    -------
    list of str
        Lines.
    """
    told = []
    if facts.get("mode") == BUG_COMPAT:
        told.append("**As published, mistakes and all** (bug-compat): the numbers are for comparison, not for use.")
    if facts.get("leaks"):
        told.append(f"**The features leak** ({count_leaks(facts['leaks'])}): no number here is a measure of skill.")
    told.append(found.tell_winners())
    best = found.best() if found.scores.split in SPLITS else None
    number = found.scores.find(best) if best else None
    if best and number is not None:
        told.append(
            f"Best on {quote_name(found.scores.split)}: {quote_name(best)}, {quote_name(found.scores.metric)} "
            f"{format_value(number.value)}; the best that looks at no feature: {format_value(number.baseline)}. "
            "It was picked on these very rows: expect a little less of it."
        )
        told.append(found.tell_disagreement(best))
    told += [found.tell_best_fold()] if found.scores.split not in SPLITS else []
    return ["## In short", "", *(f"- {line}" for line in told if line), ""]


def tell_question(facts: Mapping[str, Any]) -> list[str]:
    """Say what was asked.

    Parameters
    ----------
    facts : mapping
        As `write_page` takes them.

    Returns
    -------
    list of str
        Lines.
    """
    task = facts.get("task", {})
    told = [("to be predicted", quote_names(facts.get("targets", ())) + f" ({facts.get('kind', 'of some kind')})")]
    told += [("features", quote_name(str(facts["features"])))] if "features" in facts else []
    for name, blocks in task.get("sets", {}).items():
        told.append((f"set {quote_name(name)}", quote_names(blocks)))
    told += [("models", quote_names(row["model"] for row in facts["models"]))] if facts.get("models") else []
    told += [("mode", quote_name(facts["mode"]))] if "mode" in facts else []
    told += [("judged by", quote_name(facts["metric"]))] if facts.get("metric") else []
    told += [("seed", str(task["seed"]))] if "seed" in task else []
    return ["## What was asked", "", *write_table(("what", "answer"), told)]


def tell_split(facts: Mapping[str, Any], found: Findings) -> list[str]:
    """Say who was tested.

    Parameters
    ----------
    facts, found
        As `write_page` has them.

    Returns
    -------
    list of str
        Lines.
    """
    by = facts.get("split_by", "")
    if not by:
        return []
    if by == "rows":
        told = (
            "Rows were split one by one: a test row may come from the same well, drug, line or gene as training rows. "
            "The numbers are about more rows of the same kind, **not about anything new**."
        )
    else:
        told = (
            f"The split is by {quote_name(by)}: rows that share it are all on one side, so that each test row is about "
            "one that no model was trained on. Intervals and tests resample these groups, not rows."
        )
    lines = ["## Who was tested", "", told, ""]
    split = facts.get("split", {})
    rows = [(quote_name(name), f"{n:,}") for name, n in split.get("rows", {}).items()]
    lines += write_table(("split", " rows of the features"), rows)
    account = facts.get("rows", {})
    if account.get("filtered"):
        lines += [f"Of {account['in']:,} rows {account['filtered']:,} have no target and were left out.", ""]
    if found.n_groups() is not None:
        lines += [f"Groups on {quote_name(found.scores.split)}: {found.n_groups():,}.", ""]
    return lines


def tell_commands(facts: Mapping[str, Any]) -> list[str]:
    """Say how to get the same again.

    Parameters
    ----------
    facts : mapping
        As `write_page` takes them.

    Returns
    -------
    list of str
        Lines.
    """
    into = shlex.quote(escape_controls(str(facts.get("into", "RUN"))))
    compat = facts.get("mode") == BUG_COMPAT
    name = str(facts.get("name", "NAME"))
    task = shlex.quote(escape_controls(name.removesuffix(f"-{BUG_COMPAT}") if compat else name))
    mode = f" --mode {BUG_COMPAT}" if compat else ""
    leaks = " --allow-leaks" if facts.get("leaks") else ""
    commands = [f"tahoe train --into {into} --task {task}{mode}{leaks}"]
    if not facts.get("task", {}).get("compare"):
        commands.append(f"tahoe predict --into {into} --task {task}{mode}   # from the stored models, bit for bit")
    commands.append(f"tahoe verify {into}")
    fence = "`" * max(3, 1 + max(len(run) for run in ["", *re.findall("`+", "".join(commands))]))
    lines = ["## How to get the same again", "", f"{fence}sh", *commands, fence, ""]
    told = [(quote_name(str(key)), quote_name(str(value))) for key, value in facts.get("versions", {}).items()]
    told += [
        (f"digest of {quote_name(key)}", quote_name(str(value), 80)) for key, value in facts.get("needs", {}).items()
    ]
    told += (
        [("hash of the split", quote_name(str(facts["split"]["hash"]), 80))] if "hash" in facts.get("split", {}) else []
    )
    return lines + write_table(("what", "which"), told)


def show_rest(found: Findings, lines: Sequence[str]) -> list[str]:
    """Show the figures that no passage has shown.

    Parameters
    ----------
    found : Findings
        With the figures.
    lines : sequence of str
        Of the card so far.

    Returns
    -------
    list of str
        Lines.
    """
    so_far = "\n".join(lines)
    stems = dict.fromkeys(name.rpartition(".")[0] for name in found.figures)
    rest = [line for stem in stems if f"(figures/{stem}." not in so_far for line in show_figure(found, stem, stem)]
    return ["## More figures", "", *rest] if rest else []
