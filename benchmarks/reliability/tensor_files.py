"""Damaged checkpoints and resume states: cut short, with flipped bits, foreign, and from another run."""

import io
import os
import pickle
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from benchmarks.reliability.processes import guarded
from benchmarks.reliability.readings import TENSORS, judge, read
from benchmarks.reliability.specimen import TINY, Lab, flipped, train_until, written
from benchmarks.reliability.trial import End, Row, Trial, row
from grokinterp.analysis import analyze
from grokinterp.runs.results import Results
from grokinterp.storage import RunDirectory, encode_tensors
from grokinterp.training import train


def faults(lab: Lab) -> Iterator[Row]:
    """Damage tensor files and read the run; then analyze it and continue it."""
    middle = sorted(lab.run.glob("checkpoints/*"))[2].relative_to(lab.run)
    newest = sorted(lab.run.glob("resume/*"))[-1].relative_to(lab.run)
    for kind, name in (("checkpoint", middle), ("resume state", newest)):
        content = (lab.run / name).read_bytes()
        lengths = lab.some(range(len(content)), 8_000 if kind == "checkpoint" else 2_000, 10)
        cuts = ((f"{length} bytes of {name}", content[:length]) for length in lengths)
        yield row(f"{kind} cut short", read_each(lab, name, cuts))
        bits = lab.random.sample(range(8 * len(content)), 10 if lab.small else 2_000)
        yield row(f"{kind} with a flipped bit", read_each(lab, name, ((f"bit {b}", flipped(content, b)) for b in bits)))
        yield row(f"{kind} replaced by a foreign file", read_each(lab, name, foreign(lab, name)))
        yield row(f"{kind} replaced by a directory, pipe, device, link or huge file", [*unreadable(lab, name)])
    yield row("analysis of a run with a damaged checkpoint", analyzed(lab, middle))
    yield row("continuation with a damaged newest resume state", continued(lab))


def read_each(lab: Lab, name: Path, contents: Iterable[tuple[str, bytes]]) -> Iterator[Trial]:
    """Read the run with each content in place of the file."""
    intact = lab.reading
    if name.parts[0] == "resume":  # the older state, which is used in place of a damaged one
        path = lab.copy("older")
        (path / name).unlink()
        intact = intact._replace(numbers=intact.numbers | read(path, TENSORS).numbers)
    relevant = {key: value for key, value in intact.numbers.items() if key.startswith(("checkpoint ", "resume "))}
    intact = intact._replace(numbers=relevant, derived={})
    for fault, content in contents:
        with lab.damaged(str(name), content) as run:
            yield judge(fault, intact, read(run, TENSORS), name.name)


def foreign(lab: Lab, name: Path) -> Iterator[tuple[str, bytes]]:
    """Yield contents that do not belong in this file: other formats, sizes, shapes, steps, and runs."""
    run = RunDirectory.open(lab.run)
    step = int(name.stem.removeprefix("step_"))
    own = run.load_checkpoint(step).tensors if name.parts[0] == "checkpoints" else {}
    pickled, zipped = io.BytesIO(), io.BytesIO()
    torch.save({"W": torch.zeros(3)}, pickled)
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data", bytes(10**7))
    yield from {
        "empty": b"",
        "one byte": b"{",
        "text": b"weights",
        "pickle": pickled.getvalue(),
        "zip bomb": zipped.getvalue(),
        "code in a pickle": pickle.dumps(print),
        "a header of 2^63 bytes": (2**63).to_bytes(8, "little") + b"{}",
        "deep nesting": header(b"[" * 100_000),
        "400-digit offset": header(b'{"W":{"dtype":"F32","shape":[1],"data_offsets":[0,' + b"9" * 400 + b"]}}"),
        "400-digit shape": header(b'{"W":{"dtype":"F32","shape":[' + b"9" * 400 + b'],"data_offsets":[0,4]}}'),
        "5,000-digit number": header(b'{"W":' + b"9" * 5000 + b"}"),
        "another run's": (lab.other / name).read_bytes(),
        "another step's": sorted((lab.run / name.parts[0]).glob("*"))[0].read_bytes(),
        "a huge step": encode_tensors(own, step=10**17, run_id=run.run_id, extra={"state": "{}"}),
        "another run id": encode_tensors(own, step=step, run_id="0123456789", extra={"state": "{}"}),
    }.items()
    if own:
        yield "no tensors", encode_tensors({}, step=step, run_id=run.run_id)
        wrong = {key: value[..., :-1].contiguous() for key, value in own.items()}
        yield "wrong shapes", encode_tensors(wrong, step=step, run_id=run.run_id)
        first = next(iter(own))
        yield "a NaN", encode_tensors(own | {first: own[first] * float("nan")}, step=step, run_id=run.run_id)


