"""Figures have the same bytes each time, and leave no trace."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from made_judgements import make_metrics, make_points
from tahoe_engine.figures import Scores
from tahoe_engine.figures.canvas import draw_sheet, lay_panels
from tahoe_engine.figures.overview import draw_overview
from tahoe_engine.figures.points import draw_points

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    import pytest


def score(value: float) -> Scores:
    return Scores(make_metrics({"ridge": value}), "r2")


def test_figures_are_the_same_in_another_process_with_other_settings(tmp_path: Path) -> None:
    """A user's own style, another time zone and another hash seed change no byte."""
    code = (
        "import hashlib, pathlib, sys; from made_judgements import *\n"
        "from tahoe_engine.figures import draw_figures\n"
        "t = {'metrics': make_metrics({'a': .5, 'b': .1}), 'points': make_points(['a', 'b'], n=50)}\n"
        "t['confusion'] = make_confusion(['a', 'b'], ['x', 'y'])\n"
        "print(*(hashlib.sha256(c).hexdigest() for _, c in sorted(draw_figures(t).items())))\n"
        "assert 'matplotlib.pyplot' not in sys.modules, 'it has state and looks for a display'\n"
    )
    told = []
    for number, zone in enumerate(("UTC", "Asia/Tokyo")):
        home = tmp_path / str(number)
        home.mkdir()
        (home / "style").mkdir()
        (home / "style" / "matplotlibrc").write_text("font.size: 20\nlines.linewidth: 9\n")
        paths = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "c"), "XDG_CACHE_HOME": str(home / "d")}
        style = {"MATPLOTLIBRC": str(home / "style")} if number else {}
        env = {
            **paths,
            **style,
            "TZ": zone,
            "PYTHONHASHSEED": str(number),
            "PYTHONPATH": ":".join(filter(None, sys.path)),
        }
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code], env=env, capture_output=True, text=True, check=True
        )
        told.append(done.stdout.split())
    assert told[0] == told[1]
    assert len(told[0]) == 6


def read_settings() -> dict[str, object]:
    """But for the backend: who asks for it makes the library choose one."""
    import matplotlib as mpl

    return {name: mpl.rcParams[name] for name in mpl.rcParams if name != "backend"}


def test_drawing_leaves_no_trace_in_the_process() -> None:
    import matplotlib as mpl

    mpl.rcParams["font.size"] = 13.0
    try:
        before = read_settings()
        first = draw_points(make_points(["ridge", "mean"]), Scores())
        assert read_settings() == before
        mpl.rcParams["font.size"] = 7.0
        assert draw_points(make_points(["ridge", "mean"]), Scores()) == first
    finally:
        mpl.rcdefaults()


def test_files_carry_neither_date_nor_version() -> None:
    import matplotlib as mpl

    drawn = draw_overview(score(0.5))
    for content in drawn.values():
        assert b"<dc:date>" not in content
        assert b"Software" not in content
        assert f"v{mpl.__version__}".encode() not in content


def test_pictures_are_whole() -> None:
    """Every chunk of a picture has the checksum it should have."""
    content = draw_overview(score(0.5))["overview.png"]
    at, kinds = 8, []
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        kinds.append(content[at + 4 : at + 8])
        (check,) = struct.unpack(">I", content[at + 8 + length : at + 12 + length])
        assert check == zlib.crc32(content[at + 4 : at + 8 + length])
        at += 12 + length
    assert kinds[0] == b"IHDR"
    assert kinds[-1] == b"IEND"
    assert b"tIME" not in kinds


def test_the_last_bits_of_where_panels_are_placed_change_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    # The solver of the layout leaves them to chance: it orders what it solves by addresses in memory.
    def paint(figure: Figure) -> None:
        for panel in lay_panels(figure, 2, 2):
            panel.plot([0, 1], [1, 3])

    def place(figure: Figure) -> None:
        placed(figure)
        for axes in figure.axes:
            left, bottom, width, height = axes.get_position(original=True).bounds
            axes.set_position((left * (1 + 1e-14), bottom, width * (1 + 1e-14), height))

    options: dict[str, Any] = {"size": (6.0, 4.0), "title": "title", "caption": "caption"}
    before = draw_sheet("one", paint, **options)
    placed = Figure.draw_without_rendering
    monkeypatch.setattr(Figure, "draw_without_rendering", place)
    assert draw_sheet("one", paint, **options) == before
