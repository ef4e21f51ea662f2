"""Export runs as folders that other people's tools load, and read such folders back as the same runs."""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door

__all__ = ["FORMATS", "export_run", "restore_run"]

if TYPE_CHECKING:
    from grokinterp.interop.publishing.export import export_run
    from grokinterp.interop.publishing.formats import FORMATS
    from grokinterp.interop.publishing.restore import restore_run
else:
    homes = {".export": ("export_run",), ".formats": ("FORMATS",), ".restore": ("restore_run",)}
    __getattr__, __dir__ = front_door(__name__, homes, __all__)
