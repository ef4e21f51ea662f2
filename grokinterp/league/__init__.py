"""A league of methods: the same runs by every one of them, and one page that compares when they generalize."""

from grokinterp.league.methods import CHOSEN, METHODS, Method
from grokinterp.league.page import write_comparison
from grokinterp.league.run import PATIENCE, compare
from grokinterp.league.table import as_text

__all__ = ["CHOSEN", "METHODS", "PATIENCE", "Method", "as_text", "compare", "write_comparison"]
