"""Commands that train."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grokinterp.cli.measuring import diagnosed
from grokinterp.cli.options import (
    Config,
    Device,
    Overrides,
    PresetName,
    RunDir,
    Settings,
    StopPredicted,
    read_experiment,
)
from grokinterp.cli.printing import note, say
from grokinterp.cli.processors import threads_for_training
from grokinterp.errors import GrokinterpError, require

if TYPE_CHECKING:
    from grokinterp.experiment import Experiment
    from grokinterp.training.outlook import Forecaster

FILE_FORMATS = """\b
Files:
  FILE.toml       an experiment, as `grokinterp config` prints it
  FILE.json       the same as JSON
  task.path=FILE  CSV for task.kind=table: cell b of line a is a * b, an
                  integer from 0 to 9999; a blank cell or -1 is undefined.
                  Lines and cells are counted from 0, there is no header,
                  and all lines have the same number of cells.
  metrics.jsonl   one object per evaluation, in RUN_DIR; `grokinterp phases`
                  reads it and the logs of other programs

\b
docs/custom_tables.md and docs/checkpoint_format.md have examples.
"""

Log = Annotated[list[str] | None, typer.Option(help="tensorboard or wandb, in addition to metrics.jsonl.")]


def train(
    overrides: Settings = None,
    preset: PresetName = None,
    config: Config = None,
    out: Annotated[Path | None, typer.Option(metavar="RUN_DIR", help="Default: checkpoints/<name>-<hash>.")] = None,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Continue or extend the run in RUN_DIR.")] = False,
    log: Log = None,
    predict_from: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A database of runs: print when the run is predicted to grok.")
    ] = None,
    stop_predicted: StopPredicted = None,
) -> None:
    """Train an experiment, saving checkpoints and metrics through all phases."""
    from grokinterp.experiment import Experiment
    from grokinterp.runs.stored import stored_experiment
    from grokinterp.storage import RunDirectory
    from grokinterp.storage.continuations import may_change
    from grokinterp.training import directory, loggers
    from grokinterp.training.origin import resolved

    def stored() -> Experiment:
        return stored_experiment(RunDirectory.open(out)) if resume and out is not None else Experiment()

    loggers.require_logger_names(log or [])
    experiment = read_experiment(preset, config, overrides, default=stored)
    if experiment.origin is not None and not (resume and out is not None):
        experiment = resolved(experiment)
    if out is None:
        out = directory.default_directory(experiment)
        if resume and not out.exists():  # the run was planned with other settings of those that may change
            past = [given for given in overrides or [] if not may_change(given.partition("=")[0])]
            out = directory.default_directory(read_experiment(preset, config, past, default=Experiment))
    forecaster = forecaster_of(experiment, predict_from, stop_predicted)
    begun = directory.open_to_resume(out, experiment).environment if resume else {}
    if not resume:
        directory.require_empty(out)
    threads = begun.get("threads")
    trained(experiment, out, device=device, log=log or [], resume=resume, threads=threads, forecaster=forecaster)


def branch(
    run_dir: RunDir,
    overrides: Overrides = None,
    step: Annotated[int | None, typer.Option(help="The saved step of RUN_DIR to start from.")] = None,
    optimizer_state: Annotated[
        bool, typer.Option("--optimizer-state", help="Start with the optimizer state of RUN_DIR as well.")
    ] = False,
    out: Annotated[Path | None, typer.Option(metavar="RUN_DIR", help="Default: checkpoints/<name>-<hash>.")] = None,
    device: Device = "auto",
    log: Log = None,
) -> None:
    """Train from a step of a run under changed settings, or after edits of its weights, into a new run directory."""
    from grokinterp.training import branched, directory, loggers

    loggers.require_logger_names(log or [])
    require(step is not None, "step", "none", "must be given: --step with a saved step of the run")
    experiment = branched(run_dir, step or 0, overrides or (), optimizer_state=optimizer_state)
    out = out or directory.default_directory(experiment)
    directory.require_empty(out)
    trained(experiment, out, device=device, log=log or [])


def forecaster_of(experiment: "Experiment", shown: Path | None, stopping: Path | None) -> "Forecaster | None":
    """Return the forecaster of a run by the database whose predictions are shown, or by which it is also stopped."""
    if shown is None and stopping is None:
        return None
    from grokinterp.sweeps.prediction.stopping import DatabaseForecaster, warn_of_extrapolation

    agree = shown is None or stopping is None or shown == stopping
    require(agree, "stop_predicted", stopping, f"must be the file of --predict-from, {shown}, if both are given")
    found = DatabaseForecaster.of(experiment, stopping or shown or Path(), stops=stopping is not None)
    if stopping is not None:
        warn_of_extrapolation(found, [experiment])
    return found


def trained(
    experiment: "Experiment",
    out: Path,
    *,
    device: str,
    log: list[str],
    resume: bool = False,
    threads: object = None,
    forecaster: "Forecaster | None" = None,
) -> None:
    """Train an experiment, if possible with a given number of threads, and print its result and its diagnosis."""
    from grokinterp.runs.results import Results
    from grokinterp.training import loggers
    from grokinterp.training import train as train_experiment

    opened = loggers.open_loggers(log, out, experiment)
    with threads_for_training(threads):
        run = train_experiment(
            experiment, out, device=device, resume=resume, progress=True, loggers=opened, forecaster=forecaster
        )
    status = run.directory.status
    lines = diagnosed(Results.open(run.path))
    if status["status"] == "diverged":
        for line in lines:
            note(line)
        raise GrokinterpError(f"{run.path} diverged at step {status['step']}: {status['why']}")
    summary = f"{run.path}: {len(run.steps)} checkpoints, {status['status']} at step {status['step']}"
    say([summary, *lines])


def demo() -> None:
    """Train the demo network through grokking, analyze every checkpoint, write reports/demo.html."""
    from grokinterp.analysis import analyze as analyze_run
    from grokinterp.presets import preset as named
    from grokinterp.report import write_report
    from grokinterp.runs import summary
    from grokinterp.training import train as train_experiment
    from grokinterp.training.directory import default_directory, open_to_resume

    experiment = named("demo")
    directory = default_directory(experiment)
    resume = (directory / "experiment.json").exists()
    begun = open_to_resume(directory, experiment).environment if resume else {}
    with threads_for_training(begun.get("threads")):
        run = train_experiment(experiment, directory, resume=resume, progress=True)
    results = analyze_run(run, progress=True)
    path = write_report(run.path, Path("reports/demo.html"))
    say([*summary.lines(results), *diagnosed(results), "", f"report  {path.resolve()}", f"run     {run.path}"])
