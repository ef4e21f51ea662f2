"""Damaged records: the metrics and every small document, cut short, with flipped bits, edited, or from another run."""

import itertools
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.reliability.processes import guarded
from benchmarks.reliability.readings import EVERYTHING, RECORDS, judge, read
from benchmarks.reliability.specimen import NOT_FILES, Lab, flipped
from benchmarks.reliability.trial import Row, Trial, row

METRICS = "metrics.jsonl"
NAMED_BY = {
    METRICS: r"metrics\.jsonl",
    "experiment.json": r"experiment\.json|belongs to (another )?run|of another run",
}
"""Patterns that a message about a damaged file must match; by default, the name of the file."""


def documents(lab: Lab) -> list[str]:
    """Return the names of all small documents of the specimen."""
    found = [path.relative_to(lab.run) for path in lab.run.rglob("*.json*") if path.name != METRICS]
    return sorted(map(str, found))


def faults(lab: Lab) -> Iterator[Row]:
    """Damage every record and read the run."""
    for name in (METRICS, *documents(lab)):
        content = (lab.run / name).read_bytes()
        lengths = lab.some(range(len(content)), 150, 2)
        ends = [place + 1 for place, byte in enumerate(content[:-1]) if byte == ord("\n")]
        cuts = ((f"{n} bytes", content[:n]) for n in sorted({0, *lengths, *lab.some(ends, 40, 2)}))
        yield row(f"{name} cut short", read_each(lab, name, cuts))
        most = 3 if lab.small else 1_000 if name == METRICS else 250
        bits = lab.random.sample(range(8 * len(content)), min(8 * len(content), most))
        yield row(f"{name} with a flipped bit", read_each(lab, name, ((f"bit {b}", flipped(content, b)) for b in bits)))
        yield row(f"{name} with other content", read_each(lab, name, lab.some(contents(lab, name), 999, 2)))
    yield row(f"{METRICS} with edited rows", read_each(lab, METRICS, edited(lab)))
    yield row("a record replaced by something other than a regular file", no_file(lab))


def read_each(lab: Lab, name: str, contents: Iterable[tuple[str, bytes]]) -> Iterator[Trial]:
    """Read the run with each content in place of the record."""
    whole = name == "experiment.json"  # checkpoints are read as well, as they depend on the configuration
    readers = EVERYTHING if whole else RECORDS
    intact = lab.reading if whole else read(lab.run, RECORDS)
    for fault, content in contents:
        with lab.damaged(name, content) as run:
            yield judge(
                f"{fault} of {name}", intact, read(run, readers), NAMED_BY.get(name, re.escape(Path(name).name))
            )


def contents(lab: Lab, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield documents of other shapes: other JSON, huge numbers in every field, deep nesting, or from another run."""
    whole = (lab.run / name).read_bytes()
    big = b"9" * 400
    yield from {
        "null": b"null",
        "a list": b"[]",
        "a number": big,
        "text": b"text\n",
        "zeros": bytes(99),
        "NaN": b'{"step": NaN}',
        "deep nesting": b'{"a":' * 100_000,
        "deep lists": b"[" * 100_000,
        "5,000 digits": b'{"step": ' + b"9" * 5_000 + b"}",
        "a repeated key": b'{"a": 1, "a": 2}',
        "not UTF-8": b"\xff\xfe{}",
        "a control character": whole.replace(b'": "', b'": "\\u001b[31m', 1),
    }.items()
    theirs = lab.other / name
    if theirs.exists() and theirs.read_bytes() != whole:
        yield "that of another run", theirs.read_bytes()
    numbers = [found.span() for found in re.finditer(rb"(?<=[ :\[])-?\d[\d.e+-]*(?=[,}\]\n])", whole)]
    for start, stop in lab.some(numbers, 20, 2):
        yield f"400 digits at byte {start}", whole[:start] + big + whole[stop:]
        yield f"an object at byte {start}", whole[:start] + b"{}" + whole[stop:]


def edited(lab: Lab) -> Iterator[tuple[str, bytes]]:
    """Yield metrics whose rows were repeated, swapped, removed, replaced or misspelled."""
    lines = (lab.run / METRICS).read_bytes().splitlines(keepends=True)
    theirs = (lab.other / METRICS).read_bytes().splitlines(keepends=True)
    for place in lab.some(range(len(lines)), 100, 1):
        before, line, after = lines[:place], lines[place], lines[place + 1 :]
        changes = {
            "repeated": [line, line],
            "removed": [],
            "torn": [line[: len(line) // 2] + b"\n"],
            "cut and merged with the next": [line[: len(line) // 2]],
            "empty": [b"\n"],
            "another run's": theirs[place : place + 1],
            "moved to the end": [],
            "a negative step": [line.replace(b'"step": ', b'"step": -', 1)],
            "a step as text": [re.sub(rb'"step": (\d+)', rb'"step": "\1"', line)],
            "no step": [re.sub(rb'"step": \d+, ', b"", line)],
            "1e400": [re.sub(rb'"train_loss": [^,]+', b'"train_loss": 1e400', line)],
            "text for a number": [re.sub(rb'"train_loss": [^,]+', b'"train_loss": "low"', line)],
            "an object for a number": [re.sub(rb'"train_loss": [^,]+', b'"train_loss": {"a": 1}', line)],
            "a number for an object": [re.sub(rb'"weight_norm_of": \{[^}]*\}', b'"weight_norm_of": 1', line)],
            "a misspelled key": [line.replace(b"train_accuracy", b"train_acuracy", 1)],
            "a changed digit": [re.sub(rb'("test_loss": \d\.)(\d)', one_more, line, count=1)],
        }
        for fault, new in changes.items():
            moved = [line] if fault == "moved to the end" else []
            yield f"row {place + 1}, {fault},", b"".join([*before, *new, *after, *moved])
    yield "another run's", b"".join(theirs)
    yield "its rows in reverse", b"".join(reversed(lines))
    yield "its rows twice", b"".join(lines * 2)
    yield "without its end", b"".join(lines[: len(lines) // 2])
    yield "empty", b""


def one_more(found: re.Match[bytes]) -> bytes:
    """Return a number with its first decimal increased."""
    return found[1] + str((int(found[2]) + 1) % 10).encode()


def no_file(lab: Lab) -> Iterator[Trial]:
    """Replace a record by a directory, a pipe, or a link."""
    pairs = itertools.product((METRICS, *documents(lab)), NOT_FILES.items())
    for name, (fault, put) in lab.some(pairs, 999, 5):
        path, named = lab.run / name, NAMED_BY.get(name, re.escape(Path(name).name))
        kept = path.with_name("kept")
        path.rename(kept)
        put(path)
        found = guarded(read, lab.run, EVERYTHING)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
        kept.rename(path)
        yield judge(f"{name}: {fault}", lab.reading, found, named)
