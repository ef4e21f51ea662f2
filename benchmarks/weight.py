"""Measure the disk space of an installation by package: ``python -m benchmarks.weight [--extra NAME ...]``.

The packages are those that grokinterp requires, directly or through others, in the environment that runs the script.
The size of a package is that of its files except compiled bytecode, which is written at the first import.
"""

import argparse
import re
from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

from benchmarks.report import table

MEGABYTE = 10**6
LEAST = 0.01
"""The share of the whole below which packages are added up in one row."""


def required(name: str, extras: Iterable[str] = ()) -> dict[str, Distribution]:
    """Return the installed distributions that a package and some of its extras require, by name, without itself."""
    found: dict[str, Distribution] = {}
    waiting = [(name, frozenset(extras))]
    visited = set()
    while waiting:
        package, wanted = key = waiting.pop()
        if key in visited:
            continue
        visited.add(key)
        try:
            installed = distribution(package)
        except PackageNotFoundError:
            continue
        found[canonical(package)] = installed
        for text in installed.requires or ():
            one = Requirement(text)
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in (*wanted, "")):
                waiting.append((one.name, frozenset(one.extras)))
    found.pop(canonical(name), None)
    return found


def canonical(name: str) -> str:
    """Return the name of a package in its normal form.

    >>> canonical("PyYAML_env.tag")
    'pyyaml-env-tag'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def size(installed: Distribution) -> int:
    """Return the bytes of the files of a distribution without compiled bytecode."""
    places = (installed.locate_file(file) for file in installed.files or () if file.suffix != ".pyc")
    return sum(place.stat().st_size for place in places if place.is_file())  # ty: ignore[unresolved-attribute]


def rows(sizes: dict[str, int]) -> list[list[str]]:
    """Return the rows of the table: the largest packages, the others together, and all."""
    whole = sum(sizes.values())
    large = {name: bytes_ for name, bytes_ in sizes.items() if bytes_ >= LEAST * whole}
    ordered = sorted(large.items(), key=lambda item: -item[1])
    others = whole - sum(large.values())
    found = [[name, f"{bytes_ / MEGABYTE:,.0f}"] for name, bytes_ in ordered]
    return [
        *found,
        [f"{len(sizes) - len(large)} others", f"{others / MEGABYTE:,.0f}"],
        [f"all {len(sizes)}", f"{whole / MEGABYTE:,.0f}"],
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weight", description=__doc__)
    parser.add_argument("--extra", action="append", default=[], help="an extra of grokinterp; may be repeated")
    asked = parser.parse_args(arguments)
    sizes = {name: size(installed) for name, installed in required("grokinterp", asked.extra).items()}
    print(table(["package", "MB"], rows(sizes)))


if __name__ == "__main__":
    main()
