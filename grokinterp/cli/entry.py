"""The table of commands, one-line errors, and exit codes."""

import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer

from grokinterp._version import __version__
from grokinterp.cli import (
    configuring,
    database,
    drawing,
    foreign,
    league,
    listings,
    measuring,
    pages,
    predicting,
    publishing,
    sweeping,
    training,
)
from grokinterp.cli.printing import note, say
from grokinterp.cli.processors import wait_passively_on_a_busy_machine
from grokinterp.errors import ConfigError, GrokinterpError
from grokinterp.interrupt import Stopped
from grokinterp.streams import Output, tolerant_streams

app = typer.Typer(
    help="Mechanistic interpretability of grokking: train, analyze, report.",
    no_args_is_help=True,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

COMMANDS: dict[str, Callable[..., None]] = {
    "train": training.train,
    "config": configuring.config,
    "branch": training.branch,
    "analyze": measuring.analyze,
    "llc": measuring.llc,
    "report": measuring.report,
    "figures": drawing.figures,
    "animate": drawing.animate,
    "compare": pages.compare,
    "gallery": pages.gallery,
    "watch": pages.watch,
    "diagnose": measuring.diagnose,
    "import": foreign.import_network,
    "export": publishing.export,
    "cite": publishing.cite,
    "phases": foreign.phases,
    "verify": foreign.verify,
    "demo": training.demo,
    "sweep": sweeping.sweep,
    "league": league.league,
    "runs": database.runs,
    "sweep-report": database.sweep_report,
    "predict": predicting.predict,
    "methods": listings.methods,
    "presets": listings.presets,
    "sweeps": sweeping.sweeps,
    "tasks": listings.tasks,
    "models": listings.models,
    "edits": listings.edits,
    "analyses": listings.analyses,
}
"""Every command by its name, in the order of the help; a new command joins this table."""

EPILOGS = {"phases": foreign.LOG_FORMATS, "train": training.FILE_FORMATS, "tasks": training.FILE_FORMATS}
"""Texts after the options in the help of some commands."""

for name, command in COMMANDS.items():
    summary = listings.summary(command.__doc__)
    app.command(name, short_help=summary, epilog=EPILOGS.get(name))(command)

GROUPS = {"db": database.db}
"""Every group of commands by its name."""

for name, group in GROUPS.items():
    app.add_typer(group, name=name)

USAGE_ERROR: Any = next(kind for kind in typer.BadParameter.mro() if kind.__name__ == "ClickException")
"""The exception of typer for an invalid command line, from its bundled or the installed click."""

WRONG = 2
"""Exit code of wrong input, and of files and streams that cannot be read or written."""

INTERRUPTED = 128 + signal.SIGINT
PIPE_CLOSED = 128 + signal.SIGPIPE


def print_version(asked: bool) -> bool:
    """Print the version and end the command, where it is asked for."""
    if asked:
        say([f"grokinterp {__version__}"])
        raise typer.Exit
    return asked


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Declare the options of the program itself."""


def run() -> NoReturn:
    """Run the command line and exit.

    A user error prints one line and exits with code 2. Work never ends because its output cannot be printed. If results
    on standard output were lost, the exit code is not 0; if the reader closed the pipe, it is that of SIGPIPE, without
    a message.
    """
    wait_passively_on_a_busy_machine()
    with tolerant_streams() as (out, _), warnings_in_lines():
        code = code_of(sys.argv[1:] or ["--help"]) or code_of_output(out)
    sys.exit(code)


def code_of(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; report its error."""
    try:
        code = int(app(arguments, prog_name="grokinterp", standalone_mode=False) or 0)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Stopped as stopped:
        code = 128 + stopped.signal
    except (GrokinterpError, OSError, USAGE_ERROR) as error:
        note(line_of(error))
        code = WRONG
    except Exception:  # a bug in this package
        traceback.print_exc()
        code = 1
    if code == INTERRUPTED:
        note("interrupted")
    return code


def line_of(error: Exception) -> str:
    """Return the line that reports an error."""
    if isinstance(error, USAGE_ERROR):
        return f"error: {error.format_message()}"
    if isinstance(error, OSError):
        return f"error: {error.filename or 'input or output'}: {error.strerror or error}"
    return f"{'config ' if isinstance(error, ConfigError) else ''}error: {error}"


def code_of_output(out: Output) -> int:
    """Return 0 if everything could be printed, otherwise an exit code; report a failure other than a closed pipe."""
    if out.failure is None:
        return 0
    if isinstance(out.failure, BrokenPipeError):
        return PIPE_CLOSED
    note(f"error: standard output: {out.failure.strerror}")
    return WRONG


@contextmanager
def warnings_in_lines() -> Generator[None]:
    """Print each warning inside the block once, as one line on standard error without its location in the code."""
    before, shown = warnings.showwarning, set()

    def show(message: object, *_: object, **__: object) -> None:
        if str(message) not in shown:  # Python forgets which warnings it has shown when a filter changes
            shown.add(str(message))
            note(f"warning: {message}")

    setattr(warnings, "showwarning", show)  # noqa: B010 - a plain assignment would have to match its signature
    try:
        yield
    finally:
        setattr(warnings, "showwarning", before)  # noqa: B010
