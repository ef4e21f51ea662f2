"""Commands that read networks, logs and published releases from other sources."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from grokinterp.cli.printing import note, say, say_json

LOG_FORMATS = """\b
Formats, by file extension:
  .csv .tsv .txt  names in the first line; exports of W&B and TensorBoard
  .json           lists, a history inside results, rows, several runs
  .jsonl          one object per line; _meta and _summary lines
  .npz .npy       arrays by name; .npy files of one run together
  .pth .pt        lists of losses or accuracies alongside weights
  events.out.*    TensorBoard's event files, or their folder
  a folder        a run directory

\b
Rules are KIND[:COLUMN][:THRESHOLD][xWINDOW], as in sustained:.95x10,
first:train:.99, stays:.99, grokked:.95x10, jump:.1, max, min, last.
The column is test (the default), train, test_loss or train_loss.

Exit code 1: some files could not be read (they are named); 2: no file could.
docs/import.md has an example of each format.
"""


def import_network(
    release: Annotated[
        str, typer.Argument(metavar="RELEASE", help="nanda, chughtai, pizza, transformer-lens, hf, series or file.")
    ],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The file or folder; see docs/import.md.")],
    out: Annotated[Path | None, typer.Option(metavar="RUN_DIR", help="Default: checkpoints/<name>-<hash>.")] = None,
    spec: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The TOML file that describes a series or a single file.")
    ] = None,
) -> None:
    """Turn a network that other people trained into a run directory."""
    from grokinterp.interop import import_run

    run = import_run(release, path, out, spec=spec)
    environment = run.directory.environment
    right = environment.get("accuracy")  # of networks that were measured here, and not exported by this package
    checkpoints = f"{len(run.steps)} checkpoint{'s' if len(run.steps) > 1 else ''}"
    measured = "" if right is None else f", accuracy {float(right):.1%} on all examples"
    say([f"{run.path}: {checkpoints}, step {run.steps[-1]}{measured}"])
    for line in environment.get("warnings", ()):
        note(f"warning: {line}")


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
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write one line per run; - prints them.")] = None,
) -> None:
    """Date the phases of any training logs: one run in full, several as a table."""
    from grokinterp.interop import logs
    from grokinterp.phases.counting import read_rules
    from grokinterp.storage.atomic import output_file, write_atomic

    written = None if csv is None or csv == Path("-") else output_file("csv", csv)
    rules, columns = read_rules(rule or []), logs.given_columns(column or [])
    dated = logs.date_logs(paths, rules=rules, columns=columns, join=join, percent=percent)
    if written is not None:
        write_atomic(written, logs.as_csv(dated).encode("utf-8"), replace=True)
    if as_json:
        say_json(logs.as_objects(dated))
    elif csv == Path("-"):
        say(logs.as_csv(dated).removesuffix("\n").split("\n"))
    elif dated.runs:
        say(logs.as_text(dated).split("\n"))
    for error in dated.failed:
        note(f"error: {error}")
    if dated.failed:
        raise typer.Exit(1 if dated.runs else 2)


def verify(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Released networks, at any depth below it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure published networks and compare the results with the published values.

    Exit code 1: some networks could not be read (they are named); 2: none could.
    """
    from grokinterp.reproduction.networks import networks

    networks(directory)

    from grokinterp.reproduction import table
    from grokinterp.reproduction import verify as verify_networks

    lines = verify_networks(directory, progress=True)
    if as_json:
        say_json([asdict(line) | {"verdict": line.verdict} for line in lines])
    else:
        say(table(lines).split("\n"))
    unread = [line for line in lines if not line.is_read]
    for line in unread:
        note(f"error: {line.network}: {line.quantity}")
    if unread:
        raise typer.Exit(1 if len(unread) < len(lines) else 2)