def header(text: bytes) -> bytes:
    """Return a safetensors file with this header and no tensors."""
    return len(text).to_bytes(8, "little") + text


def unreadable(lab: Lab, name: Path) -> Iterator[Trial]:
    """Put a directory, a pipe, a device, links, and a huge file in place of the file."""

    def huge(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(2**33)

    relevant = lab.reading.numbers
    others = {key: value for key, value in relevant.items() if key.startswith(("checkpoint ", "resume "))}
    for fault, put in {
        "a directory": Path.mkdir,
        "a pipe without a writer": os.mkfifo,
        "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
        "a link to itself": lambda path: path.symlink_to(path),
        "a dangling link": lambda path: path.symlink_to("nothing"),
        "8 GiB of zeros": huge,
    }.items():
        path = lab.copy("unreadable")
        (path / name).unlink()
        older = read(path, TENSORS).numbers  # with the older resume state, or without the checkpoint
        put(path / name)
        intact = lab.reading._replace(numbers=others | older, derived={})
        yield judge(fault, intact, guarded(read, path, TENSORS), name.name)
        shutil.rmtree(path)


def analyzed(lab: Lab, name: Path) -> Iterator[Trial]:
    """Analyze the run with a damaged checkpoint: its step is skipped and named; other steps are unchanged."""
    content = (lab.run / name).read_bytes()
    step = int(name.stem.removeprefix("step_"))
    whole = Results.open(lab.intact).analyses["performance"]
    kept = whole.drop_sel(step=step)
    for bit in lab.random.sample(range(8 * len(content)), 2 if lab.small else 40):
        path = lab.copy("analyzed")
        shutil.rmtree(path / "analysis")
        (path / name).write_bytes(flipped(content, bit))
        results = analyze(path, only=["performance"])
        skipped, found = results.skipped, results.analyses["performance"]
        same = all(found[key].equals(kept[key]) for key in kept.data_vars)
        good = same and list(skipped) == [step]
        yield Trial(f"bit {bit}", End.NAMED if good else End.SILENT, f"checkpoint {step} skipped: {skipped.get(step)}")


def continued(lab: Lab) -> Iterator[Trial]:
    """Continue an interrupted run whose newest resume state is damaged, to the bytes of the uninterrupted run."""
    whole = written(train(TINY, lab.folder / "whole", device="cpu").path)
    start = lab.folder / "start"
    train_until(start, 18)
    name = sorted(start.glob("resume/*"))[-1].relative_to(start)
    content = (start / name).read_bytes()
    for bit in lab.random.sample(range(8 * len(content)), 2 if lab.small else 20):
        path = lab.folder / "continued"
        shutil.copytree(start, path)
        (path / name).write_bytes(flipped(content, bit))

        def go_on(path: Path) -> tuple[dict, dict]:
            return dict(written(train(TINY, path, device="cpu", resume=True).path)), {}

        found = read(path, {"train --resume": go_on})
        shutil.rmtree(path)
        named = [line for line in found.said if name.name in line]
        good = found.numbers == whole and bool(named) and not found.tracebacks
        yield Trial(f"bit {bit} of {name}", End.NAMED if good else End.SILENT, (named or found.tracebacks or [""])[0])
