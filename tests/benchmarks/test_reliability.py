"""Some faults of every family: each fault is survived or named, and none is silent."""

import pytest

from benchmarks.reliability.families import FAMILIES, measure
from benchmarks.reliability.page import render
from benchmarks.reliability.specimen import Lab

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"), small=True).prepare()


@pytest.mark.parametrize("family", FAMILIES)
def test_faults_are_survived_or_named(family, lab):
    rows = measure(family, lab.room(family))
    assert [(row.fault, *trial) for row in rows for trial in row.failures] == []
    assert all(row.trials or row.skipped for row in rows)
    assert render({family: rows}, "a machine").count("\n| ") == len(rows) + 2
