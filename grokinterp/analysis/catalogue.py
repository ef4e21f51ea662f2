"""All analyses, chapter by chapter."""

from grokinterp.analysis.circuit import CHAPTER as CIRCUIT
from grokinterp.analysis.groups import CHAPTER as GROUPS
from grokinterp.analysis.health import CHAPTER as HEALTH
from grokinterp.analysis.inside import CHAPTER as INSIDE
from grokinterp.analysis.landscape import CHAPTER as LANDSCAPE
from grokinterp.analysis.structure import CHAPTER as STRUCTURE

ENTRIES = (
    *STRUCTURE,
    *GROUPS,
    *CIRCUIT,
    *INSIDE,
    *LANDSCAPE,
    *HEALTH,
)
"""The entries that ``analyze`` runs by default."""

ANALYSES = tuple(entry.analysis for entry in ENTRIES)
"""The analysis functions of all entries."""
