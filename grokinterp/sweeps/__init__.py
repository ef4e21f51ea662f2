"""Train many runs: products of experiments, in a pool of processes or as one program; their outcomes and database."""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door

__all__ = [
    "SWEEPS", "Database", "Entry", "Grid", "Sweep", "analyze_runs", "build_db", "cores", "held", "measured", "open_db",
    "outcomes", "predict", "product", "run_sweep", "sweeps_in", "train_all", "train_many", "update_db",
]  # fmt: skip

if TYPE_CHECKING:
    from grokinterp.sweeps.analyses import analyze_runs
    from grokinterp.sweeps.contents import sweeps_in
    from grokinterp.sweeps.database import Database, open_db
    from grokinterp.sweeps.entry import Entry
    from grokinterp.sweeps.folder import held, outcomes
    from grokinterp.sweeps.grid import Grid, product
    from grokinterp.sweeps.ingest import build_db, update_db
    from grokinterp.sweeps.many import train_many
    from grokinterp.sweeps.named import SWEEPS
    from grokinterp.sweeps.outcome import measured
    from grokinterp.sweeps.pool import train_all
    from grokinterp.sweeps.prediction.forecast import predict
    from grokinterp.sweeps.processes import cores
    from grokinterp.sweeps.sweep import Sweep, run_sweep
else:
    __getattr__, __dir__ = front_door(
        __name__,
        {
            ".analyses": ("analyze_runs",),
            ".contents": ("sweeps_in",),
            ".database": ("Database", "open_db"),
            ".entry": ("Entry",),
            ".folder": ("held", "outcomes"),
            ".grid": ("Grid", "product"),
            ".ingest": ("build_db", "update_db"),
            ".many": ("train_many",),
            ".named": ("SWEEPS",),
            ".outcome": ("measured",),
            ".pool": ("train_all",),
            ".prediction.forecast": ("predict",),
            ".processes": ("cores",),
            ".sweep": ("Sweep", "run_sweep"),
        },
        __all__,
    )
