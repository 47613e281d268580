"""Figures of tables: the only package that knows the plotting library. Knows neither models nor runs."""

from tahoe_engine.figures.draw import draw_figures, find_scores
from tahoe_engine.figures.scores import Scores

__all__ = ["Scores", "draw_figures", "find_scores"]
