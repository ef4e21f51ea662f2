"""Networks and training logs from other code bases: published formats into run directories, logs into phases.

The public names are imported on first use, so that a log in a text file can be dated without torch.
"""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door

if TYPE_CHECKING:
    from grokinterp.interop.importing import RELEASES, import_run
    from grokinterp.interop.logs import date_log, date_logs
    from grokinterp.interop.publishing import export_run
    from grokinterp.interop.release import Release
    from grokinterp.interop.text_files import ForeignFileError

__all__ = ["RELEASES", "ForeignFileError", "Release", "date_log", "date_logs", "export_run", "import_run"]

__getattr__, __dir__ = front_door(
    __name__,
    {
        ".importing": ("RELEASES", "import_run"),
        ".logs": ("date_log", "date_logs"),
        ".publishing": ("export_run",),
        ".release": ("Release",),
        ".text_files": ("ForeignFileError",),
    },
    __all__,
)
