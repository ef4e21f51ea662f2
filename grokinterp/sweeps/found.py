"""Find the runs below a folder, at any depth, and the experiments to which each belongs."""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from grokinterp.errors import GrokinterpError, require
from grokinterp.storage.files import path_of
from grokinterp.storage.lock import is_held
from grokinterp.storage.staging import is_staging
from grokinterp.sweeps.contents import CONTENTS, Listed, sweeps_in

MARKS = {"experiment.json", "metrics.jsonl", "status.json"}
"""The files by which a run directory is recognized, even if one of them is missing."""

SOURCES = ("experiment.json", "environment.json", "status.json", "metrics.jsonl", "clock.json")
"""The files from which a run is read, in addition to its lock."""


class Found(NamedTuple):
    """A run below a folder.

    Attributes:
        directory: the run directory, relative to the folder.
        path: the run directory; None for a run that failed before it was created.
        experiments: the names of the experiments to which the run belongs, sorted.
        run_id: the run id that a sweep lists; None if no sweep lists the run.
        settings: the settings that a sweep lists, by dotted key.
        failure: the reason that a sweep lists for a failure, if any.
    """

    directory: str
    path: Path | None
    experiments: tuple[str, ...]
    run_id: str | None = None
    settings: dict[str, Any] = {}  # noqa: RUF012 - never changed
    failure: str | None = None

    @property
    def source(self) -> str:
        """A digest of the names, sizes, and modification times of the files, of the lock, and of a listed failure."""
        states: list[Any] = [self.failure]
        if self.path is not None:
            states += [is_held(self.path / "lock") is True, *(state_of(self.path / name) for name in SOURCES)]
        return hashlib.sha256(json.dumps(states).encode("ascii")).hexdigest()[:16]


class Folder(NamedTuple):
    """The runs below a folder by directory, its sweeps by the names of their experiments, and what is damaged."""

    runs: list[Found]
    sweeps: dict[str, Listed]
    damaged: dict[str, str]


def runs_below(root: str | Path) -> Folder:
    """Return the runs and sweeps of a folder and of all folders below it, also through symbolic links.

    A run that several paths lead to is returned once, by its path without links if there is one.

    A sweep of a folder below the root is named after both, ``FOLDER/SWEEP``. Runs that no sweep lists belong to the
    experiment of their folder, whose name ends in "/".

    Raises:
        ConfigError: the root is not a folder, or contains no run.
    """
    top = path_of("root", root)
    require(os.path.isdir(top), "root", top, "is not a folder" if os.path.lexists(top) else "does not exist")
    runs: dict[str, Found] = {}
    sweeps: dict[str, Listed] = {}
    damaged: dict[str, str] = {}
    names: defaultdict[str, set[str]] = defaultdict(set)
    for path, is_run in places_of_interest(top):
        here = path.relative_to(top).as_posix()
        if is_run:
            runs[here] = Found(here, path, ())
            continue
        try:
            listed = sweeps_in(path)
        except GrokinterpError as error:
            damaged[os.path.normpath(f"{here}/{CONTENTS}")] = str(error)
            continue
        for name, sweep in listed.items():
            experiment = name if here == "." else quote(f"{here}/{name}")
            sweeps[experiment] = sweep
            for run_id, run in sweep.runs.items():
                place = os.path.normpath(f"{here}/{run.directory}")
                names[place].add(experiment)
                there = runs.get(place, Found(place, None, ()))
                failure = run.failure or there.failure
                runs[place] = there._replace(run_id=run_id, settings=run.settings, failure=failure)
    found = [
        run._replace(experiments=tuple(sorted(names.get(place) or {folder_of(place)})))
        for place, run in sorted(runs.items())
        if run.path is not None or run.failure is not None
    ]
    require(bool(found), "root", top, "contains no run")
    return Folder(found, sweeps, damaged)


def places_of_interest(top: Path) -> Iterator[tuple[Path, bool]]:
    """Yield every run directory with True, then every folder with a ``sweep.json`` with False."""
    with_sweeps = []
    for path, folders, files in folders_below(top):
        if not MARKS.isdisjoint(files):
            folders.clear()
            yield path, True
            continue
        if CONTENTS in files:
            with_sweeps.append((path, False))
        folders[:] = [name for name in folders if not name.startswith(".") or not is_staging(path / name)]
    yield from sorted(with_sweeps)


def folders_below(top: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield a folder and each one below it with the names of its folders and files, as ``os.walk`` does.

    A link to a folder is followed after all folders without links, unless the folder has been yielded or contains the
    link. The caller may remove names of folders, as with ``os.walk``.
    """
    waiting, seen = [top], set()
    while waiting:
        links = []
        for start in sorted(waiting):
            real = os.path.realpath(start)
            for here, folders, files in os.walk(str(start)):
                path, place = Path(here), f"{real}{here.removeprefix(str(start))}"
                if place in seen:
                    folders.clear()
                    continue
                seen.add(place)
                yield path, folders, files
                links += [path / name for name in folders if os.path.islink(path / name)]
        waiting = [link for link in links if not link.parent.resolve().is_relative_to(os.path.realpath(link))]


def folder_of(directory: str) -> str:
    """Return the name of the experiment of the folder that contains a run.

    >>> folder_of("adamw/seed-0"), folder_of("demo-0123456789")
    ('adamw/', './')
    """
    return quote(f"{os.path.dirname(directory) or '.'}/")


def state_of(path: Path) -> tuple[int, int] | None:
    """Return the size and the modification time of a file; None without one."""
    try:
        state = os.stat(path)
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns
