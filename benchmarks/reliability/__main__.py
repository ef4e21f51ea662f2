"""Inject faults of all families: ``python -m benchmarks.reliability [--small] [--only FAMILY ...] [--out FILE]``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.reliability.families import FAMILIES, measured
from benchmarks.reliability.page import render

PAGE = Path(__file__).resolve().parents[2] / "docs/reliability.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Inject all faults, write the page, and return the number of faults that were not survived."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__)
    parser.add_argument("--small", action="store_true", help="few trials of each fault, for the test suite")
    parser.add_argument(
        "--only", nargs="+", choices=FAMILIES, default=list(FAMILIES), metavar="FAMILY", help="families"
    )
    parser.add_argument("--jobs", type=int, default=2, help="number of families measured simultaneously")
    parser.add_argument("--out", type=Path, default=PAGE, help="the file of the page")
    chosen = parser.parse_args(arguments)
    found = measured(chosen.only, small=chosen.small, jobs=chosen.jobs)
    chosen.out.write_text(render(found, describe()), encoding="utf-8")
    return sum(len(row.failures) for rows in found.values() for row in rows)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
