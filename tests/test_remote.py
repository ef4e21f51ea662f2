"""Functions in a process of their own."""

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from grokinterp.errors import ConfigError, NotDefined
from grokinterp.remote import Remote


def table_of(*entries: str) -> Callable[..., object]:
    """Return a function of several behaviors, by name."""
    made = {
        "where": os.getpid,
        "given": lambda: entries,
        "not defined": lambda: not_defined(),
        "refused": lambda: refused(),
        "warns": lambda: warnings.warn("too close", stacklevel=1),
        "not sendable": lambda: lambda: 0,
        "dies": lambda: os._exit(3),
    }
    return lambda name: made[name]()


def not_defined() -> None:
    raise NotDefined("coset_scores", "C53 has no subgroups")


def refused() -> None:
    raise ConfigError("every", 0, "must be an integer from 1")


unnamed = lambda: 0  # noqa: E731 - it has no name by which another process finds it


@pytest.fixture(scope="module")
def remote():
    with Remote(table_of, "a", "b") as remote:
        yield remote


def test_it_computes_in_another_process_with_what_it_was_made_from(remote):
    assert remote("where") != os.getpid()
    assert remote("given") == ("a", "b")


def test_errors_arrive_as_they_are(remote):
    with pytest.raises(NotDefined, match="C53 has no subgroups") as caught:
        remote("not defined")
    assert caught.value.why == "C53 has no subgroups"
    with pytest.raises(ConfigError, match="every=0: must be an integer from 1"):
        remote("refused")
    with pytest.raises(KeyError, match="unknown"):
        remote("unknown")


def test_warnings_and_values_that_cannot_be_sent_are_reported(remote):
    with pytest.warns(UserWarning, match="too close"):
        remote("warns")
    with pytest.raises(TypeError, match="pickle"):
        remote("not sendable")
    with pytest.raises(TypeError, match="pickle"):
        remote(unnamed)
    assert remote("given") == ("a", "b")


def test_a_process_that_has_ended_is_named():
    with Remote(table_of) as remote:
        for _ in range(2):
            with pytest.raises(ConnectionError, match="has ended"):
                remote("dies")
    with pytest.raises(ConfigError):
        Remote(refused)


SCRIPT = """
from operator import attrgetter
import os, signal
from grokinterp.remote import Remote
print("begun", flush=True)
remote = Remote(attrgetter, "real")
print(remote(3), remote._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_script_is_not_run_again_and_its_death_ends_the_process(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    begun, numbers = done.stdout.splitlines()
    value, pid = numbers.split()
    assert (done.returncode, begun, value, done.stderr) == (-signal.SIGKILL, "begun", "3", "")
    until = time.monotonic() + 60
    while is_running(int(pid)) and time.monotonic() < until:
        time.sleep(0.01)
    assert not is_running(int(pid))


def is_running(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
