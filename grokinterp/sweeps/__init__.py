"""Train many runs at once: a pool of processes that train and analyze them, and the outcome of each run."""

from grokinterp.sweeps.folder import held, outcomes
from grokinterp.sweeps.many import train_many
from grokinterp.sweeps.outcome import measured
from grokinterp.sweeps.pool import Entry, cores, train_all

__all__ = ["Entry", "cores", "held", "measured", "outcomes", "train_all", "train_many"]
