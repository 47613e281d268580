"""Judges of predictions: metrics with their baseline, n and interval. Knows neither estimators nor runs."""
