"""All figures of a run as files with their data, and animations of its checkpoints.

The public names are imported on first use.
"""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door

if TYPE_CHECKING:
    from grokinterp.atlas.animation import animate
    from grokinterp.atlas.write import write_figures

__all__ = ["animate", "write_figures"]

__getattr__, __dir__ = front_door(__name__, {".animation": ("animate",), ".write": ("write_figures",)}, __all__)
