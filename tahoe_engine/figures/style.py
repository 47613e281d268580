"""How figures look: colours that the colour-blind can tell apart, one typeface, no mathematics in names."""

from __future__ import annotations

from typing import Any, Final

# Okabe & Ito, "Color Universal Design" (2008); the yellow is left out, since it is too pale on white.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")  # so that no meaning hangs on a colour alone
LINES: Final = ("-", "--", "-.", ":")
OURS: Final = COLOURS[0]
OTHER: Final = COLOURS[1]
BASELINE: Final = "#555555"
FAINT: Final = "#BBBBBB"
SEQUENTIAL: Final = "cividis_r"  # dark is much; made for the colour-blind (Nuñez, Anderton & Renslow 2018)
SHARES: Final = "Blues"  # likewise, and nothing is white
FONT: Final = "DejaVu Sans"  # comes with matplotlib: the same everywhere

STYLE: Final[dict[str, Any]] = {
    "font.family": [FONT],
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.use_mathtext": False,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "text.usetex": False,
    "svg.fonttype": "none",  # text stays text: it can be searched and read aloud
    "svg.hashsalt": "tahoe-engine",  # the ids in a drawing come of it, not of chance
    "text.hinting": "none",  # letters are as wide where they are placed as where they are drawn
    "figure.dpi": 150.0,
    "figure.constrained_layout.w_pad": 0.08,
    "savefig.dpi": 150.0,
    "savefig.facecolor": "white",
}
