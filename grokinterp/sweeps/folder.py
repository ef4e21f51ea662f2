"""The folder of a sweep: one process at a time trains into it, and damaged runs are left out of its outcomes."""

from collections.abc import Generator, Hashable, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from grokinterp.errors import GrokinterpError, RunDirectoryError
from grokinterp.storage.atomic import is_writable
from grokinterp.storage.lock import lock_file
from grokinterp.sweeps.outcome import measured

Name = TypeVar("Name", bound=Hashable)


@contextmanager
def held(folder: Path) -> Generator[None]:
    """Hold the right to train into a folder, which is created if necessary, while the block runs.

    In a folder where this process cannot write, finished runs can be read without that right.

    Raises:
        RunDirectoryError: the folder cannot be created, or another process, which the message names, is using it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunDirectoryError(folder, f"cannot be created: {error.strerror}") from error
    with lock_file(folder / "lock") if is_writable(folder) else nullcontext():
        yield


def outcomes(runs: Mapping[Name, Path], *, patience: int) -> tuple[dict[Name, dict[str, Any]], dict[Name, str]]:
    """Return the outcome of every run, and the reason for every run that cannot be read.

    Args:
        runs: the run directories.
        patience: evaluations without a lower held-out loss after which early stopping would end a run.
    """
    found, damaged = {}, {}
    for name, path in runs.items():
        try:
            found[name] = measured(path, patience=patience)
        except GrokinterpError as error:
            damaged[name] = str(error)
    return found, damaged
