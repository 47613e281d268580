"""Where figures are drawn: the same bytes each time, without a display or a window."""

from __future__ import annotations

import io
import textwrap
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import ConfigError
from tahoe_engine.figures.style import BASELINE, STYLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LETTERS: Final = 17.0  # of a caption on an inch
PLACES: Final = 6  # of a position, as a share of the sheet: far below what is seen
_DRAWING: Final = RLock()  # matplotlib's settings belong to the whole process


def load_matplotlib() -> Any:  # noqa: ANN401 - a module
    """Import the plotting library. Drawing does not depend on the settings it finds in the home folder.

    Returns
    -------
    module
        ``matplotlib``.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    with _DRAWING:
        try:
            import matplotlib as mpl
            import matplotlib.font_manager
        except ImportError:
            raise ConfigError(
                "figures need matplotlib, which is not installed: pip install 'tahoe-engine[ml]'"
            ) from None
    return mpl


def draw_sheet(
    name: str, paint: Callable[[Figure], None], *, size: tuple[float, float], title: str, caption: str
) -> dict[str, bytes]:
    """Draw one figure, as a drawing and as a picture.

    Parameters
    ----------
    name : str
        Of the files, without ending.
    paint : callable
        Draws on the empty figure. All names it is given are clean.
    size : tuple of float
        Width and height in inches.
    title, caption : str
        Above and below; the caption is broken into lines.

    Returns
    -------
    dict of str to bytes
        ``NAME.svg`` and ``NAME.png``: the same bytes for the same input and the same matplotlib.
    """
    with _DRAWING:
        mpl = load_matplotlib()
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE)
            from matplotlib.figure import Figure

            figure = Figure(figsize=size, layout="constrained")
            paint(figure)
            figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
            lines = textwrap.wrap(caption, max(40, int(LETTERS * size[0])))
            figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=7.5, color=BASELINE)
            figure.draw_without_rendering()  # places everything, once for both files
            figure.set_layout_engine(None)  # not "none", which would place all of it again for each file
            for axes in figure.axes:
                # The solver goes through its constraints in the order of their addresses: the last bits differ.
                left, bottom, width, height = (round(edge, PLACES) for edge in axes.get_position(original=True).bounds)
                axes.set_position((left, bottom, width, height))
            told = {"Title": title, "Description": caption}
            return {f"{name}.{kind}": _save(figure, kind, told) for kind in ("svg", "png")}


def lay_panels(figure: Figure, n: int, columns: int) -> list[Axes]:
    """Give a figure so many panels, row by row.

    Parameters
    ----------
    figure : Figure
        Empty.
    n : int
        Panels.
    columns : int
        Panels side by side, at most.

    Returns
    -------
    list of Axes
        In order of reading.
    """
    columns = min(n, columns)
    grid = figure.add_gridspec(-(-n // columns), columns)
    return [figure.add_subplot(grid[i // columns, i % columns]) for i in range(n)]


def name_legend(axes: Axes, names: list[str], **options: Any) -> None:  # noqa: ANN401 - the library's own
    """Give what was drawn with a label ``0``, ``1``, … these names.

    The library leaves out whatever has a name that begins with an underscore; so names are set afterwards.

    Parameters
    ----------
    axes : Axes
        With labelled artists.
    names : list of str
        Clean, by number.
    **options
        Of the legend.
    """
    handles, labels = axes.get_legend_handles_labels()
    legend = axes.legend(handles, labels, **options)
    for text in legend.get_texts():
        text.set_text(names[int(text.get_text())])


def _save(figure: Figure, kind: str, told: dict[str, str]) -> bytes:
    # Neither a date nor the version of the library: what does not change the figure does not change the file.
    silent = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}[kind]
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata={**told, **silent})
    return buffer.getvalue()
