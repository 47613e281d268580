"""Figures of tables: the only package that knows the plotting library."""
