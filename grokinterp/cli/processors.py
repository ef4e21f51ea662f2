"""The processors of a machine that other programs use: how idle threads wait, and how many threads train.

Beside other programs, all threads that sleep when they wait are faster than a single thread (docs/busy_machine.md), so
that the number of threads, on which floating-point sums depend, is the same as on an idle machine.
"""

import os
import time
from collections.abc import Generator
from contextlib import contextmanager

from grokinterp.available import programs_running

BUSY = 0.5
"""Mean number of running programs in the last minute above which a machine counts as busy, if one runs now."""

LOOKS = 3
"""How often running programs are counted, so that a program that runs for a moment does not count."""

PAUSE = 0.005
"""Seconds between two counts."""

THREADS = {"OMP_NUM_THREADS", "MKL_NUM_THREADS"}
WAITING = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}
"""Environment variables by which the user has chosen."""


def other_programs() -> int:
    """Return the number of threads of other programs that keep computing."""
    if os.getloadavg()[0] <= BUSY:
        return 0
    found = programs_running()
    for _ in range(LOOKS - 1):
        time.sleep(PAUSE)
        found = min(found, programs_running())
    return found


def wait_passively_on_a_busy_machine() -> None:
    """Set the idle threads of PyTorch to sleep if other programs compute, unless the user has chosen otherwise.

    It must be called before PyTorch is imported. Threads that wait actively take turns with the other programs, and
    those that compute wait for them (docs/busy_machine.md).
    """
    if not os.environ.keys() & WAITING and other_programs():
        os.environ["OMP_WAIT_POLICY"] = "passive"


@contextmanager
def threads_for_training(recorded: object = None) -> Generator[None]:
    """Compute in the block with as many threads as PyTorch chooses, or as a continued run was trained with.

    Args:
        recorded: the number of threads of the run that is continued, if it is known; it is used where there are as many
            processors, unless the user has chosen otherwise.
    """
    if os.environ.keys() & THREADS:
        yield
        return
    import torch

    from grokinterp.torch_settings import threads

    processors = torch.get_num_threads()
    known = isinstance(recorded, int) and 1 <= recorded <= processors
    with threads(recorded if known else processors):
        yield
