"""Logs dated: the phases and the verdict of each run, beside what other people's rules and the files themselves say."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from grokinterp.errors import GrokinterpError
from grokinterp.interop.logs.arrays import read_npy, together
from grokinterp.interop.logs.log import Log, joined, joined_by_hand, logs_of, read_logs
from grokinterp.interop.text_files import ForeignFileError
from grokinterp.phases import History, find_phases
from grokinterp.phases.alignment import aligned
from grokinterp.phases.counting import CountingRule


@dataclass(frozen=True)
class DatedLog:
    """One run of a log with its history.

    Attributes:
        log: the curves and where they are from.
        evaluations: number of steps that the verdict rests on.
        history: phases, events, verdict.
        counts: what each counting rule finds, by its text: a step or a value, None if it finds none.
    """

    log: Log
    evaluations: int
    history: History
    counts: Mapping[str, int | float | None]

    @property
    def delay(self) -> int | None:
        """Steps from memorization to generalization."""
        memorized, generalized = self.history.memorized_step, self.history.generalized_step
        return None if memorized is None or generalized is None else generalized - memorized

    def summary(self) -> dict[str, Any]:
        """Plain values for JSON."""
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
    """All runs that could be dated, and one error for each file that could not."""

    runs: tuple[DatedLog, ...]
    failed: tuple[GrokinterpError, ...]


def date_log(path: str | Path) -> History:
    """The phases of a log that holds one run; ``date_logs`` reads several and says what was decided in reading.

    Raises:
        ForeignFileError: a file that is not what it says, that lacks a curve or holds several runs.
        ConfigError: steps that are no whole numbers.
    """
    runs = [date(log) for log in read_logs(Path(path), {})]
    if len(runs) != 1:
        raise ForeignFileError(Path(path), f"holds {len(runs)} runs: date_logs reads them")
    return runs[0].history


def date_logs(
    paths: Iterable[str | Path],
    *,
    rules: Sequence[CountingRule] = (),
    columns: Mapping[str, str] | None = None,
    join: bool = False,
    percent: bool = False,
) -> DatedLogs:
    """Date every run in logs; docs/import.md shows the formats.

    Args:
        paths: files and run directories. Those that hold different curves of one run are joined.
        rules: counting rules, applied to each run.
        columns: what a column is called in the files, by our names, where that is not understood.
        join: all files are of one run.
        percent: accuracies are percentages, whatever they reach.

    Raises:
        ConfigError: files that cannot be joined.
    """
    logs, failed = _read([Path(path) for path in paths], columns or {}, percent)
    runs = []
    for log in joined_by_hand(logs) if join and logs else joined(logs):
        try:
            runs.append(date(log, rules))
        except GrokinterpError as error:
            failed.append(error)
    return DatedLogs(tuple(runs), tuple(failed))


def date(log: Log, rules: Sequence[CountingRule] = ()) -> DatedLog:
    """The history of one run, and what the rules find. Raises ForeignFileError without a pair of curves."""
    curves = log.curves()
    shared = aligned(curves)
    return DatedLog(log, len(shared.steps), find_phases(shared), {rule.text: rule(curves) for rule in rules})


def _read(paths: Sequence[Path], given: Mapping[str, str], percent: bool) -> tuple[list[Log], list[GrokinterpError]]:
    """The runs of all files in their order; arrays in files of their own are read together."""
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
