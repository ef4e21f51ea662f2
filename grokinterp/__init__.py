"""Mechanistic interpretability of grokking.

A run is a trajectory of checkpoints; an analysis is a plain function of one checkpoint whose return type names its
axes; everything after that is an `xarray.Dataset` over `step`. The public names below are imported on first use, so
that `import grokinterp` costs nothing and loads neither torch nor transformer_lens.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grokinterp import presets as presets
    from grokinterp.analysis import analyze as analyze
    from grokinterp.analysis import evaluate as evaluate
    from grokinterp.checkpoint import Checkpoint as Checkpoint
    from grokinterp.experiment import Experiment as Experiment
    from grokinterp.optim import filtered as filtered
    from grokinterp.report import write_report as write_report
    from grokinterp.training import GrokkingAwareTrainer as GrokkingAwareTrainer
    from grokinterp.training import configure_for_grokking as configure_for_grokking
    from grokinterp.training import train as train
    from grokinterp.training import train_until_grokking as train_until_grokking
    from grokinterp.training.recorder import Recorder as Recorder
    from grokinterp.trajectory import Trajectory as Trajectory

__version__ = "0.1.0"

_HOME = {
    "Checkpoint": "grokinterp.checkpoint",
    "Experiment": "grokinterp.experiment",
    "GrokkingAwareTrainer": "grokinterp.training",
    "Recorder": "grokinterp.training.recorder",
    "Trajectory": "grokinterp.trajectory",
    "analyze": "grokinterp.analysis",
    "configure_for_grokking": "grokinterp.training",
    "evaluate": "grokinterp.analysis",
    "filtered": "grokinterp.optim",
    "presets": "grokinterp.presets",
    "train": "grokinterp.training",
    "train_until_grokking": "grokinterp.training",
    "write_report": "grokinterp.report",
}

__all__ = [
    "Checkpoint",
    "Experiment",
    "GrokkingAwareTrainer",
    "Recorder",
    "Trajectory",
    "analyze",
    "configure_for_grokking",
    "evaluate",
    "filtered",
    "presets",
    "train",
    "train_until_grokking",
    "write_report",
]


def __getattr__(name: str) -> object:
    """Import a public name on first use and keep it."""
    if name not in _HOME:
        raise AttributeError(f"module 'grokinterp' has no attribute {name!r}")
    home = import_module(_HOME[name])
    value = home if home.__name__ == f"grokinterp.{name}" else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
