"""Benchmarks: their sets, the metrics, the table, and scoring by a process reward model."""
