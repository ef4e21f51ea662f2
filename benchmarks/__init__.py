"""Benchmarks against published styles of code: ``python -m benchmarks`` writes RESULTS.md.

All sides of a comparison take turns, after their results were checked for equality.
"""
