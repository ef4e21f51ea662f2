"""Train an experiment into a run directory.

The public names are imported on first use, so that a device and a directory can be checked without torch.
"""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door

if TYPE_CHECKING:
    from grokinterp.training.directory import default_directory
    from grokinterp.training.environment import choose_device
    from grokinterp.training.loop import branch, train
    from grokinterp.training.origin import branched

__all__ = ["branch", "branched", "choose_device", "default_directory", "train"]

__getattr__, __dir__ = front_door(
    __name__,
    {
        ".origin": ("branched",),
        ".directory": ("default_directory",),
        ".environment": ("choose_device",),
        ".loop": ("branch", "train"),
    },
    __all__,
)
