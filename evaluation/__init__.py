"""Benchmarks: data sets, metrics, the table, and scores by a process reward model (PRM)."""
