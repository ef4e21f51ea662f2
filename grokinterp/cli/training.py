"""Commands that train."""

from pathlib import Path
from typing import Annotated

import typer

from grokinterp.cli.measuring import diagnosed
from grokinterp.cli.options import Config, Device, Overrides, read_experiment
from grokinterp.cli.printing import note, say
from grokinterp.cli.processors import threads_for_training
from grokinterp.errors import GrokinterpError


def train(
    overrides: Overrides = None,
    preset: Annotated[str | None, typer.Option(help="A named experiment; see `grokinterp presets`.")] = None,
    config: Config = None,
    out: Annotated[Path | None, typer.Option(metavar="RUN_DIR", help="Default: checkpoints/<name>-<hash>.")] = None,
    device: Device = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in RUN_DIR, also with other steps.")
    ] = False,
    log: Annotated[list[str] | None, typer.Option(help="tensorboard or wandb, in addition to metrics.jsonl.")] = None,
) -> None:
    """Train an experiment, saving checkpoints and metrics through all phases."""
    from grokinterp.experiment import Experiment
    from grokinterp.storage import RunDirectory
    from grokinterp.training import directory, loggers

    def stored() -> Experiment:
        return Experiment.from_dict(RunDirectory.open(out).experiment) if resume and out is not None else Experiment()

    loggers.require_logger_names(log or [])
    experiment = read_experiment(preset, config, overrides, default=stored)
    out = out or directory.default_directory(experiment)
    begun = directory.open_to_resume(out, experiment).environment if resume else {}
    if not resume:
        directory.require_empty(out)

    from grokinterp.runs.results import Results
    from grokinterp.training import train as train_experiment

    opened = loggers.open_loggers(log or [], out, experiment)
    with threads_for_training(begun.get("threads")):
        run = train_experiment(experiment, out, device=device, resume=resume, progress=True, loggers=opened)
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
