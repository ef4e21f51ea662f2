"""Read runs: the trajectory of checkpoints, the training metrics, the analysis results, and their summary.

The public names are imported on first use, so that results can be read without torch.
"""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door

if TYPE_CHECKING:
    from grokinterp.runs.checkpoint import Checkpoint
    from grokinterp.runs.results import Results
    from grokinterp.runs.trajectory import Trajectory, Weights, latest_run

__all__ = ["Checkpoint", "Results", "Trajectory", "Weights", "latest_run"]

__getattr__, __dir__ = front_door(
    __name__,
    {
        ".checkpoint": ("Checkpoint",),
        ".results": ("Results",),
        ".trajectory": ("Trajectory", "Weights", "latest_run"),
    },
    __all__,
)
