"""Statistics over runs, pure functions of plain arrays: survival, proportions, thresholds, and shapes of curves."""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door

__all__ = [
    "Crossing", "Interval", "Median", "Shape", "Shift", "Threshold", "Times", "crossing", "kaplan_meier", "median",
    "stratified_trend", "threshold", "u_shape", "wilson",
]  # fmt: skip

if TYPE_CHECKING:
    from grokinterp.statistics.crossings import Crossing, crossing
    from grokinterp.statistics.proportions import Interval, wilson
    from grokinterp.statistics.shapes import Shape, u_shape
    from grokinterp.statistics.strata import Shift, stratified_trend
    from grokinterp.statistics.survival import Median, Times, kaplan_meier, median
    from grokinterp.statistics.thresholds import Threshold, threshold
else:
    __getattr__, __dir__ = front_door(
        __name__,
        {
            ".crossings": ("Crossing", "crossing"),
            ".proportions": ("Interval", "wilson"),
            ".strata": ("Shift", "stratified_trend"),
            ".survival": ("Median", "Times", "kaplan_meier", "median"),
            ".thresholds": ("Threshold", "threshold"),
            ".shapes": ("Shape", "u_shape"),
        },
        __all__,
    )
