"""Errors travel between processes."""

import inspect
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grokinterp.custom.trainer import DivergedError
from grokinterp.errors import GrokinterpError
from grokinterp.interop.text_files import ForeignFileError
from grokinterp.interrupt import Stopped

VALUES: dict[str, Any] = {"path": Path("run"), "step": 3, "number": signal.SIGTERM}


def kinds(cls: type[BaseException]) -> Iterator[type[BaseException]]:
    yield cls
    for one in cls.__subclasses__():
        yield from kinds(one)


def test_every_error_keeps_its_text_and_attributes_in_another_process():
    every = [*kinds(GrokinterpError), Stopped]
    assert {ForeignFileError, DivergedError} < set(every)
    for cls in every:
        names = list(inspect.signature(cls.__init__).parameters)[1:]
        named = [] if names == ["args", "kwargs"] else names
        error = cls(*(VALUES.get(name, name) for name in named or ["text"]))
        copied = pickle.loads(pickle.dumps(error))  # noqa: S301 - written here
        assert (type(copied), str(copied), vars(copied)) == (cls, str(error), vars(error))
        assert str(error)
