"""The command that compares training methods."""

from pathlib import Path
from typing import Annotated

import typer

from grokinterp.cli.completion import preset_names
from grokinterp.cli.options import Config, Device, Settings, read_experiment, split_names
from grokinterp.cli.printing import say


def league(
    overrides: Settings = None,
    preset: Annotated[
        str | None, typer.Option(help="A named experiment (default: league).", autocompletion=preset_names)
    ] = None,
    config: Config = None,
    task: Annotated[str | None, typer.Option(metavar="KIND", help="The same as task.kind=KIND.")] = None,
    methods: Annotated[str | None, typer.Option(metavar="NAME,...", help="See `grokinterp methods`.")] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each method.")] = 3,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Default: leagues/<name>-<hash>.")] = None,
    device: Device = "auto",
    jobs: Annotated[int | None, typer.Option(help="Simultaneous processes (default: one per core).")] = None,
    patience: Annotated[int, typer.Option(help="Evaluations until early stopping, for comparison.")] = 20,
    tune: Annotated[
        int | None, typer.Option(metavar="N", help="Trials of lr and weight decay of each method (default: none).")
    ] = None,
) -> None:
    """Train by several methods on equal budgets, and write the page that compares when they generalize.

    Exit code 1: some runs failed (they are named); 2: none can be compared.
    """
    from grokinterp import presets
    from grokinterp.league import CHOSEN
    from grokinterp.league.arguments import require_arguments
    from grokinterp.storage import configuration_hash

    assigned = [*([f"task.kind={task}"] if task else []), *(overrides or [])]
    experiment = read_experiment(preset, config, assigned, default=lambda: presets.preset("league"))
    directory = out or Path("leagues") / f"{experiment.name}-{configuration_hash(experiment.to_dict())}"
    names = list(CHOSEN) if methods is None else split_names(methods)
    require_arguments(experiment, names, seeds, jobs, patience, tune)

    from grokinterp.league import as_text, run_league, tuned_text, write_page

    found = run_league(
        experiment,
        names,
        seeds,
        directory,
        device=device,
        jobs=jobs,
        patience=patience,
        tune=tune,
        progress=True,
    )
    page = ["", f"page  {write_page(directory).resolve()}"] if found["runs"] else []
    say([*as_text(found).split("\n"), *tuned_text(found).splitlines(), *page])
    if found["failed"]:
        raise typer.Exit(1 if found["runs"] else 2)
