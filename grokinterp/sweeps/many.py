"""Many runs in one call: as stacks on a GPU, in processes on a CPU."""

import gc
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from grokinterp.available import bytes_available
from grokinterp.errors import ConfigError, GrokinterpError, RunInUse, require, short, warn
from grokinterp.experiment import Experiment
from grokinterp.storage.atomic import make_directory
from grokinterp.storage.files import path_of
from grokinterp.sweeps.continued import train_or_continue
from grokinterp.sweeps.entry import Entry, entries_in, lacks_something
from grokinterp.sweeps.estimate import untimed
from grokinterp.sweeps.pool import PAUSE, train_all
from grokinterp.sweeps.prediction.stopping import forecaster_of
from grokinterp.sweeps.processes import cores
from grokinterp.training.environment import choose_device
from grokinterp.training.fitting import key_of, reason_alone
from grokinterp.training.loop import train_stack
from grokinterp.training.stack_memory import most_runs


def train_many(
    experiments: Iterable[Experiment],
    root: str | Path,
    *,
    device: str = "auto",
    stacked: bool | None = None,
    jobs: int | None = None,
    progress: bool = False,
) -> list[Entry]:
    """Train every experiment into ``root/<name>-<hash of the configuration>``, and return the runs in their order.

    Finished runs are not trained again, and interrupted runs are continued. A run that fails states the reason in its
    ``failure`` and does not stop the others. Several processes can train into the same folder: each run is trained by
    one of them, and all wait for it.

    On a GPU, runs of the same task, model and sizes of the parts, whose optimizer, loss, batch size and kinds of
    filters agree, are trained as one program, as many as fit into memory at a time. On a CPU each run has its own
    process, which is faster there.

    Args:
        experiments: the configurations.
        root: the folder of the runs.
        device: auto, cpu or cuda.
        stacked: whether to train runs as one program (default: on a GPU).
        jobs: number of simultaneous processes on a CPU (default: one per core).
        progress: show the progress on standard error.

    Raises:
        ConfigError: if an argument or the device cannot be used, or two experiments are equal.
        WriteError: if the folder cannot be created, or the disk is full.
    """
    rule = "must be Experiments in a list or another iterable"
    require(isinstance(experiments, Iterable), "experiments", short(experiments), rule)
    listed = list(experiments)
    for one in listed:
        require(isinstance(one, Experiment), "experiments", short(one), rule)
    folder = path_of("root", root)
    entries = entries_in(folder, listed)
    names = [entry.directory.name for entry in entries]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError("experiments", repeated, "is given twice")
    require(jobs is None or jobs >= 1, "jobs", jobs, "must be at least 1")
    choose_device(device)
    make_directory(folder)
    train_entries(entries, device=device, stacked=stacked, jobs=jobs, progress=progress)
    return entries


def train_entries(
    entries: Sequence[Entry],
    *,
    device: str,
    stacked: bool | None,
    jobs: int | None,
    progress: bool,
    analyses: Sequence[str] = (),
    stop_predicted: str | None = None,
) -> None:
    """Train the runs that are not complete, see ``train_many``, and analyze every run in a process.

    With ``stop_predicted``, a database, runs that will not grok are stopped (``prediction/stopping.py``).
    """
    waiting = [entry for entry in entries if lacks_something(entry, analyses)]
    for entry in waiting:
        entry.work = untimed(entry.experiment).seconds(entry.experiment)
    if stacked or (stacked is None and choose_device(device).type == "cuda"):
        train_stacks(
            [one for one in waiting if lacks_something(one, ())],
            device=device,
            progress=progress,
            stop_predicted=stop_predicted,
        )
        waiting = [one for one in waiting if one.failure is None]
    train_all(
        waiting, jobs or cores(), device=device, analyses=analyses, progress=progress, stop_predicted=stop_predicted
    )


def train_stacks(waiting: Sequence[Entry], *, device: str, progress: bool, stop_predicted: str | None = None) -> None:
    """Train runs as stacks, and those that fit into none alone, for a reason that is shown.

    Runs that another process is training are left to it, and awaited.
    """
    alone = Counter(reason for entry in waiting if (reason := reason_alone(entry.experiment)) is not None)
    for reason, count in alone.items():
        warn(f"{count} of {len(waiting)} runs are trained one at a time: {reason}")
    while waiting:
        free = [entry for entry in waiting if not entry.is_elsewhere]
        for group in groups(free, bytes_available(choose_device(device))):
            train_group(group, device=device, progress=progress, stop_predicted=stop_predicted)
            gc.collect()  # a stack and its runs refer to each other, so that their memory is freed here
        waiting = [one for one in waiting if one.failure is None and lacks_something(one, ())]
        if waiting:
            time.sleep(PAUSE)


def groups(entries: Sequence[Entry], free: int) -> Iterator[list[Entry]]:
    """Yield the runs in groups that fit into one stack and into memory; a run that fits no stack is a group alone.

    Runs that exist are in other groups than new ones, because a stack is continued from a step that all have reached.
    """
    fitting: dict[object, list[Entry]] = {}
    for entry in entries:
        key = key_of(entry.experiment)
        fitting.setdefault(entry.directory if key is None else (key, entry.exists), []).append(entry)
    for together in fitting.values():
        most = most_runs(together[0].experiment, free, wanted=len(together)) if len(together) > 1 else 1
        yield from (together[start : start + most] for start in range(0, len(together), most))


def train_group(group: Sequence[Entry], *, device: str, progress: bool, stop_predicted: str | None = None) -> None:
    """Train the runs of a group together, or in halves if a run prevents that; a run that fails keeps the reason.

    Nothing is done if runs appear meanwhile, here or in another process: they are in other groups now.
    """
    existed = [one.exists for one in group]
    try:
        forecasters = [forecaster_of(one.experiment, stop_predicted) for one in group]
        if len(group) == 1:
            train_or_continue(
                group[0].experiment, group[0].directory, device=device, progress=progress, forecaster=forecasters[0]
            )
        else:
            directories = [one.directory for one in group]
            train_stack(
                [one.experiment for one in group],
                directories,
                device=device,
                progress=progress,
                forecasters=forecasters,
            )
    except GrokinterpError as error:
        if len(group) > 1 and existed == [one.exists for one in group]:
            warn(f"{len(group)} runs are trained in two parts: {error}")
            left = [one for one in group if lacks_something(one, ())]
            for part in (left[: len(left) // 2], left[len(left) // 2 :]):
                if part:
                    train_group(part, device=device, progress=progress, stop_predicted=stop_predicted)
        elif len(group) == 1 and not isinstance(error, RunInUse):
            group[0].failure = str(error)
