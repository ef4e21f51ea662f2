"""Charts and an explorer for notebooks: plotly figures that name the axes of the arrays they show.

They need the extra "notebooks", which is imported on first use.
"""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door

if TYPE_CHECKING:
    from grokinterp.interactive.explorer import explore
    from grokinterp.interactive.heatmap import imshow
    from grokinterp.interactive.lines import line
    from grokinterp.interactive.points import scatter

__all__ = ["explore", "imshow", "line", "scatter"]

__getattr__, __dir__ = front_door(
    __name__,
    {
        ".explorer": ("explore",),
        ".heatmap": ("imshow",),
        ".lines": ("line",),
        ".points": ("scatter",),
    },
    __all__,
)
