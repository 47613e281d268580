"""The stage `groups`: exact moments of every gene in every group of cells."""
