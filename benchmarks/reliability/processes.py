"""Commands, and calls that may never return, in processes forked from a process that has imported everything."""

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from grokinterp.errors import GrokinterpError

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["benchmarks.reliability.preloaded"])

HANGS = 200.0
"""Seconds after which a process counts as hanging."""

Result = TypeVar("Result")


class Hanging(Exception):
    """A call that did not return in time, or whose process died."""


class Refusal(Exception):
    """The one-line error of a call."""


class Ended(NamedTuple):
    """The exit code of a command (minus the signal that killed it, None if it hung) and its output."""

    code: int | None
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both outputs."""
        return self.out + self.err


@dataclass(frozen=True)
class Command:
    """A running command."""

    process: Any
    folder: Path

    @property
    def pid(self) -> int:
        """The process id."""
        return int(self.process.pid)

    def send(self, number: int) -> None:
        """Send a signal, unless the command has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, seconds: float = HANGS) -> Ended:
        """Wait for the end of the command, and kill it after ``seconds``."""
        self.process.join(seconds)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
            self.process.join()
        out, err = (output(self.folder, name) for name in ("out", "err"))
        return Ended(code, *(path.read_text(errors="replace") if path.exists() else "" for path in (out, err)))


def output(folder: Path, name: str) -> Path:
    """Return the file, beside the working directory of a command, to which an output of the command is written."""
    return folder.with_name(f"{folder.name}.{name}")


def nothing() -> None:
    """Do nothing: the default preparation of a command."""


def start(
    folder: Path, *arguments: object, prepare: Callable[[], None] = nothing, encoding: str = "utf-8", wide: int = 1
) -> Command:
    """Start ``grokinterp ARGUMENTS`` in a folder, with its output in files beside the folder.

    Args:
        folder: the working directory.
        arguments: the command line.
        prepare: a module-level function that the process calls before the command, to change its own conditions.
        encoding: the encoding of its standard output.
        wide: number of PyTorch threads.
    """
    words = [str(argument) for argument in arguments]
    process = CONTEXT.Process(target=become, args=(words, folder, folder, prepare, encoding, wide))
    process.start()
    return Command(process, folder)


def run(folder: Path, *arguments: object, **conditions: Any) -> Ended:
    """Run ``grokinterp ARGUMENTS``, and return its exit code and output."""
    return start(folder, *arguments, **conditions).wait()


def become(
    words: list[str],
    folder: Path,
    outputs: Path,
    prepare: Callable[[], None] = nothing,
    encoding: str = "utf-8",
    wide: int = 1,
) -> None:
    """Run the command line in this process with its output in files beside ``outputs``, and exit as Python would."""
    import torch

    torch.set_num_threads(wide)
    os.chdir(folder)
    for name, descriptor in (("out", 1), ("err", 2)):
        os.dup2(os.open(output(outputs, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), descriptor)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    prepare()
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115 - for the rest of the process
    sys.stderr = open(2, "w", encoding=encoding, errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
    sys.argv = ["grokinterp", *words]
    os._exit(exit_code())


def exit_code() -> int:
    """Return the exit code of the command line, as the interpreter determines it."""
    from grokinterp.cli import main

    code = 1
    try:
        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        with contextlib.suppress(OSError):
            traceback.print_exc()
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:  # the interpreter prints "Exception ignored" and exits with 120
        with contextlib.suppress(OSError):
            os.write(2, f"Traceback: exception ignored at the exit: {error!r}\n".encode())
        code = 120
    return code


def call(work: Callable[..., Result], *arguments: Any, seconds: float = HANGS, gigabytes: float = 0) -> Result:
    """Call a module-level function in its own process, with limited time and address space, and return its result.

    Raises:
        Hanging: the function did not return in time, or its process died.
        Refusal: the function raised an error of the package.
        RuntimeError: the function raised another exception.
    """
    here, there = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=answer, args=(there, gigabytes, work, arguments))
    process.start()
    there.close()
    try:
        if not here.poll(seconds):
            raise Hanging(f"no answer within {seconds:g} seconds")
        raised, value = here.recv()
    except EOFError:
        process.join(5)
        raise Hanging(f"the process died with exit code {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
    if raised is not None:
        raise raised(value)
    return value


def answer(connection: Connection, gigabytes: float, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Call a function, and send its result or exception over a connection."""
    import torch

    torch.set_num_threads(1)
    if gigabytes:
        resource.setrlimit(resource.RLIMIT_AS, (address_space() + int(gigabytes * 2**30), resource.RLIM_INFINITY))
    try:
        found = (None, work(*arguments))
    except GrokinterpError as error:
        found = (Refusal, str(error))
    except Exception as error:
        found = (RuntimeError, f"{type(error).__name__}: {error}")
    connection.send(found)


def address_space() -> int:
    """Return the address space that this process uses now, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def guarded(work: Callable[..., Result], *arguments: Any) -> Result | Hanging:
    """Return the result of a call that may hang or fill the memory, or ``Hanging`` with the reason if it does."""
    try:
        return call(work, *arguments, seconds=60, gigabytes=2)
    except Hanging as error:
        return error
