"""Many runs in one call: as stacks on a GPU, in processes on a CPU."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from grokinterp.available import bytes_available
from grokinterp.errors import ConfigError, GrokinterpError, require, short, warn
from grokinterp.experiment import Experiment
from grokinterp.storage import configuration_hash
from grokinterp.storage.files import path_of
from grokinterp.sweeps.folder import held
from grokinterp.sweeps.pool import Entry, cores, lacks_something, train_all
from grokinterp.training import train
from grokinterp.training.environment import choose_device
from grokinterp.training.fitting import key_of
from grokinterp.training.loop import train_stack
from grokinterp.training.memory import needs


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
    ``failure`` and does not stop the others.

    On a GPU, runs of the same task, model and training-set size, whose optimizer, loss, batch size and kinds of filters
    agree, are trained as one program, as many as fit into memory at a time. On a CPU each run has its own process,
    which is faster there.

    Args:
        experiments: the configurations.
        root: the folder of the runs.
        device: auto, cpu or cuda.
        stacked: whether to train runs as one program (default: on a GPU).
        jobs: number of simultaneous processes on a CPU (default: one per core).
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: if an argument or the device cannot be used, or two experiments are equal.
        RunDirectoryError: if another process trains into the folder.
    """
    listed = list(experiments)
    for one in listed:
        require(isinstance(one, Experiment), "experiments", short(one), "must each be an Experiment")
    names = [f"{one.name}-{configuration_hash(one.to_dict())}" for one in listed]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError("experiments", repeated, "is given twice")
    chosen = choose_device(device)
    folder = path_of("root", root)
    entries = [Entry(folder / name, one) for name, one in zip(names, listed, strict=True)]
    with held(folder):
        if not (chosen.type == "cuda" if stacked is None else stacked):
            train_all(entries, jobs or cores(), device=device, analyses=(), progress=progress)
            return entries
        for group in groups([entry for entry in entries if lacks_something(entry, ())], bytes_available(chosen)):
            train_group(group, device=device, progress=progress)
    return entries


def groups(entries: Sequence[Entry], free: int) -> Iterator[list[Entry]]:
    """Yield the runs in groups that fit into one stack and into memory; a run that fits no stack is a group alone."""
    fitting: dict[object, list[Entry]] = {}
    for entry in entries:
        fitting.setdefault(key_of(entry.experiment) or entry.directory, []).append(entry)
    for together in fitting.values():
        most = max(free // needs(together[0].experiment).peak, 1)
        yield from (together[start : start + most] for start in range(0, len(together), most))


def train_group(group: Sequence[Entry], *, device: str, progress: bool) -> None:
    """Train the runs of a group together, or each alone if a run prevents that; a run that fails keeps the reason."""
    if len(group) > 1:
        try:
            directories = [one.directory for one in group]
            return train_stack([one.experiment for one in group], directories, device=device, progress=progress)
        except GrokinterpError as error:
            warn(f"{len(group)} runs are trained one at a time: {error}")
    for entry in group:
        try:
            if lacks_something(entry, ()):
                there = entry.directory
                train(entry.experiment, there, device=device, resume=has_run(there), progress=progress)
        except GrokinterpError as error:
            entry.failure = str(error)
    return None


def has_run(directory: Path) -> bool:
    """Return whether a directory contains a run."""
    return (directory / "experiment.json").exists()
