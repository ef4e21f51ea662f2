"""The commands that train sweeps and list the named ones."""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grokinterp.cli.completion import preset_names
from grokinterp.cli.options import FILES, Config, StopPredicted, read_experiment
from grokinterp.cli.printing import note, say
from grokinterp.errors import require, short
from grokinterp.interrupt import Stopped

if TYPE_CHECKING:
    from grokinterp.sweeps.entry import Entry
    from grokinterp.sweeps.grid import Grid
    from grokinterp.sweeps.sweep import Sweep

MOST_LINES = 50
"""Largest number of runs that are listed one by one."""


def sweep(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME|FILE] [key=value,...]...", help="A named sweep or a file; axes and settings."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="The experiment that axes change.", autocompletion=preset_names)
    ] = None,
    config: Config = None,
    seeds: Annotated[int | None, typer.Option(help="Number of seeds of each combination.")] = None,
    workers: Annotated[int | None, typer.Option(help="Simultaneous processes (default: one per core).")] = None,
    engine: Annotated[
        str | None, typer.Option(help="local, stack or ray (default: stack on a GPU, else local).")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Ray cluster (default: RAY_ADDRESS, or one started here)."),
    ] = None,
    gpus: Annotated[
        float | None,
        typer.Option(help="Part of a GPU of the Ray cluster for a run; 1: stacks on whole GPUs (default), 0: cores."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="ROOT", help="The folder of the runs (default: sweeps).")] = None,
    scale: Annotated[str | None, typer.Option(help="Scale of a named sweep: full (default) or small.")] = None,
    name: Annotated[str | None, typer.Option(help="Name under which the folder lists the sweep.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print runs and estimates only.")] = False,
    skip_invalid: Annotated[bool, typer.Option("--skip-invalid", help="Leave out impossible runs.")] = False,
    stop_predicted: StopPredicted = None,
) -> None:
    """Train an experiment for every combination of values, as in task.p=23,47 optimization.weight_decay=0.1,1.

    Several values with commas between them are an axis, one value is a setting of all runs. Runs that exist in ROOT are
    not trained again, and interrupted runs continue. `grokinterp sweeps` lists the named sweeps.

    Exit code 1: some runs failed (they are named).
    """
    from grokinterp.sweeps.sweep import Sweep, plan, run_sweep

    title, grid = chosen_grid(arguments or [], preset, config, scale, seeds)
    found = Sweep.of(title if name is None else name, grid, seeds=seeds)
    root = out or Path("sweeps")
    if dry_run:
        entries = plan(
            found, root, engine=engine, workers=workers, address=address, gpus=gpus, skip_invalid=skip_invalid
        )
        say(planned(found, entries, root, workers, engine))
        return
    with continued_after_interrupts():
        entries = run_sweep(
            found,
            root,
            engine=engine,
            workers=workers,
            address=address,
            gpus=gpus,
            skip_invalid=skip_invalid,
            stop_predicted=stop_predicted,
            progress=True,
        )
    say(outcome_lines(found, entries, root))
    if any(entry.failure for entry in entries):
        raise typer.Exit(1)


def sweeps() -> None:
    """List the named sweeps."""
    from grokinterp.sweeps.grid import product
    from grokinterp.sweeps.named import SWEEPS

    for scale, grids in SWEEPS.items():
        say([f"--scale {scale}"])
        width = max(map(len, grids))
        for name, grid in grids.items():
            runs = len(product(grid.base, **grid.axes))
            say([f"  {name:{width}}  {runs:2} runs of {grid.base.steps:>7,} steps: {grid.about}"])


def chosen_grid(
    arguments: Sequence[str], preset: str | None, config: Path | None, scale: str | None, seeds: int | None = None
) -> tuple[str, "Grid"]:
    """Return the name and the grid of a command line. Raises ConfigError if they cannot be determined."""
    from grokinterp.experiment import Experiment
    from grokinterp.sweeps.grid import Grid
    from grokinterp.sweeps.grid_file import read_grid
    from grokinterp.sweeps.named import named
    from grokinterp.sweeps.sweep import default_name

    first, *others = arguments or [""]
    settings, axes = settings_and_axes(arguments if "=" in first else others)
    if "=" not in first and first:
        for key, given in (("preset", preset), ("config", config)):
            require(given is None, key, given, f"give it or {short(first)}, not both")
        is_file = first.endswith(FILES)
        require(scale is None or not is_file, "scale", scale, "is for named sweeps")
        size = scale or "full"
        title, grid = read_grid(first) if is_file else (suffixed(first, size), named(first, size))
        require_seeds_once(seeds, settings.keys() & grid.axes.keys() | axes.keys())
        return title, grid.changed(settings, axes)
    require(bool(arguments or preset or config), "sweep", "", "needs a named sweep, a file, or axes: task.p=23,47")
    require(scale is None, "scale", scale, "is for named sweeps")
    require_seeds_once(seeds, axes.keys())
    base = read_experiment(preset, config, [], default=Experiment)
    grid = Grid(base, {}).changed(settings, axes)
    return default_name(grid), grid


