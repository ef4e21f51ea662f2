"""Start, monitor, and stop the processes of a pool."""

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
    """Return a multiprocessing context whose processes start with a module already imported.

    On Linux, processes are forked from a server that imports the module once, because importing takes longer than a
    short run; the server ends with this process. On other systems, forking is unsafe after these imports, and every
    process imports the module itself.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    # The server uses the import path of this process, not the current folder, and leaves Ctrl-C to this process.
    import_path = os.pathsep.join(path or os.getcwd() for path in sys.path)
    resource_tracker.ensure_running()  # starting it later would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with changed_environment(PYTHONSAFEPATH="1", PYTHONPATH=import_path):
            forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


@contextmanager
def changed_environment(**variables: str) -> Generator[None, None, None]:
    """Set environment variables for the processes started inside the block."""
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
    """Wait for a process to end and return the reason for its failure: its answer, or its exit code if it sent none."""
    try:
        failure = answer.recv()
    except EOFError:
        process.join()
        failure = f"the process ended with exit code {process.exitcode}"
    process.join()
    answer.close()
    return failure


def stop(running: Mapping[Connection, Any]) -> None:
    """Tell all processes to save their state and stop, and wait for them to end."""
    for process in running.values():
        process.terminate()
    for answer, process in running.items():
        failure_of(process, answer)
