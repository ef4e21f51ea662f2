"""Inject faults into runs and tabulate the outcomes: ``python -m benchmarks.reliability`` writes docs/reliability.md.

One file per family of faults. A trial injects one fault, reads the run with the public readers, and compares every
number with that of the intact run.
"""
