"""The calibration of the number of different circuits, at small size."""

import subprocess
import sys

import numpy as np

from benchmarks.calibration.universality import Case, p_values, planted, random_networks, rejected, symmetry

CASE = Case("C23", (3, 3), 8)


def test_random_networks_are_seldom_rejected_and_copies_always():
    of, rng = symmetry(CASE.group), np.random.default_rng(0)
    p = [p_values(random_networks(CASE, of, rng), of, rng).p for _ in range(200)]
    assert np.mean(np.array(p) <= 0.05) <= 0.08
    assert rejected(CASE, of, 1.0, 10, rng) == 1
    assert len({row.tobytes() for row in planted(CASE, of, 1.0, rng)}) > 1


def test_the_table_is_printed():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.calibration.universality", "--small"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 4
