"""Figures of tables: the only package that knows the plotting library. Knows neither models nor runs."""

from tahoe_engine.figures.draw import draw_figures
from tahoe_engine.figures.judged import Judged

__all__ = ["Judged", "draw_figures"]
