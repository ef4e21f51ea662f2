"""The entry point: table of commands, one-line errors, and exit codes of signals."""

import signal
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer

from grokinterp._version import __version__
from grokinterp.cli import foreign, league, listings, measuring, training
from grokinterp.errors import ConfigError, GrokinterpError, one_line

app = typer.Typer(
    help="Mechanistic interpretability of grokking: train, analyze, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

COMMANDS: dict[str, Callable[..., None]] = {
    "train": training.train,
    "analyze": measuring.analyze,
    "llc": measuring.llc,
    "report": measuring.report,
    "diagnose": measuring.diagnose,
    "import": foreign.import_network,
    "phases": foreign.phases,
    "verify": foreign.verify,
    "demo": training.demo,
    "league": league.league,
    "methods": listings.methods,
    "presets": listings.presets,
    "tasks": listings.tasks,
    "models": listings.models,
    "analyses": listings.analyses,
}
"""Every command by its name, in the order of the help; a new command joins this table."""

for name, command in COMMANDS.items():
    app.command(name, epilog=foreign.LOG_FORMATS if name == "phases" else None)(command)

USAGE_ERROR: Any = next(kind for kind in typer.BadParameter.mro() if kind.__name__ == "ClickException")
"""The exception of typer for an invalid command line, from its bundled or the installed click."""

INTERRUPTED = 128 + signal.SIGINT


def print_version(asked: bool) -> bool:
    """Print the version and end the command, where it is asked for."""
    if asked:
        print(f"grokinterp {__version__}")
        raise typer.Exit
    return asked


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Declare the options of the program itself."""


def main() -> NoReturn:
    """Run the command line; a user error prints one line with exit code 2; SIGINT exits with 130, SIGTERM with 143."""
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
    """Print a warning as one line on standard error, without its location in the code."""
    print(f"warning: {one_line(message)}", file=sys.stderr)


def fail(line: str) -> NoReturn:
    """Print a one-line error and exit with code 2."""
    print(one_line(line), file=sys.stderr)
    sys.exit(2)
