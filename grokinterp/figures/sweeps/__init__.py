"""Figures of many runs: maps over two axes, boundaries, times, and curves with the spread of the seeds."""
