"""The stage ``models``: fit, tune, validate and keep; every number beside its baseline."""
