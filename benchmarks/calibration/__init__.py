"""Calibration of the judgments: one script per family, ``python -m benchmarks.calibration.NAME [--small]``.

Each script plants cases with known answers, measures how often the rule is correct, and prints a Markdown table of
docs/formulas.md. ``--small`` runs the same code at toy size for the test suite.
"""
