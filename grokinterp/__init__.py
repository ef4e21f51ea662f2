"""Mechanistic interpretability of grokking.

A run is a trajectory of checkpoints; an analysis is a plain function of one checkpoint whose return type names its
axes; everything after that is an `xarray.Dataset` over `step`. The public names below and the submodules are imported
on first use, so that `import grokinterp` is immediate and loads neither torch nor transformer_lens.

Which `open` is for what: `Trajectory.open(run_dir)` reads a run's configuration, metrics and checkpoints, for
analyses; `Results.open(run_dir)` reads what `analyze` measured, without torch; `latest_run()` opens the trajectory
of the run that was written to last.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from grokinterp._version import __version__ as __version__

if TYPE_CHECKING:
    from grokinterp import analysis as analysis
    from grokinterp import custom as custom
    from grokinterp import diagnostics as diagnostics
    from grokinterp import errors as errors
    from grokinterp import experiment as experiment
    from grokinterp import figures as figures
    from grokinterp import interop as interop
    from grokinterp import league as league
    from grokinterp import losses as losses
    from grokinterp import maths as maths
    from grokinterp import models as models
    from grokinterp import optim as optim
    from grokinterp import page as page
    from grokinterp import phases as phases
    from grokinterp import presets as presets
    from grokinterp import report as report
    from grokinterp import reproduction as reproduction
    from grokinterp import runs as runs
    from grokinterp import storage as storage
    from grokinterp import sweeps as sweeps
    from grokinterp import tasks as tasks
    from grokinterp import training as training
    from grokinterp.analysis import analyze as analyze
    from grokinterp.analysis import evaluate as evaluate
    from grokinterp.custom import GrokkingAwareTrainer as GrokkingAwareTrainer
    from grokinterp.custom import configure_for_grokking as configure_for_grokking
    from grokinterp.custom import train_until_grokking as train_until_grokking
    from grokinterp.custom.recorder import Recorder as Recorder
    from grokinterp.diagnostics import Diagnosis as Diagnosis
    from grokinterp.diagnostics import diagnose as diagnose
    from grokinterp.errors import CheckpointError as CheckpointError
    from grokinterp.errors import ConfigError as ConfigError
    from grokinterp.errors import GrokinterpError as GrokinterpError
    from grokinterp.errors import NotDefined as NotDefined
    from grokinterp.errors import RunDirectoryError as RunDirectoryError
    from grokinterp.experiment import Experiment as Experiment
    from grokinterp.experiment import Optimization as Optimization
    from grokinterp.experiment import SaveAt as SaveAt
    from grokinterp.experiment import Schedules as Schedules
    from grokinterp.experiment import Split as Split
    from grokinterp.interop import import_run as import_run
    from grokinterp.models import MLPSpec as MLPSpec
    from grokinterp.models import RecursiveSpec as RecursiveSpec
    from grokinterp.models import TransformerSpec as TransformerSpec
    from grokinterp.optim import filtered as filtered
    from grokinterp.phases import Curves as Curves
    from grokinterp.phases import History as History
    from grokinterp.phases import find_phases as find_phases
    from grokinterp.presets import preset as preset
    from grokinterp.report import write_report as write_report
    from grokinterp.runs.checkpoint import Checkpoint as Checkpoint
    from grokinterp.runs.checkpoint import Problem as Problem
    from grokinterp.runs.results import Results as Results
    from grokinterp.runs.trajectory import Trajectory as Trajectory
    from grokinterp.runs.trajectory import latest_run as latest_run
    from grokinterp.training import train as train

_SUBMODULES = (
    "analysis",
    "custom",
    "diagnostics",
    "errors",
    "experiment",
    "figures",
    "interop",
    "league",
    "losses",
    "maths",
    "models",
    "optim",
    "page",
    "phases",
    "presets",
    "report",
    "reproduction",
    "runs",
    "storage",
    "sweeps",
    "tasks",
    "training",
)
_NAMES = {
    "grokinterp.analysis": ("analyze", "evaluate"),
    "grokinterp.experiment.problem": ("Problem",),
    "grokinterp.runs.checkpoint": ("Checkpoint",),
    "grokinterp.diagnostics": ("Diagnosis", "diagnose"),
    "grokinterp.errors": ("CheckpointError", "ConfigError", "GrokinterpError", "NotDefined", "RunDirectoryError"),
    "grokinterp.experiment": ("Experiment", "Optimization", "SaveAt", "Schedules", "Split"),
    "grokinterp.interop": ("import_run",),
    "grokinterp.models": ("MLPSpec", "RecursiveSpec", "TransformerSpec"),
    "grokinterp.optim": ("filtered",),
    "grokinterp.phases": ("Curves", "History", "find_phases"),
    "grokinterp.presets": ("preset",),
    "grokinterp.report": ("write_report",),
    "grokinterp.runs.results": ("Results",),
    "grokinterp.training": ("train",),
    "grokinterp.custom": ("GrokkingAwareTrainer", "Recorder", "configure_for_grokking", "train_until_grokking"),
    "grokinterp.runs.trajectory": ("Trajectory", "latest_run"),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "ConfigError",
    "Curves",
    "Diagnosis",
    "Experiment",
    "GrokinterpError",
    "GrokkingAwareTrainer",
    "History",
    "MLPSpec",
    "NotDefined",
    "Optimization",
    "Problem",
    "Recorder",
    "RecursiveSpec",
    "Results",
    "RunDirectoryError",
    "SaveAt",
    "Schedules",
    "Split",
    "Trajectory",
    "TransformerSpec",
    "analysis",
    "analyze",
    "configure_for_grokking",
    "custom",
    "diagnose",
    "diagnostics",
    "errors",
    "evaluate",
    "experiment",
    "figures",
    "filtered",
    "find_phases",
    "import_run",
    "interop",
    "latest_run",
    "league",
    "losses",
    "maths",
    "models",
    "optim",
    "page",
    "phases",
    "preset",
    "presets",
    "report",
    "reproduction",
    "runs",
    "storage",
    "sweeps",
    "tasks",
    "train",
    "train_until_grokking",
    "training",
    "write_report",
]


def __getattr__(name: str) -> object:
    """Import a public name or a submodule on first use and keep it."""
    if name in _SUBMODULES:
        value: object = import_module(f"grokinterp.{name}")
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'grokinterp' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
