"""The calibration of splits that are found by stored losses, at small size."""

import subprocess
import sys

from benchmarks.calibration.splits import Case, outcomes


def test_no_draw_is_taken_for_another_one():
    assert outcomes(Case(31, 0.3, 1, 10.0), 4)["wrong"] == 0
    assert outcomes(Case(31, 0.3, 77, 10.0), 4) == {"open": 4}
    assert outcomes(Case(31, 0.3, 1, 1.0), 4) == {"open": 4}
    assert outcomes(Case(53, 0.3, 1, 10.0, 0.9), 2) == {"found": 2}


def test_the_table_is_printed():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.calibration.splits", "--small"], capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == 5
