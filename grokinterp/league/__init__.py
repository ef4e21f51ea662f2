"""Leagues: one experiment trained with many methods and seeds, and a page that compares times to generalization."""

from typing import TYPE_CHECKING

from grokinterp.front_door import front_door
from grokinterp.league.arguments import PATIENCE
from grokinterp.league.methods import CHOSEN, METHODS, Method

if TYPE_CHECKING:
    from grokinterp.league.modules import run_module_league
    from grokinterp.league.page import write_page
    from grokinterp.league.run import run_league
    from grokinterp.league.table import as_text
    from grokinterp.league.tuned_table import tuned_text

__all__ = [
    "CHOSEN", "METHODS", "PATIENCE", "Method", "as_text", "run_league", "run_module_league", "tuned_text", "write_page",
]  # fmt: skip

__getattr__, __dir__ = front_door(
    __name__,
    {
        ".modules": ("run_module_league",), ".page": ("write_page",), ".run": ("run_league",), ".table": ("as_text",),
        ".tuned_table": ("tuned_text",),
    },
    __all__,
)  # fmt: skip
