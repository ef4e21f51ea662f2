"""Networks and training logs from other code bases: published formats into run directories, logs into phases.

The public names are imported on first use, so that a log in a text file can be dated without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grokinterp.interop.importing import RELEASES as RELEASES
    from grokinterp.interop.importing import import_run as import_run
    from grokinterp.interop.logs import date_log as date_log
    from grokinterp.interop.logs import date_logs as date_logs
    from grokinterp.interop.release import Release as Release
    from grokinterp.interop.text_files import ForeignFileError as ForeignFileError

_HOME = {
    "RELEASES": "importing",
    "ForeignFileError": "text_files",
    "Release": "release",
    "date_log": "logs",
    "date_logs": "logs",
    "import_run": "importing",
}

__all__ = ["RELEASES", "ForeignFileError", "Release", "date_log", "date_logs", "import_run"]


def __getattr__(name: str) -> object:
    """Import a public name on first use and keep it."""
    if name not in _HOME:
        raise AttributeError(f"module 'grokinterp.interop' has no attribute {name!r}")
    value = getattr(import_module(f"grokinterp.interop.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
