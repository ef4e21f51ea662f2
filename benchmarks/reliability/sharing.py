"""Several processes on one run: a second writer, a vanished lock, vanished metrics, readers beside a writer."""

import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace

from benchmarks.reliability.commands import training
from benchmarks.reliability.processes import run, start
from benchmarks.reliability.readings import documents_of, metrics_of, read, tensors_of
from benchmarks.reliability.specimen import TINY, Lab, written
from benchmarks.reliability.stops import LONG, started
from benchmarks.reliability.trial import End, Row, Trial, passed, row, spoken
from grokinterp.errors import GrokinterpError
from grokinterp.experiment import SaveAt
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import RunDirectory

ENDLESS = replace(LONG, steps=100_000)
STEADY = replace(LONG, steps=800, save=SaveAt(every=400, dense_until=0, resume_every=200))


def faults(lab: Lab) -> Iterator[Row]:
    """Run several processes on one run directory."""
    yield row("a second trainer, and kill -9 of the first", second(lab))
    yield row("a lock deleted during training", vanished(lab, "lock"))
    yield row("metrics.jsonl deleted during training", vanished(lab, "metrics.jsonl"))
    yield row("the whole directory deleted during training", vanished(lab, ""))
    yield row("every reader, again and again, while training writes", beside(lab))
    yield row("two analyses of one run at once", analyses(lab))


def second(lab: Lab) -> Iterator[Trial]:
    """Start a second trainer, which is refused within half a second; then kill the first, which frees the run."""
    for number in range(1 if lab.small else 10):
        folder, other = lab.folder / f"first-{number}", lab.folder / f"second-{number}"
        other.mkdir()
        command = started(folder, training(ENDLESS))
        words = training(ENDLESS, "--resume")
        words[words.index("run")] = str(folder / "run")
        done = run(other, *words)
        yield spoken("second trainer", done.text, f"in use by process {command.pid} on host", code=done.code)
        once = time.monotonic()
        try:
            with RunDirectory.open(folder / "run").lock():
                yield Trial("lock", End.SILENT, "the run could be locked twice")
        except GrokinterpError as error:
            quick = time.monotonic() - once < 0.5
            yield Trial("lock", End.NAMED if quick else End.SILENT, str(error))
        command.send(signal.SIGKILL)
        command.wait()
        try:
            with RunDirectory.open(folder / "run").lock():
                yield Trial("freed", End.EQUAL)
        except GrokinterpError as error:
            yield Trial("freed", End.SILENT, str(error))


def vanished(lab: Lab, name: str) -> Iterator[Trial]:
    """Delete a file of a running training run: a line names it, the run is as if nothing had been deleted, or it stops.

    No second trainer can write to the run meanwhile.
    """
    whole = lab.folder / f"whole-{name}"
    whole.mkdir()
    assert run(whole, *training(STEADY)).code == 0
    expected = written(whole / "run")
    for number in range(1 if lab.small else 4):
        folder, other = lab.folder / f"vanished-{name}-{number}", lab.folder / f"beside-{name}-{number}"
        other.mkdir()
        command = started(folder, training(STEADY))
        path = folder / "run" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        words = training(STEADY, "--resume")
        words[words.index("run")] = str(folder / "run")
        rival, done = run(other, *words), command.wait()
        lines = [line for line in done.err.splitlines() if str(path.relative_to(folder)) in line]
        same = (folder / "run/experiment.json").exists() and written(folder / "run") == expected
        if "Traceback" in done.text + rival.text:
            yield Trial(f"{name or 'the run'} deleted", End.TRACEBACK, (done.text + rival.text)[-200:])
        elif rival.code == 0:
            yield Trial(f"{name or 'the run'} deleted", End.SILENT, "a second trainer wrote to the run")
        else:
            good = bool(lines) and (same if name else done.code == 2)
            yield Trial(
                f"{name or 'the run'} deleted", End.NAMED if good else End.SILENT, (lines or [done.text[-200:]])[-1]
            )


def beside(lab: Lab) -> Iterator[Trial]:
    """Read a run with every reader while it trains."""
    folder = lab.folder / "beside"
    dense = replace(TINY, steps=100 if lab.small else 1_500, save=SaveAt(every=5, dense_until=50, resume_every=7))
    command = started(folder, training(dense))
    path = folder / "run"
    while command.process.is_alive():
        found = read(
            path, {"documents": documents_of, "metrics": metrics_of, "checkpoints": tensors_of, "sentence": spoken_of}
        )
        wrong = [*found.tracebacks, *found.said]
        good = not wrong and found.numbers
        yield passed("reading", good, (wrong or [""])[0])
    done = command.wait()
    whole = lab.folder / "beside-whole"
    whole.mkdir()
    assert run(whole, *training(dense)).code == 0
    same = done.code == 0 and written(path) == written(whole / "run")
    yield passed("the run that was read", same, done.text[-200:])


def spoken_of(path: object) -> tuple[dict, dict]:
    """Read the sentence that summarizes a run."""
    return {}, {"sentence": Results.open(str(path)).sentence}


def analyses(lab: Lab) -> Iterator[Trial]:
    """Run two commands that analyze the same run at once: one is refused, or both give the same results."""
    words = ("analyze", "run", "--only", "performance,weight_norms")
    for _ in range(1 if lab.small else 5):
        folder = lab.copy("twice/run").parent
        shutil.rmtree(folder / "run/analysis")
        other = lab.folder / "twice-other"
        other.mkdir(exist_ok=True)
        first = start(folder, *words)
        second = start(other, "analyze", str(folder / "run"), *words[2:])
        ends = [first.wait(), second.wait()]
        results = Results.open(folder / "run").analyses["performance"]
        whole = results.sizes["step"] == len(Trajectory.open(folder / "run").steps)
        said = next((end.err.strip().splitlines()[-1] for end in ends if end.code), "")
        codes = sorted(end.code if end.code is not None else -1 for end in ends)
        if any("Traceback" in end.text for end in ends):
            yield Trial("two analyses", End.TRACEBACK, said)
        else:
            good = whole and (codes == [0, 0] or (codes == [0, 2] and "in use" in said))
            yield Trial("two analyses", End.NAMED if good and said else End.EQUAL if good else End.SILENT, said)
