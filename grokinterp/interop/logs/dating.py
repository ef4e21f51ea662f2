"""Dated logs: the phases and verdict of each run, with the results of counting rules and the files' own claims."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from grokinterp.errors import GrokinterpError, require
from grokinterp.interop.logs.arrays import read_npy, together
from grokinterp.interop.logs.log import Log, joined, joined_by_hand, logs_of, read_logs
from grokinterp.interop.text_files import ForeignFileError
from grokinterp.phases import History, find_phases
from grokinterp.phases.alignment import aligned
from grokinterp.phases.counting import CountingRule
from grokinterp.storage.files import path_of


@dataclass(frozen=True)
class DatedLog:
    """A run of a log with its history.

    Attributes:
        log: the curves and their origin.
        evaluations: number of steps on which the verdict rests.
        history: phases, events, verdict.
        counts: the result of each counting rule, by its text: a step, a value, or None.
    """

    log: Log
    evaluations: int
    history: History
    counts: Mapping[str, int | float | None]

    @property
    def delay(self) -> int | None:
        """Number of steps from memorization to generalization."""
        memorized, generalized = self.history.memorized_step, self.history.generalized_step
        return None if memorized is None or generalized is None else generalized - memorized

    def summary(self) -> dict[str, Any]:
        """Return the results as plain values for JSON."""
        log, steps = self.log, self.log.steps
        return {
            "file": " + ".join(map(str, log.sources)),
            "run": log.run,
            "evaluations": self.evaluations,
            "first_step": int(steps[0]),
            "last_step": int(steps[-1]),
            **asdict(self.history),
            "delay": self.delay,
            "rules": dict(self.counts),
            "theirs": dict(log.theirs),
            "columns": dict(log.columns),
            "notes": list(log.notes),
        }


@dataclass(frozen=True)
class DatedLogs:
    """All runs that could be dated, and an error for each file that could not."""

    runs: tuple[DatedLog, ...]
    failed: tuple[GrokinterpError, ...]


def date_log(path: str | Path) -> History:
    """Date the phases of a log with a single run; ``date_logs`` reads several runs and notes how they were read.

    Raises:
        ForeignFileError: if the file is not as expected, lacks a curve or holds several runs.
        ConfigError: if steps are not whole numbers.
    """
    file = path_of("path", path)
    runs = [date(log) for log in read_logs(file, {})]
    if len(runs) != 1:
        raise ForeignFileError(file, f"holds {len(runs)} runs: date_logs reads them")
    return runs[0].history


def date_logs(
    paths: Iterable[str | Path],
    *,
    rules: Sequence[CountingRule] = (),
    columns: Mapping[str, str] | None = None,
    join: bool = False,
    percent: bool = False,
) -> DatedLogs:
    """Date every run in the given logs; docs/import.md describes the formats.

    Args:
        paths: files and run directories. Files with different curves of the same run are joined.
        rules: counting rules, applied to each run.
        columns: names of columns in the files by this package's names, for names that are not recognized.
        join: whether all files belong to the same run.
        percent: whether accuracies are percentages, regardless of their values.

    Raises:
        ConfigError: if the files cannot be joined.
    """
    require(not isinstance(paths, str | Path), "paths", paths, "must be a list of paths")
    logs, failed = _read([path_of("paths", path) for path in paths], columns or {}, percent)
    runs = []
    for log in joined_by_hand(logs) if join and logs else joined(logs):
        try:
            runs.append(date(log, rules))
        except GrokinterpError as error:
            failed.append(error)
    return DatedLogs(tuple(runs), tuple(failed))


def date(log: Log, rules: Sequence[CountingRule] = ()) -> DatedLog:
    """Date a run and apply the rules. Raises ForeignFileError without a pair of curves."""
    curves = log.curves()
    shared = aligned(curves)
    return DatedLog(log, len(shared.steps), find_phases(shared), {rule.text: rule(curves) for rule in rules})


def _read(paths: Sequence[Path], given: Mapping[str, str], percent: bool) -> tuple[list[Log], list[GrokinterpError]]:
    """Read the runs of all files in order; arrays in separate files are read together."""
    logs: list[Log] = []
    failed: list[GrokinterpError] = []
    arrays = {group[0]: group for group in together([path for path in paths if path.suffix == ".npy"])}
    for path in dict.fromkeys(paths):
        if path.suffix == ".npy" and path not in arrays:
            continue
        try:
            if path in arrays:
                logs += logs_of(read_npy(arrays[path], given.values()), given, percent=percent)
            else:
                logs += read_logs(path, given, percent=percent)
        except GrokinterpError as error:
            failed.append(error)
        except OSError as error:
            failed.append(ForeignFileError(path, error.strerror or str(error)))
    return logs, failed
