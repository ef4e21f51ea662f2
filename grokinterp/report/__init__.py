"""Write pages about runs, each a self-contained HTML file: the report of one run, a comparison, and a gallery."""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door

__all__ = ["render", "write_comparison", "write_gallery", "write_report"]

if TYPE_CHECKING:
    from grokinterp.report.comparison import write_comparison
    from grokinterp.report.gallery import write_gallery
    from grokinterp.report.write import render, write_report
else:
    homes = {
        ".comparison": ("write_comparison",),
        ".gallery": ("write_gallery",),
        ".write": ("render", "write_report"),
    }
    __getattr__, __dir__ = front_door(__name__, homes, __all__)
