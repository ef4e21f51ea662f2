"""Train an experiment into a run directory.

The public names are imported on first use, so that a device and a directory can be checked without torch.
"""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door

if TYPE_CHECKING:
    from grokinterp.training.directory import default_directory
    from grokinterp.training.environment import choose_device
    from grokinterp.training.loop import train

__all__ = ["choose_device", "default_directory", "train"]

__getattr__, __dir__ = front_door(
    __name__,
    {".directory": ("default_directory",), ".environment": ("choose_device",), ".loop": ("train",)},
    __all__,
)
