"""Start, monitor, and stop the processes of a pool."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any

from grokinterp.sweeps.entry import Ended

PRELOADED = ("grokinterp.sweeps.worker", "grokinterp.training.loop", "torch._dynamo", "torch._inductor.config")
"""Modules that every process needs; PyTorch imports its own two at the first optimizer, which takes 1.5 s."""


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processes_of(*modules: str) -> Any:
    """Return a multiprocessing context whose processes start with modules already imported.

    On Linux, processes are forked from a server that imports the modules once, because importing takes longer than a
    short run; the server ends with this process. On other systems, forking is unsafe after these imports, and every
    process imports what it needs.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
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


def started(context: Any, work: Callable[..., None], *arguments: Any) -> Any:
    """Return a new process of a context that works in the background.

    It does not import the script of this program, which would run it again unless the script guards against that.
    """
    process = context.Process(target=work, args=arguments, daemon=True)
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        process.start()
    finally:
        sys.modules["__main__"] = main
    return process


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


def next_of(process: Any, answer: Connection) -> Any:
    """Return the next message of a process; after its last message, or if it ended without one, wait until it ends."""
    try:
        message = answer.recv()
    except EOFError:
        process.join()
        message = Ended(end_of(process.exitcode))
    if isinstance(message, Ended):
        process.join()
        answer.close()
    return message


def end_of(exit_code: int) -> str:
    """Return the reason why a process ended without a last message.

    >>> end_of(-9), end_of(3)
    ('the worker process was killed (SIGKILL)', 'the worker process ended with exit code 3')
    """
    if exit_code >= 0:
        return f"the worker process ended with exit code {exit_code}"
    known = -exit_code in set(signal.Signals)
    name = signal.Signals(-exit_code).name if known else f"signal {-exit_code}"
    return f"the worker process was killed ({name})"


def stop(running: Mapping[Connection, Any]) -> None:
    """Tell all processes to save their state and stop, and wait for them to end."""
    for process in running.values():
        process.terminate()
    for answer, process in running.items():
        while not isinstance(next_of(process, answer), Ended):
            pass
