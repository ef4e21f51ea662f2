"""A function that is called in a process of its own.

The process imports what the function needs, and neither the script nor the notebook of this process: functions and
classes that are defined there cannot be sent. It computes on one thread, and ends when this process does.
"""

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, final

from grokinterp.errors import one_line, warn

POSSIBLE = os.name == "posix"
"""Whether a process can inherit an open connection."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class Answer(NamedTuple):
    """The answer of a remote function: its value, or its error, and the warnings that it emitted."""

    value: Any
    error: Exception | None
    warnings: list[str]


@final
class Remote:
    """A function in a process of its own: ``make(*arguments)`` returns the function there, and calls go to it.

    Tensors are not sent (they would occupy shared memory, of which there may be little): send arrays.

    >>> import operator
    >>> with Remote(operator.attrgetter, "real") as real:
    ...     real(3)
    3
    """

    def __init__(self, make: Callable[..., Callable[..., Any]], *arguments: Any) -> None:
        self._connection, theirs = Pipe()
        place = os.pathsep.join(path or os.getcwd() for path in sys.path)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from grokinterp.remote import main; main()", str(theirs.fileno())],
                env={**os.environ, **ONE_THREAD, "PYTHONPATH": place, "PYTHONSAFEPATH": "1"},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C reaches only this process
            )
        try:
            self(make, *arguments)
        except BaseException:
            self.close()
            raise

    def __call__(self, *arguments: Any) -> Any:
        """Return the value of the function, or raise its error.

        Raises:
            TypeError: an argument, or the value, cannot be sent.
            ConnectionError: its process has ended.
        """
        try:
            send(self._connection, arguments)
            answer: Answer = self._connection.recv()
        except (EOFError, OSError) as error:
            why = one_line(error) or type(error).__name__
            raise ConnectionError(f"a process that computed for this one has ended ({why})") from None
        for message in answer.warnings:
            warn(message, stacklevel=2)
        if answer.error is not None:
            raise answer.error
        return answer.value

    def close(self) -> None:
        """Stop the process, even while it computes."""
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> "Remote":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(connection: Connection) -> None:
    """Make the function of a process, and answer its calls until the other end is closed."""
    make, *given = connection.recv()
    function: Callable[..., Any] | None = None

    def made(*arguments: Any) -> None:
        nonlocal function
        function = make(*arguments)

    connection.send(answer_of(made, given))
    while function is not None:
        answer = answer_of(function, connection.recv())
        try:
            send(connection, answer)
        except TypeError as error:
            send(connection, answer._replace(value=None, error=error))


def send(connection: Connection, message: Any) -> None:
    """Send a message. Raises TypeError if it cannot be pickled, for which there are several errors."""
    try:
        connection.send(message)
    except OSError:
        raise
    except Exception as error:
        raise TypeError(one_line(error)) from None


def answer_of(function: Callable[..., Any], arguments: Any) -> Answer:
    """Return the value or the error of a call, and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        try:
            value, error = function(*arguments), None
        except Exception as raised:
            value, error = None, raised
    return Answer(value, error, [str(one.message) for one in caught])


def main() -> None:
    """Run the process: answer calls at the connection whose number is its argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        serve(Connection(int(sys.argv[1])))
    except (EOFError, OSError):  # the other end is closed
        os._exit(0)