def require_seeds_once(seeds: int | None, axes: Iterable[str]) -> None:
    """Raise ConfigError if both ``--seeds`` and an axis of the command line choose the seeds."""
    from grokinterp.sweeps.grid import set_by

    for axis in axes:
        require(seeds is None or "seed" not in set_by(axis), "seeds", seeds, f"give it or {short(axis)}=..., not both")


def suffixed(name: str, scale: str) -> str:
    """Return the name of a named sweep at a scale within its folder."""
    return name if scale == "full" else f"{name}_{scale}"


def settings_and_axes(assignments: Iterable[str]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return the settings and the axes of assignments; an axis has several values, with commas between them.

    >>> settings_and_axes(["task.p=23,47", "steps=100", "optimization.betas=[0.9,0.98]"])
    ({'steps': 100, 'optimization.betas': [0.9, 0.98]}, {'task.p': [23, 47]})
    """
    from grokinterp.experiment.configuration import parse_value

    settings, axes = {}, {}
    for assignment in assignments:
        key, sign, text = assignment.partition("=")
        require(bool(sign and key), "sweep", short(assignment), rule_of_order(assignment))
        require(key not in settings | axes, short(key), short(text), "is given twice")
        values = [parse_value(part) for part in separated(text)]
        if len(values) == 1 and "," not in key and key != "ratio":
            settings[key] = values[0]
        else:
            axes[key] = values
    return settings, axes


def rule_of_order(argument: str) -> str:
    """Return the rule that an argument without a value breaks."""
    from grokinterp.sweeps.named import SWEEPS

    if argument.endswith(FILES) or any(argument in grids for grids in SWEEPS.values()):
        return "a named sweep or a file must come before the settings, and only one is possible"
    return "must be written key=value or key=value,value"


def separated(text: str) -> list[str]:
    """Return the parts of a text between commas that are outside brackets and quotes.

    >>> separated("[0.9,0.98],[0.9,0.999]"), separated('"a,b",c'), separated("1")
    (['[0.9,0.98]', '[0.9,0.999]'], ['"a,b"', 'c'], ['1'])
    """
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        depth += (sign in "[{") - (sign in "]}") if not quote else 0
        if sign == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def planned(
    sweep: "Sweep", entries: Sequence["Entry"], root: Path, workers: int | None, engine: str | None
) -> Iterator[str]:
    """Yield the lines of a dry run: the runs, their number, disk space and time."""
    from grokinterp.available import size_text
    from grokinterp.sweeps.entry import lacks_something
    from grokinterp.sweeps.lines import duration
    from grokinterp.sweeps.processes import cores
    from grokinterp.sweeps.sweep import runs_text

    waiting = [entry for entry in entries if lacks_something(entry, ())]
    yield from (f"  {entry.directory.name}  {entry.label}" for entry in entries)
    yield from (f"  impossible: {point.refusal}" for point in sweep.impossible)
    yield from equal_lines(sweep)
    yield f"{sweep.name}: {runs_text(len(entries))} in {root}, {len(entries) - len(waiting)} of them complete"
    if not waiting:
        return
    from grokinterp.sweeps.estimate import bytes_of, elapsed, seconds_of

    experiments, processes = [entry.experiment for entry in waiting], workers or cores()
    used = processes if engine == "ray" else min(processes, cores())
    seconds = seconds_of(experiments)
    yield f"disk  {size_text(bytes_of(waiting))}"
    most = " at most (runs stop after grokking)" if any(one.patience is not None for one in experiments) else ""
    yield (
        f"time  {duration(elapsed(seconds, used))}{most} with {processes} processes of one thread if {used} cores are "
        f"free, estimated by timing some steps; {duration(sum(seconds))} of processor time"
    )


def equal_lines(sweep: "Sweep") -> Iterator[str]:
    """Yield a line if combinations of values lead to equal experiments, such as ratios that round to one width."""
    if sweep.equal:
        yield f"  {sweep.equal} of {len(sweep.points)} combinations equal others, and are trained once with them"


@contextmanager
def continued_after_interrupts() -> Generator[None]:
    """Print, if a signal ends the block, that the same command continues."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, Stopped):
        note("the runs in training were saved; the same command continues them")
        raise


def outcome_lines(sweep: "Sweep", entries: Sequence["Entry"], root: Path) -> Iterator[str]:
    """Yield a line for every run, unless there are many, the failures, and the numbers of runs by status."""
    from grokinterp.errors import GrokinterpError
    from grokinterp.storage import RunDirectory
    from grokinterp.sweeps.sweep import runs_text

    statuses = []
    for entry in entries:
        try:
            found = RunDirectory.open(entry.directory).status if entry.exists else {}
            status = "failed" if entry.failure else str(found.get("status", "not begun"))
        except GrokinterpError as error:
            entry.failure, status, found = str(error), "failed", {}
        statuses.append(status)
        if entry.failure or status in ("diverged", "stopped") or len(entries) <= MOST_LINES:
            why = entry.failure or (found.get("why") if status in ("diverged", "stopped") else None)
            yield f"  {entry.directory.name}  {entry.label}  {status}{f': {why}' if why else ''}"
    yield from (f"  impossible: {point.refusal}" for point in sweep.impossible)
    yield from equal_lines(sweep)
    counts = ", ".join(f"{count} {status}" for status, count in Counter(statuses).items())
    yield f"{sweep.name}: {runs_text(len(entries))} in {root}: {counts}"
