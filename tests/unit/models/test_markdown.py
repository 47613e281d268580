"""Nothing in a name from data is markup, wherever it stands in a card."""

from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt

from made_cards import FACTS, make_everything
from made_judgements import HOSTILE
from tahoe_engine.models.markdown import escape_text, quote_name, write_table
from tahoe_engine.models.page import write_page


def render(page: str) -> str:
    """HTML as a reader of Markdown makes it that lets any markup through."""
    return str(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(page))


def test_hostile_names_are_nothing_but_names() -> None:
    """Whatever reads the Markdown sees no markup but ours: no element, no link, no emphasis, no broken table."""
    evil = " ".join(HOSTILE) + "\n# heading\n- item ![x](http://evil.example/x.png) __b__ <img src=x onerror=y> ~~s~~"
    leak = {"column": HOSTILE[2], "kind": HOSTILE[1], "evidence": evil, "target": "t"}
    facts = FACTS | {
        "name": evil,
        "into": "a```\nb' ; rm -rf /",
        "task": {"description": evil, "allow": list(HOSTILE), "sets": {HOSTILE[2]: list(HOSTILE)}, "models": []},
        "features": HOSTILE[2],
        "targets": list(HOSTILE),
        "split_by": HOSTILE[1],
        "models": [{"model": name, "estimator": name} for name in HOSTILE],
        "leaks": [leak],
        "notes": [evil, *HOSTILE],
        "limits": [evil],
        "versions": {HOSTILE[1]: HOSTILE[2]},
        "needs": {HOSTILE[2]: HOSTILE[1]},
    }
    tables = make_everything(list(HOSTILE), list(HOSTILE))
    figures = ["overview.svg", "points.svg", "confusion.svg", "calibration.svg", "curves.svg", "candidates.svg"]
    page = write_page(facts, tables, figures)
    assert "\x1b" not in page
    assert "\u202e" not in page
    html = render(page)
    elements = set(re.findall(r"<(\w+)", html))
    ours = {
        "h1",
        "h2",
        "h3",
        "p",
        "ul",
        "li",
        "strong",
        "code",
        "pre",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "a",
        "img",
    }
    assert elements <= ours
    assert all(link.endswith(".parquet") for link in re.findall(r'href="([^"]*)"', html))
    assert all(source.startswith("figures/") for source in re.findall(r'src="([^"]*)"', html))
    told = {"As published", "The features leak", "No model is better", "not about anything new", "It is one fold"}
    strong = re.findall(r"<strong>(.*?)</strong>", html)
    assert all(any(text.startswith(ours) for ours in told) or "equally good" in text for text in strong)
    assert len(re.findall("<h1>", html)) == 1
    assert html.count("<pre>") == 1
    for table in re.findall(r"<table>(.*?)</table>", html, flags=re.DOTALL):
        rest = re.sub(r"<code>.*?</code>", "", table)  # each name is code, and whole
        assert rest.count("`") == (2 if "evidence" in table and "kind" in table else 0)  # in the sentence of the leak
        lines = [line.count("<t") for line in rest.split("<tr>")[1:]]
        assert len({line - ("<tbody" in rest.split("<tr>")[1:][i]) for i, line in enumerate(lines)}) == 1


def test_tables_are_aligned_for_a_terminal() -> None:
    lines = write_table(("model", " n", " r2"), [("`a`", "1", "0.5"), ("`long_name`", "1,000", "0.25")])
    assert len({len(line) for line in lines[:-1]}) == 1


@pytest.mark.parametrize("name", [*HOSTILE, "`", "``", " ", "a`", "`a", "|", "\\", "a\\|b", "*"])
def test_a_quoted_name_is_read_as_code_in_text_and_in_a_table(name: str) -> None:
    text = MarkdownIt("commonmark").render(quote_name(name).replace("\\|", "|"))
    assert text.startswith("<p><code>") or quote_name(name) in ("(empty)", "(1 blanks)")
    table = render("\n".join(write_table(("a", "b"), [(quote_name(name), "x")])))
    cells = re.findall(r"<td[^>]*>(.*?)</td>", table)
    assert len(cells) == 2
    assert cells[1] == "x"


@pytest.mark.parametrize(
    "text", [*HOSTILE[:3], "# a", "- a", "+ a", "> a", "1. a", "12) a", "=== a", "&lt;b&gt;", "_a_", "a\\", "![a](b)"]
)
def test_an_escaped_text_is_read_as_it_was(text: str) -> None:
    html = render(f"- {escape_text(text)}").replace("<ul>\n<li>", "").replace("</li>\n</ul>\n", "")
    plain = html.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
    assert plain == text
