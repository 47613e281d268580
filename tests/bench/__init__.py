"""Benchmarks: this engine beside what a user would pick instead, on the same shards in one run."""
