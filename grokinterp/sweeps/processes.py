"""Where the processes of a league come from, what becomes of them, and how they are stopped."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from typing import Any


def processes_of(module: str) -> Any:
    """Where processes come from: on Linux from one that has imported the module, once, and lives as long as this one.

    Importing takes longer than a short run. Elsewhere it is not safe to fork what has loaded so much.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    # It takes modules from where this process does, not from the current folder; what Ctrl-C stops is this process.
    places = os.pathsep.join(path or os.getcwd() for path in sys.path)
    resource_tracker.ensure_running()  # which would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with changed_environment(PYTHONSAFEPATH="1", PYTHONPATH=places):
            forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


@contextmanager
def changed_environment(**variables: str) -> Generator[None, None, None]:
    """Other environment variables for processes that are started inside the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ |= variables
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def outcome_of(process: Any, answer: Connection) -> str | None:
    """What the process said, or how it ended without a word, once it has ended."""
    try:
        said = answer.recv()
    except EOFError:
        process.join()
        said = f"its process ended with code {process.exitcode}"
    process.join()
    answer.close()
    return said


def stop(running: Mapping[Connection, Any]) -> None:
    """Ask all processes to save their state and stop, and wait until they have."""
    for process in running.values():
        process.terminate()
    for answer, process in running.items():
        outcome_of(process, answer)
