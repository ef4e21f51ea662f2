"""The command line: each command reads its arguments and calls one public function."""

import json
import signal
import sys
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from grokinterp.errors import ConfigError, GrokinterpError

app = typer.Typer(
    help="Mechanistic interpretability of grokking: train, analyze, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

USAGE_ERROR: Any = next(kind for kind in typer.BadParameter.mro() if kind.__name__ == "ClickException")
"""What typer raises for a command line it cannot read, from its own copy of click or the installed one."""

NOTHING_WRONG = "The numbers of this run show no problem."

INTERRUPTED = 128 + signal.SIGINT

LOG_FORMATS = """\b
Formats, by the ending of the file:
  .csv .tsv .txt  names in the first line; exports of W&B and TensorBoard
  .json           lists, a history inside of results, rows, several runs
  .jsonl          one object a line; _meta and _summary lines
  .npz .npy       arrays by name; .npy files of one run together
  .pth .pt        lists of losses or accuracies beside weights
  events.out.*    TensorBoard's event files, or their folder
  a folder        a run directory

\b
Rules are KIND[:COLUMN][:THRESHOLD][xWINDOW], as in sustained:.95x10,
first:train:.99, stays:.99, grokked:.95x10, jump:.1, max, min, last.
The column is test (the default), train, test_loss or train_loss.

Exit code 1: some files could not be read, and are named; 2: none could.
docs/import.md has an example of each format.
"""

Overrides = Annotated[list[str] | None, typer.Argument(metavar="[key=value]...", help="As in task.p=97 seed=3.")]

RunDir = Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run directory, as `train` writes it.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]


@app.command()
def train(
    overrides: Overrides = None,
    preset: Annotated[str | None, typer.Option(help="A named experiment; see `grokinterp presets`.")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML or JSON file.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="RUN_DIR", help="Default: checkpoints/<name>-<hash>.")] = None,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in RUN_DIR.")] = False,
    log: Annotated[list[str] | None, typer.Option(help="tensorboard or wandb, beside metrics.jsonl.")] = None,
) -> None:
    """Train an experiment, saving checkpoints and metrics through all phases."""
    from grokinterp.experiment import Experiment
    from grokinterp.presets import preset as named
    from grokinterp.runs.results import Results
    from grokinterp.runs.trajectory import Trajectory
    from grokinterp.training import default_directory
    from grokinterp.training import train as train_experiment
    from grokinterp.training.loggers import open_loggers

    if preset is not None and config is not None:
        raise ConfigError("config", config, f"give --preset or --config, not both (preset is {preset})")
    if preset is not None:
        base = named(preset)
    elif config is not None:
        base = Experiment.from_file(config)
    else:
        base = Trajectory.open(out).experiment if resume and out is not None else Experiment()
    experiment = base.override(overrides or [])
    loggers = open_loggers(log or [], out or default_directory(experiment), experiment)
    run = train_experiment(experiment, out, device=device, resume=resume, progress=True, loggers=loggers)
    status = run.directory.status
    lines = diagnosed(Results.open(run.path))
    if status["status"] == "diverged":
        print("\n".join(lines), file=sys.stderr)
        raise GrokinterpError(f"{run.path} diverged at step {status['step']}: {status['why']}")
    summary = f"{run.path}: {len(run.steps)} checkpoints, {status['status']} at step {status['step']}"
    print("\n".join([summary, *lines]))


