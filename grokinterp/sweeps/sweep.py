"""A sweep: its runs, and training them into a folder that several sweeps can share."""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import final

from grokinterp.available import disk_available, size_text
from grokinterp.display import LONGEST_SETTING
from grokinterp.errors import ConfigError, RunDirectoryError, WriteError, require, require_choice, short, warn
from grokinterp.experiment import Experiment
from grokinterp.experiment.experiment import NAME
from grokinterp.experiment.settings import settings_of
from grokinterp.phases import SUSTAINED
from grokinterp.storage import configuration_hash
from grokinterp.storage.atomic import make_directory
from grokinterp.storage.files import path_of
from grokinterp.sweeps.contents import Listed, Member, common, list_failures, list_sweep
from grokinterp.sweeps.entry import Entry, entries_in, lacks_something
from grokinterp.sweeps.grid import Grid, Point, points
from grokinterp.sweeps.horizon import evaluations
from grokinterp.sweeps.processes import PRELOADED, processes_of

ENGINES = ("local", "stack", "ray")

MOST_RUNS = 100_000
"""Largest number of runs of a sweep."""

MOST_SEEDS = 10_000


@final
@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep: its name, what it is about, and the combinations of values of its axes."""

    name: str
    about: str
    points: tuple[Point, ...]

    @classmethod
    def of(cls, name: str, grid: Grid, *, seeds: int | None = None) -> "Sweep":
        """Return the sweep of a grid.

        Args:
            name: the name of the sweep within its folder.
            grid: the base and the axes.
            seeds: number of seeds, starting at that of the base, in place of the axis ``seed``.

        Raises:
            ConfigError: the name is not allowed, an axis is empty, or there are too many runs.
        """
        require(NAME.fullmatch(name) is not None, "name", short(name), "must be 1-64 letters, digits, '.', '_' or '-'")
        if seeds is not None:
            require(1 <= seeds <= MOST_SEEDS, "seeds", seeds, f"must be an integer from 1 to {MOST_SEEDS}")
            grid = grid.changed({}, {"seed": range(grid.base.seed, grid.base.seed + seeds)})
        found: list[Point] = []
        for point in points(grid.base, grid.axes):
            require(len(found) < MOST_RUNS, "sweep", name, f"has more than {MOST_RUNS:,} runs")
            found.append(point)
        return cls(name, grid.about or f"{grid.base.name} over {', '.join(grid.axes)}", tuple(found))

    @property
    def experiments(self) -> dict[str, Experiment]:
        """The experiments of all possible combinations by run id; equal ones appear once."""
        found: dict[str, Experiment] = {}
        for point in self.points:
            if point.experiment is not None:
                found.setdefault(configuration_hash(point.experiment.to_dict()), point.experiment)
        return found

    @property
    def equal(self) -> int:
        """The number of possible combinations whose experiment equals that of an earlier combination."""
        return len(self.points) - len(self.impossible) - len(self.experiments)

    @property
    def impossible(self) -> list[Point]:
        """The impossible combinations."""
        return [point for point in self.points if point.experiment is None]

    @property
    def undetectable(self) -> str:
        """A sentence on the runs with fewer evaluations than the detection of grokking needs; "" without any."""
        counts = [len(evaluations(one.budget, one.evaluate_every)) for one in self.experiments.values()]
        few = [count for count in counts if count < SUSTAINED.window]
        if not few:
            return ""
        return (
            f"grokking cannot be detected with fewer than {SUSTAINED.window} evaluations, as in {len(few)} of "
            f"{runs_text(len(counts))} (at most {max(few)}): lower evaluate_every"
        )

    def require_possible(self) -> None:
        """Raise ConfigError naming an impossible combination, unless all are possible."""
        if self.impossible:
            first = self.impossible[0]
            more = f" (and {len(self.impossible) - 1} more)" if len(self.impossible) > 1 else ""
            raise ConfigError("sweep", self.name, f"the run with {first} is impossible{more}: {first.why}")


def runs_text(count: int) -> str:
    """Return a number of runs as text.

    >>> runs_text(1), runs_text(2)
    ('1 run', '2 runs')
    """
    return f"{count} run{'' if count == 1 else 's'}"


def default_name(grid: Grid) -> str:
    """Return a name made of the name of the base and of the axes: ``demo_weight_decay``."""
    keys = [key.rpartition(".")[2] for axis in grid.axes for key in axis.split(",") if key != "seed"]
    return "_".join([grid.base.name, *keys])[:64]


def run_sweep(
    sweep: Sweep,
    root: str | Path,
    *,
    engine: str | None = None,
    workers: int | None = None,
    address: str | None = None,
    gpus: float | None = None,
    skip_invalid: bool = False,
    stop_predicted: str | Path | None = None,
    progress: bool = False,
) -> list[Entry]:
    """Train the runs of a sweep into a folder, list them in its ``sweep.json``, and return them.

    Complete runs are not trained again, whichever sweep they were trained for; interrupted runs are continued. A run
    that fails or diverges is recorded with the reason, and stops no other. A warning names the number of runs in which
    grokking cannot be detected, because they have too few evaluations. Several processes can work on sweeps in the
    same folder: each run is trained by one of them, and all wait for it.

    Args:
        sweep: the sweep.
        root: the folder, new or with other sweeps.
        engine: "local" trains every run in a process of its own with one thread, "stack" trains runs that fit together
            as one program (default: stack on a GPU, else local), "ray" trains on a Ray cluster (docs/clusters.md).
        workers: number of simultaneous processes (default: one per core), or of tasks of a cluster (default: as many as
            it can run).
        address: HOST:PORT of the head node of the Ray cluster, or auto (default: RAY_ADDRESS, or a cluster that is
            started on this machine).
        gpus: the part of a GPU of the Ray cluster for every run; 1: whole GPUs, each for many runs as one program; 0: a
            core for every run (default: 1 if the cluster has GPUs, else 0).
        skip_invalid: leave out impossible combinations, which are listed, instead of refusing the sweep.
        stop_predicted: a database of runs by which runs that will not grok within their budget are stopped, at a fifth
            or two fifths of it (default: none is stopped).
        progress: show the progress on standard error.

    Raises:
        ConfigError: an argument cannot be used, a combination is impossible, the disk is too small, or the cluster
            cannot be reached.
        RunDirectoryError: the folder is a run directory, or its ``sweep.json`` cannot be read.
        WriteError: the folder cannot be written, or the disk is full; the other runs can be trained later.
    """
    entries = plan(sweep, root, engine=engine, workers=workers, address=address, gpus=gpus, skip_invalid=skip_invalid)
    if stop_predicted is not None:
        require(
            engine != "ray", "stop_predicted", stop_predicted, "is for runs on this machine, not for the engine ray"
        )
        require_predictable(entries, stop_predicted)
    folder, waiting = path_of("root", root), [entry for entry in entries if lacks_something(entry, ())]
    if waiting and engine in (None, "local"):
        processes_of(*PRELOADED)  # it imports while this process does
    unfit = unfit_of(waiting) if waiting and engine != "ray" else {}
    if unfit and not skip_invalid:
        label, why = next(iter(unfit.items()))
        raise ConfigError("sweep", sweep.name, f"the run with {label} is impossible: {why}")
    for entry in waiting:
        entry.failure = unfit.get(str(entry))
    waiting = [entry for entry in waiting if entry.failure is None]
    if waiting:
        require_disk(waiting, folder)
    make_directory(folder)
    list_sweep(folder, sweep.name, listed(sweep, entries))
    if waiting:
        with listed_failures(sweep, folder, waiting):
            if engine == "ray":
                train_with_ray(waiting, folder, address=address, gpus=gpus, workers=workers, progress=progress)
            else:
                train_here(waiting, engine=engine, workers=workers, stop_predicted=stop_predicted, progress=progress)
    return entries


@contextmanager
def listed_failures(sweep: Sweep, folder: Path, waiting: list[Entry]) -> Generator[None]:
    """Record in the folder, at the end of the block, why some of its runs failed."""
    try:
        yield
    except BaseException:
        with suppress(WriteError):  # the disk may be full, as the error that is raised then says
            list_failures(folder, sweep.name, failures_of(waiting))
        raise
    list_failures(folder, sweep.name, failures_of(waiting))


def train_here(
    waiting: list[Entry], *, engine: str | None, workers: int | None, stop_predicted: str | Path | None, progress: bool
) -> None:
    """Train runs on this machine, see ``run_sweep``."""
    from grokinterp.sweeps.many import train_entries

    device, stacked = "cpu" if engine == "local" else "auto", None if engine is None else engine == "stack"
    db = None if stop_predicted is None else os.path.abspath(stop_predicted)
    train_entries(waiting, device=device, stacked=stacked, jobs=workers, progress=progress, stop_predicted=db)


def train_with_ray(
    waiting: list[Entry], folder: Path, *, address: str | None, gpus: float | None, workers: int | None, progress: bool
) -> None:
    """Train runs on a Ray cluster, see ``run_sweep``."""
    from grokinterp.sweeps.estimate import untimed
    from grokinterp.sweeps.on_ray import train_on_ray

    for entry in waiting:
        entry.work = untimed(entry.experiment).seconds(entry.experiment)
    train_on_ray(waiting, folder, address=address, gpus=gpus, workers=workers, progress=progress)


def require_predictable(entries: list[Entry], db: str | Path) -> None:
    """Raise ConfigError unless the database has enough runs that are comparable with every kind of runs.

    Runs whose settings are outside those of the database are named in a warning.
    """
    from grokinterp.sweeps.prediction.stopping import DatabaseForecaster, kind_of, warn_of_extrapolation

    kinds: dict[tuple[object, ...], list[Experiment]] = {}
    for entry in entries:
        kinds.setdefault(tuple(kind_of(entry.experiment).values()), []).append(entry.experiment)
    for alike in kinds.values():
        warn_of_extrapolation(DatabaseForecaster.of(alike[0], db, stops=True), alike)


def failures_of(entries: list[Entry]) -> dict[str, str | None]:
    """Return the reasons for failures by run id."""
    return {entry.run_id: entry.failure for entry in entries}


def unfit_of(waiting: list[Entry]) -> dict[str, str]:
    """Return the reason why each run that cannot be trained on this machine cannot, by its label."""
    from grokinterp.sweeps.estimate import kind_of
    from grokinterp.training.environment import choose_device
    from grokinterp.training.memory import require_memory

    device, reasons, unfit = choose_device("auto"), {}, {}
    for entry in waiting:
        kind = kind_of(entry.experiment)
        if kind not in reasons:
            reasons[kind] = ""
            try:
                require_memory(entry.experiment, device)
            except ConfigError as error:
                reasons[kind] = str(error)
        if reasons[kind]:
            unfit[str(entry)] = reasons[kind]
    return unfit


def plan(
    sweep: Sweep,
    root: str | Path,
    *,
    engine: str | None = None,
    workers: int | None = None,
    address: str | None = None,
    gpus: float | None = None,
    skip_invalid: bool = False,
) -> list[Entry]:
    """Return the runs of a sweep in a folder, after checking the arguments of ``run_sweep``; nothing is written.

    A warning names the number of runs in which grokking cannot be detected.
    """
    folder = path_of("root", root)
    if engine is not None:
        require_choice("engine", engine, ENGINES)
    require(workers is None or 1 <= workers <= 4096, "workers", workers, "must be an integer from 1 to 4096")
    require(gpus is None or 0 <= gpus <= 1, "gpus", gpus, "must be from 0 to 1: the part of a GPU for every run")
    for key, given in (("address", address), ("gpus", gpus)):
        require(given is None or engine == "ray", key, short(given), "is for --engine ray")
    if (folder / "experiment.json").exists():
        raise RunDirectoryError(folder, "is a run: a sweep needs a folder of its own, or of other sweeps")
    if not skip_invalid:
        sweep.require_possible()
    require(bool(sweep.experiments), "sweep", sweep.name, "has no possible run")
    if sweep.undetectable:
        warn(sweep.undetectable)
    entries = entries_in(folder, sweep.experiments.values())
    settings = settings_of([entry.experiment.to_dict() for entry in entries])
    fixed = common(settings)
    for entry, own in zip(entries, settings, strict=True):
        varying = {key: value for key, value in own.items() if key not in fixed}
        entry.label = " ".join(
            f"{key.rpartition('.')[2]}={short(value, LONGEST_SETTING)}" for key, value in varying.items()
        )
    return entries


def require_disk(waiting: list[Entry], folder: Path) -> None:
    """Raise ConfigError if the files of the runs exceed the free space."""
    from grokinterp.sweeps.estimate import bytes_of

    needed, free = bytes_of(waiting), disk_available(folder)
    rule = f"{len(waiting)} runs still need about {size_text(needed)} of disk, but only {size_text(free)} are free"
    require(needed <= free, "out", folder, f"{rule}; a larger save.every needs less")


def listed(sweep: Sweep, entries: list[Entry]) -> Listed:
    """Return what the document of the folder says of a sweep."""
    settings = settings_of([entry.experiment.to_dict() for entry in entries])
    runs = {
        entry.run_id: Member(entry.directory.name, own, entry.failure)
        for entry, own in zip(entries, settings, strict=True)
    }
    impossible = [{"settings": point.settings, "why": point.why} for point in sweep.impossible]
    return Listed(sweep.about, runs, impossible)
