"""On a busy machine, the command line chooses how many threads train, and how idle threads wait."""

import os

import pytest
import torch

from grokinterp import available
from grokinterp.cli import processors
from grokinterp.training.directory import recorded
from tests.support.small_runs import TINY

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with four processors, without choices of the user, on which some other programs compute."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(4)

    def with_others(count: int, load: float = 4.0) -> None:
        (tmp_path / "proc").mkdir(exist_ok=True)
        (tmp_path / "proc" / "loadavg").write_text(f"{load} {load} {load} {count + 1}/300 1234\n")
        monkeypatch.setattr(available, "ROOT", tmp_path)
        monkeypatch.setattr(os, "getloadavg", lambda: (load, load, load))

    yield with_others
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("others", "load", "waiting"),
    [(0, 4.0, None), (1, 4.0, "passive"), (9, 4.0, "passive"), (2, 0.1, None)],
    ids=["alone", "beside one", "beside many", "for a moment"],
)
def test_idle_threads_sleep_beside_other_programs(machine, others, load, waiting):
    machine(others, load)
    processors.wait_passively_on_a_busy_machine()
    assert recorded(TINY, {})["waiting"] == (waiting or "default")
    assert os.environ.pop("OMP_WAIT_POLICY", None) == waiting
    with processors.threads_for_training():
        assert torch.get_num_threads() == 4


def test_a_continued_run_keeps_its_threads_where_it_can(machine):
    machine(3)
    for begun_with, threads in ((2, 2), (4, 4), (64, 4), (None, 4), ("2", 4), (0, 4)):
        with processors.threads_for_training(begun_with):
            assert torch.get_num_threads() == threads


def test_the_choice_of_the_user_counts(machine, monkeypatch):
    machine(3)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.setenv("GOMP_SPINCOUNT", "1000")
    processors.wait_passively_on_a_busy_machine()
    assert "OMP_WAIT_POLICY" not in os.environ
    with processors.threads_for_training(2):
        assert torch.get_num_threads() == 4
