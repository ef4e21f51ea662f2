"""Which runs of a folder belong to which sweep: the document ``sweep.json`` in the folder.

Several sweeps share the runs of a folder, so the runs of each are listed by their run id, the hash of the
configuration. The document has a digest of its content (storage/documents.py), and this content::

    {
      "format": 1,
      "sweeps": {
        "exp3_prime": {
          "about": "the prime: p = 23, 47, 59, 97",
          "fixed": {"name": "boundaries", "task.kind": "modular_addition", "steps": 50000, "seed": 0, ...},
          "runs": {
            "0123456789": {"directory": "boundaries-0123456789", "settings": {"task.p": 23}, "failure": null},
            ...
          },
          "impossible": [{"settings": {"task.p": 1}, "why": "task.p=1: must be an integer from 3 to 1000"}]
        }
      }
    }

``fixed`` contains the settings with the same value in all runs, by dotted key, and ``settings`` those that vary; both
together are the configuration of a run. ``directory`` is the run directory within the folder; it exists once the run
has begun. ``failure`` is the reason why the last attempt to train the run failed; it is null for runs that were not
tried yet, and for those that were trained, including those that diverged, as their own status says. A sweep that is
repeated with other values of its axes keeps the runs that it had.
"""

import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from grokinterp.errors import ConfigError, RunDirectoryError, RunInUse
from grokinterp.storage import write_atomic
from grokinterp.storage.documents import encode_sealed, read_sealed
from grokinterp.storage.lock import lock_file

CONTENTS = "sweep.json"
FORMAT = 1

WAIT = 10.0
"""Seconds to wait for another process that changes the document, which takes milliseconds."""

ABSENT = "absent"
"""The value of a setting that a run does not have, because its task or model is of another kind."""


class Member(NamedTuple):
    """A run of a sweep: its directory within the folder, its complete settings, and why it failed, if it did."""

    directory: str
    settings: dict[str, Any]
    failure: str | None = None


class Listed(NamedTuple):
    """A sweep as listed in a folder: its description, its runs by run id, and impossible combinations of values."""

    about: str
    runs: dict[str, Member]
    impossible: list[dict[str, Any]]

    @property
    def fixed(self) -> dict[str, Any]:
        """The settings with the same value in all runs."""
        return common([run.settings for run in self.runs.values()])


def sweeps_in(root: Path) -> dict[str, Listed]:
    """Return the sweeps of a folder by name, in the order in which they were first run; empty without a document.

    Raises:
        RunDirectoryError: the document cannot be read.
    """
    try:
        content = read_sealed(root / CONTENTS)
        if content.get("format") != FORMAT:
            raise ValueError(f"has format {content.get('format')}; this version reads format {FORMAT}")
        return {name: decoded(values) for name, values in content["sweeps"].items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RunDirectoryError(root, f"{CONTENTS} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = error if isinstance(error, ValueError) else "has another structure"
        raise RunDirectoryError(root, f"{CONTENTS}: {why}; if it is deleted, each sweep lists its runs again") from None


def list_sweep(root: Path, name: str, sweep: Listed) -> None:
    """List a sweep in the document of its folder, together with the runs that it had before.

    Raises:
        ConfigError: a sweep of this name has other values of settings that neither of the two varies.
        RunDirectoryError: the document cannot be read, or another process keeps it.
        WriteError: it cannot be written.
    """
    with kept(root):
        there = sweeps_in(root).get(name)
        if there is not None:
            require_same(root, name, there, sweep)
            sweep = joined(there, sweep)
        put_sweep(root, name, sweep)


def put_sweep(root: Path, name: str, sweep: Listed) -> None:
    """Replace what the document of a folder, whose lock this process holds, says of a sweep."""
    there = sweeps_in(root)
    if there.get(name) != sweep:
        write(root, {**there, name: sweep})


def list_failures(root: Path, name: str, failures: Mapping[str, str | None]) -> None:
    """Record the reasons for failures of runs of a sweep by run id; None for runs that did not fail."""
    with kept(root):
        there = sweeps_in(root)
        if sweep := there.get(name):
            runs = {key: run._replace(failure=failures.get(key, run.failure)) for key, run in sweep.runs.items()}
            write(root, {**there, name: sweep._replace(runs=runs)})


@contextmanager
def kept(root: Path) -> Generator[None]:
    """Keep other processes from changing the document inside the block. Raises RunInUse after ten seconds."""
    with ExitStack() as held:
        end = time.monotonic() + WAIT
        while True:
            try:
                held.enter_context(lock_file(root / "lock"))
                break
            except RunInUse:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        yield


def require_same(root: Path, name: str, there: Listed, here: Listed) -> None:
    """Raise ConfigError unless the settings that neither sweep varies agree."""
    before, now = there.fixed, here.fixed
    odd = {key: (before[key], now[key]) for key in before.keys() & now.keys() if before[key] != now[key]}
    if odd:
        listed = ", ".join(f"{key}={old} there, {new} here" for key, (old, new) in sorted(odd.items()))
        raise ConfigError("name", name, f"{root} contains a sweep of this name with {listed}; choose another --name")


def joined(there: Listed, here: Listed) -> Listed:
    """Return a sweep with the runs of both; of runs in both, the failure is that of the earlier."""
    runs = there.runs | {key: run for key, run in here.runs.items() if key not in there.runs}
    impossible = there.impossible + [one for one in here.impossible if one not in there.impossible]
    return Listed(here.about, runs, impossible)


def common(configurations: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the settings with the same value in all configurations.

    >>> common([{"steps": 9, "seed": 0}, {"steps": 9, "seed": 1}])
    {'steps': 9}
    """
    first, *others = configurations
    return {key: value for key, value in first.items() if all(one.get(key, ABSENT) == value for one in others)}


def write(root: Path, sweeps: Mapping[str, Listed]) -> None:
    """Replace the document. Raises WriteError if it cannot be written."""
    content = {"format": FORMAT, "sweeps": {name: encoded(sweep) for name, sweep in sweeps.items()}}
    write_atomic(root / CONTENTS, encode_sealed(content), replace=True)


def encoded(sweep: Listed) -> dict[str, Any]:
    """Return a sweep as JSON values, with the settings that all runs share stated once."""
    fixed = sweep.fixed
    runs = {
        key: {
            "directory": run.directory,
            "settings": {name: value for name, value in run.settings.items() if name not in fixed},
            "failure": run.failure,
        }
        for key, run in sweep.runs.items()
    }
    return {"about": sweep.about, "fixed": fixed, "runs": runs, "impossible": sweep.impossible}


def decoded(values: Mapping[str, Any]) -> Listed:
    """Return a sweep from its JSON values. Raises KeyError, TypeError or AttributeError if the structure differs."""
    fixed = dict(values["fixed"])
    runs = {
        str(key): Member(str(run["directory"]), {**fixed, **run["settings"]}, run["failure"])
        for key, run in values["runs"].items()
    }
    return Listed(str(values["about"]), runs, list(values["impossible"]))
