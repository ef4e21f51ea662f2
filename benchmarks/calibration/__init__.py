"""How every judgment was calibrated: one script per family, ``python -m benchmarks.calibration.NAME [--small]``.

Each plants cases whose answer is known, measures how often the rule finds it, and prints a Markdown table; the tables
in docs/formulas.md come from here. ``--small`` runs the same code at the size that the test suite can afford.
"""