@app.command()
def analyze(
    run_dir: RunDir,
    only: Annotated[str | None, typer.Option(metavar="NAME,...", help="Only these analyses.")] = None,
    every: Annotated[
        int | None, typer.Option(help="Every N-th checkpoint, and the last (default: all, costly analyses on a few).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    device: Device = "cpu",
) -> None:
    """Run every analysis over every checkpoint into RUN_DIR/analysis/NAME.nc."""
    from grokinterp.analysis import analyze as analyze_run
    from grokinterp.diagnostics import diagnose as diagnose_run
    from grokinterp.runs import summary
    from grokinterp.training import choose_device

    names = None if only is None else [name.strip() for name in only.split(",") if name.strip()]
    results = analyze_run(run_dir, only=names, every=every, device=choose_device(device), progress=True)
    if as_json:
        diagnoses = [asdict(found) for found in diagnose_run(results)]
        print(json.dumps(results.summary() | {"diagnoses": diagnoses}, allow_nan=False))
    else:
        print("\n".join([*summary.lines(results), *diagnosed(results)]))
    warn_of_skipped(results.skipped)


@app.command()
def llc(
    run_dir: RunDir,
    settings: Annotated[list[str] | None, typer.Argument(metavar="[key=value]...", help="As step_size=1e-5.")] = None,
    step: Annotated[int | None, typer.Option(help="Checkpoint (default: the last).")] = None,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Measure a map over ε, γ and nβ.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The file to draw the map to: .png or .svg.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure the local learning coefficient of one checkpoint, with other settings or over a map of them."""
    from grokinterp import figures
    from grokinterp.analysis import calibrate_llc, local_learning_coefficient
    from grokinterp.analysis.landscape import llc_calibration
    from grokinterp.runs import summary
    from grokinterp.runs.trajectory import Trajectory

    if out is not None and (not calibrate or out.suffix not in (".png", ".svg")):
        raise ConfigError("out", out, "is for the map of --calibrate and must end in .png or .svg")
    chosen: Any = llc_calibration.parse_settings(settings or [])
    checkpoint = Trajectory.open(run_dir).checkpoint(step)
    if not calibrate:
        found = local_learning_coefficient(checkpoint, **chosen)
        told = {"step": int(checkpoint.step)} | summary.scalars(found._asdict())
        print(json.dumps(told) if as_json else "\n".join(summary.chain_lines(told, len(found.llc_of_chain))))
        return
    mapped = calibrate_llc(checkpoint, **llc_calibration.axes_of(chosen), progress=True)
    points, lines = summary.calibration_points(mapped), summary.calibration_lines(mapped)
    print(json.dumps(list(points)) if as_json else "\n".join(lines))
    if out is not None:
        figures.save(figures.llc_calibration(mapped), out)


@app.command()
def report(
    run_dir: RunDir,
    out: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Default: reports/<run>.html.")] = None,
) -> None:
    """Write the phase-by-phase HTML report; analyzes first what is not analyzed yet."""
    from grokinterp.analysis import analyze as analyze_run
    from grokinterp.report import write_report

    results = analyze_run(run_dir, progress=True)
    print("\n".join([str(write_report(run_dir, out)), *diagnosed(results)]))
    warn_of_skipped(results.skipped)


@app.command()
def diagnose(
    run_dir: RunDir,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False,
) -> None:
    """Diagnose a run: state what is wrong, the numbers that show it, and which setting to change."""
    from grokinterp.diagnostics import diagnose as diagnose_run
    from grokinterp.diagnostics import told
    from grokinterp.runs.results import Results

    found = diagnose_run(Results.open(run_dir))
    objects = json.dumps([asdict(diagnosis) for diagnosis in found], allow_nan=False)
    print(objects if as_json else "\n".join(told(found)) or NOTHING_WRONG)


@app.command("import")
def import_network(
    release: Annotated[
        str, typer.Argument(metavar="RELEASE", help="nanda, chughtai, pizza, transformer-lens, series or file.")
    ],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The file or folder, as docs/import.md says.")],
    out: Annotated[Path | None, typer.Option(metavar="RUN_DIR", help="Default: checkpoints/<name>-<hash>.")] = None,
    spec: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The TOML file that describes a series or a single file.")
    ] = None,
) -> None:
    """Turn a network that other people trained into a run directory."""
    from grokinterp.interop import import_run

    run = import_run(release, path, out, spec=spec)
    environment = run.directory.environment
    right = float(environment["accuracy"])
    print(
        f"{run.path}: {len(run.steps)} checkpoint{'s' if len(run.steps) > 1 else ''}, step {run.steps[-1]}, "
        f"accuracy {right:.1%} on all examples"
    )
    for line in environment["warnings"]:
        print(f"warning: {line}", file=sys.stderr)


@app.command(epilog=LOG_FORMATS)
def phases(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Logs and run directories.")],
    rule: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="Also date by this rule; may be repeated."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="OURS=THEIRS", help="Meaning of a column: test_accuracy=val/acc1, step=t, run=trial."),
    ] = None,
    percent: Annotated[bool, typer.Option("--percent", help="Accuracies are percentages.")] = False,
    join: Annotated[bool, typer.Option("--join", help="All files hold curves of one run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one line a run; - prints it.")] = None,
) -> None:
    """Date the phases of any training logs: one run in full, several as a table."""
    from grokinterp.interop import logs
    from grokinterp.phases.counting import read_rules

    rules, columns = read_rules(rule or []), logs.given_columns(column or [])
    dated = logs.date_logs(paths, rules=rules, columns=columns, join=join, percent=percent)
    if csv is not None and csv != Path("-"):
        csv.write_text(logs.as_csv(dated), encoding="utf-8")
    if as_json:
        print(json.dumps(logs.as_objects(dated), allow_nan=False))
    elif csv == Path("-"):
        print(logs.as_csv(dated), end="")
    elif dated.runs:
        print(logs.as_text(dated))
    for error in dated.failed:
        print(f"error: {one_line(error)}", file=sys.stderr)
    if dated.failed:
        raise typer.Exit(1 if dated.runs else 2)


@app.command()
def verify(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Released networks, at any depth below it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure published networks again and compare with what was published about them."""
    from grokinterp.reproduction.verify import table
    from grokinterp.reproduction.verify import verify as verify_networks

    lines = verify_networks(directory, progress=True)
    print(json.dumps([asdict(line) | {"verdict": line.verdict} for line in lines]) if as_json else table(lines))


@app.command()
def demo() -> None:
    """Train the demo network through grokking, analyze every checkpoint, write reports/demo.html."""
    from grokinterp.analysis import analyze as analyze_run
    from grokinterp.presets import preset as named
    from grokinterp.report import write_report
    from grokinterp.runs import summary
    from grokinterp.training import default_directory
    from grokinterp.training import train as train_experiment

    experiment = named("demo")
    directory = default_directory(experiment)
    run = train_experiment(experiment, directory, resume=(directory / "experiment.json").exists(), progress=True)
    results = analyze_run(run, progress=True)
    path = write_report(run.path, Path("reports/demo.html"))
    print("\n".join([*summary.lines(results), *diagnosed(results)]))
    print(f"\nreport  {path.resolve()}\nrun     {run.path}")


@app.command()
def compare(
    overrides: Overrides = None,
    preset: Annotated[str | None, typer.Option(help="A named experiment (default: league).")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML or JSON file.")] = None,
    task: Annotated[str | None, typer.Option(metavar="KIND", help="As task.kind=KIND.")] = None,
    methods: Annotated[str | None, typer.Option(metavar="NAME,...", help="See `grokinterp methods`.")] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each method.")] = 3,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Default: leagues/<name>-<hash>.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes at once (default: as many as cores).")] = None,
    patience: Annotated[int, typer.Option(help="Evaluations, for the comparison with early stopping.")] = 20,
) -> None:
    """Train by several methods on equal budgets, and write the page that compares when they generalize."""
    from grokinterp import league
    from grokinterp.experiment import Experiment
    from grokinterp.presets import preset as named
    from grokinterp.storage import configuration_hash

    if preset is not None and config is not None:
        raise ConfigError("config", config, f"give --preset or --config, not both (preset is {preset})")
    base = Experiment.from_file(config) if config is not None else named(preset or "league")
    experiment = base.override([*([f"task.kind={task}"] if task else []), *(overrides or [])])
    names = list(league.CHOSEN) if methods is None else [name.strip() for name in methods.split(",") if name.strip()]
    directory = out or Path("leagues") / f"{experiment.name}-{configuration_hash(experiment.to_dict())}"
    found = league.compare(experiment, names, seeds, directory, jobs=jobs, patience=patience, progress=True)
    print(league.as_text(found))
    if found["runs"]:
        print(f"\npage  {league.write_comparison(directory).resolve()}")


@app.command()
def methods() -> None:
    """List what `compare` can compare."""
    from grokinterp.league.methods import listing

    print("\n".join(listing()))


@app.command()
def presets() -> None:
    """List the named experiments."""
    from grokinterp.presets import PRESETS

    width = max(map(len, PRESETS))
    for name, preset in PRESETS.items():
        print(f"{name:{width}}  {preset.about}")


@app.command()
def tasks() -> None:
    """List the tasks with their parameters: task.kind=KIND task.PARAMETER=VALUE."""
    from grokinterp.experiment.configuration import listing
    from grokinterp.tasks import TASKS

    print("\n".join(listing(TASKS)))


@app.command()
def models() -> None:
    """List the models with their parameters: model.kind=KIND model.PARAMETER=VALUE."""
    from grokinterp.experiment.configuration import listing
    from grokinterp.models import MODELS

    print("\n".join(listing(MODELS)))


@app.command()
def analyses() -> None:
    """List what `analyze` measures, and on how many checkpoints."""
    from grokinterp.analysis.catalogue import listing

    print("\n".join(listing()))


def diagnosed(results: Any) -> list[str]:
    """Return the diagnosis of an analyzed run as lines, none without a problem."""
    from grokinterp.diagnostics import diagnose as diagnose_run
    from grokinterp.diagnostics import told

    return told(diagnose_run(results))


def warn_of_skipped(skipped: dict[int, str]) -> None:
    """Name and count the checkpoints that could not be read."""
    for step, reason in skipped.items():
        print(f"skipped checkpoint {step}: {reason}", file=sys.stderr)
    if skipped:
        print(f"{len(skipped)} damaged checkpoint{'s' if len(skipped) > 1 else ''} skipped", file=sys.stderr)


def main() -> NoReturn:
    """Run the command line; a user's error is one line and exit code 2, SIGINT 130, SIGTERM 143."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    setattr(warnings, "showwarning", show_warning)  # noqa: B010 - a plain assignment would have to match its signature
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except ConfigError as error:
        fail(f"config error: {error}")
    except GrokinterpError as error:
        fail(f"error: {error}")
    except OSError as error:
        fail(f"error: {error.filename or 'input or output'}: {error.strerror or error}")
    except USAGE_ERROR as error:
        fail(f"error: {error.format_message()}")
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:
        print("interrupted", file=sys.stderr)
    sys.exit(code)


def show_warning(message: object, *_: object, **__: object) -> None:
    """A warning as one line on standard error, without the place in the code."""
    print(f"warning: {one_line(message)}", file=sys.stderr)


def fail(line: str) -> NoReturn:
    """Say in one line what is wrong, and exit with code 2."""
    print(one_line(line), file=sys.stderr)
    sys.exit(2)


def one_line(message: object) -> str:
    """Text that a terminal can be shown: one line, no control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in str(message)).strip()
