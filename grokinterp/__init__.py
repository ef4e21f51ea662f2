"""Mechanistic interpretability of grokking.

A run is a trajectory of checkpoints; an analysis is a plain function of one checkpoint whose return type names its
axes; everything after that is an `xarray.Dataset` over `step`. The public names below and the submodules are imported
on first use, so that `import grokinterp` is immediate and loads neither torch nor transformer_lens. Specifications
of tasks, models, filters and schedules are in the submodules: `grokinterp.tasks.ModularAddition(p=97)`.

`Trajectory.open(run_dir)` reads a run's configuration, metrics and checkpoints, and analyses take it as input;
`Results.open(run_dir)` reads the results of `analyze`, without torch; `latest_run()` opens the trajectory of the run
that was written last. With a trajectory `run`, `run[1200]` is the checkpoint of a saved step, `run[-1]` the last one,
`run[100:2000]` a part of the run, `run.model(1200)` the model alone, in float32, and `run.results` its results.
"""

from grokinterp._version import __version__ as __version__
from grokinterp.front_door import front_door

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, which takes long to import

__all__ = [
    "Checkpoint", "CheckpointError", "ConfigError", "Curves", "Diagnosis", "DivergedError", "Experiment",
    "ForeignFileError", "GrokinterpError", "GrokkingAwareTrainer", "GrokkingDetector", "History", "MLPSpec",
    "NotDefined", "Optimization", "Problem", "Recorder", "RecursiveSpec", "Results", "RunDirectoryError", "SaveAt",
    "Schedules", "Split", "Stopped", "Trajectory", "TransformerSpec", "WriteError", "analysis", "analyze", "animate",
    "atlas", "branch", "configure_for_grokking", "custom", "diagnose", "diagnostics", "errors", "evaluate",
    "experiment", "explore", "export_run", "figures", "filtered", "find_phases", "import_run", "imshow", "interactive",
    "interop", "interventions", "latest_run", "league", "line", "losses", "maths", "models", "optim", "page", "phases",
    "preset", "presets", "product", "report", "reproduction", "runs", "scatter", "statistics", "storage",
    "sweep_report", "sweeps", "tasks", "train", "train_many", "train_until_grokking", "training", "watch",
    "write_comparison", "write_figures", "write_gallery", "write_report", "write_sweep_report",
]  # fmt: skip

if TYPE_CHECKING:
    from grokinterp import (
        analysis,
        atlas,
        custom,
        diagnostics,
        errors,
        experiment,
        figures,
        interactive,
        interop,
        interventions,
        league,
        losses,
        maths,
        models,
        optim,
        page,
        phases,
        presets,
        report,
        reproduction,
        runs,
        statistics,
        storage,
        sweep_report,
        sweeps,
        tasks,
        training,
        watch,
    )
    from grokinterp.analysis import analyze, evaluate
    from grokinterp.atlas import animate, write_figures
    from grokinterp.custom import (
        DivergedError,
        GrokkingAwareTrainer,
        Recorder,
        configure_for_grokking,
        train_until_grokking,
    )
    from grokinterp.diagnostics import Diagnosis, diagnose
    from grokinterp.errors import (
        CheckpointError,
        ConfigError,
        GrokinterpError,
        NotDefined,
        RunDirectoryError,
        WriteError,
    )
    from grokinterp.experiment import Experiment, Optimization, SaveAt, Schedules, Split
    from grokinterp.experiment.problem import Problem
    from grokinterp.interactive import explore, imshow, line, scatter
    from grokinterp.interop import ForeignFileError, export_run, import_run
    from grokinterp.interrupt import Stopped
    from grokinterp.models import MLPSpec, RecursiveSpec, TransformerSpec
    from grokinterp.optim import filtered
    from grokinterp.phases import Curves, GrokkingDetector, History, find_phases
    from grokinterp.presets import preset
    from grokinterp.report import write_comparison, write_gallery, write_report
    from grokinterp.runs.checkpoint import Checkpoint
    from grokinterp.runs.results import Results
    from grokinterp.runs.trajectory import Trajectory, latest_run
    from grokinterp.sweep_report import write_sweep_report
    from grokinterp.sweeps import product, train_many
    from grokinterp.training import branch, train
else:  # type checkers then report unknown names
    __getattr__, __dir__ = front_door(
        __name__,
        {
            ".analysis": ("analyze", "evaluate"),
            ".atlas": ("animate", "write_figures"),
            ".custom": (
                "DivergedError", "GrokkingAwareTrainer", "Recorder", "configure_for_grokking", "train_until_grokking",
            ),
            ".diagnostics": ("Diagnosis", "diagnose"),
            ".errors": (
                "CheckpointError", "ConfigError", "GrokinterpError", "NotDefined", "RunDirectoryError", "WriteError",
            ),
            ".experiment": ("Experiment", "Optimization", "SaveAt", "Schedules", "Split"),
            ".experiment.problem": ("Problem",),
            ".interactive": ("explore", "imshow", "line", "scatter"),
            ".interop": ("ForeignFileError", "export_run", "import_run"),
            ".interrupt": ("Stopped",),
            ".models": ("MLPSpec", "RecursiveSpec", "TransformerSpec"),
            ".optim": ("filtered",),
            ".phases": ("Curves", "GrokkingDetector", "History", "find_phases"),
            ".presets": ("preset",),
            ".report": ("write_comparison", "write_gallery", "write_report"),
            ".runs.checkpoint": ("Checkpoint",),
            ".runs.results": ("Results",),
            ".runs.trajectory": ("Trajectory", "latest_run"),
            ".sweep_report": ("write_sweep_report",),
            ".sweeps": ("product", "train_many"),
            ".training": ("branch", "train"),
        },
        __all__,
    )  # fmt: skip
