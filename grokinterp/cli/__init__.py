"""The command line: each command reads its arguments and calls one public function.

Commands import their dependencies when they run, so that help, listings and errors do not wait for torch. This file
imports almost nothing, so that a signal during the other imports already ends the process without a traceback.
"""

import _signal  # ty: ignore[import-not-found] - the module signal without its enumerations, which take long to import

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, which takes long to import
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> "NoReturn":
    """Run the command line and exit; a stopping signal exits with 128 + its number (SIGINT 130, SIGTERM 143)."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # until the handlers are set
    from grokinterp.interrupt import die_of_signals, exit_on_signals, say_interrupted

    exit_on_signals()
    try:
        from grokinterp.cli.entry import run

        run()
    except KeyboardInterrupt:
        say_interrupted()
        raise SystemExit(130) from None
    finally:
        die_of_signals()
