"""Train many runs: in a pool of processes that train and analyze them, or as one program; and their outcomes."""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door
from grokinterp.sweeps.folder import held, outcomes
from grokinterp.sweeps.outcome import measured
from grokinterp.sweeps.pool import Entry, cores, train_all

__all__ = ["Entry", "cores", "held", "measured", "outcomes", "train_all", "train_many"]

if TYPE_CHECKING:
    from grokinterp.sweeps.many import train_many
else:
    __getattr__, __dir__ = front_door(__name__, {".many": ("train_many",)}, __all__)
