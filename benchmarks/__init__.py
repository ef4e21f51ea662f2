"""What is measured, against what, and how: ``python -m benchmarks`` writes RESULTS.md.

Everything compared runs in one process, taking turns, and after its results were checked to be equal.
"""
