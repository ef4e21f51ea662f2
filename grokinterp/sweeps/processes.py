"""The processes of a pool: how they are started, how they end, and how they are stopped."""

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
    """Return the multiprocessing context that starts processes with a module already imported.

    On Linux they are forked from a server that imports the module once and ends with this process, because importing
    takes longer than a short run. Elsewhere forking after so many imports is not safe, and every process imports.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    # The server imports from the same places as this process, not from the current folder; Ctrl-C is for this process.
    places = os.pathsep.join(path or os.getcwd() for path in sys.path)
    resource_tracker.ensure_running()  # starting it later would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with changed_environment(PYTHONSAFEPATH="1", PYTHONPATH=places):
            forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


@contextmanager
def changed_environment(**variables: str) -> Generator[None, None, None]:
    """Set environment variables for the processes that are started inside the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ |= variables
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def failure_of(process: Any, answer: Connection) -> str | None:
    """Wait for a process to end and return why it failed: its answer, or its exit code without an answer."""
    try:
        failure = answer.recv()
    except EOFError:
        process.join()
        failure = f"its process ended with code {process.exitcode}"
    process.join()
    answer.close()
    return failure


def stop(running: Mapping[Connection, Any]) -> None:
    """Ask all processes to save their state and stop, and wait until they have."""
    for process in running.values():
        process.terminate()
    for answer, process in running.items():
        failure_of(process, answer)
