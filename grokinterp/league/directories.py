"""The run directories of a league."""

from collections.abc import Iterator
from pathlib import Path

from grokinterp.league.methods import METHODS


def directories(top: Path) -> Iterator[tuple[str, int, Path]]:
    """Yield the method, seed, and directory of every run, grouped by method."""
    for name in METHODS:
        yield from ((name, number, path) for number, path in numbered(top / name))


def numbered(folder: Path) -> list[tuple[int, Path]]:
    """Return the seeds and directories of the runs of a folder, ordered by seed."""
    found = []
    for path in folder.glob("seed-*"):
        number = path.name.removeprefix("seed-")
        if number.isascii() and number.isdigit() and (path / "experiment.json").exists():
            found.append((int(number), path))
    return sorted(found)
