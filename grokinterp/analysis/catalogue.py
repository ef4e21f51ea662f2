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
"""What ``analyze`` runs unless other entries are given."""

ANALYSES = tuple(entry.analysis for entry in ENTRIES)
"""The functions alone."""


def listing() -> list[str]:
    """Return a line for every analysis, grouped by the number of checkpoints it runs on."""
    width = max(len(entry.name) for entry in ENTRIES)
    lines = []
    for most in (None, *sorted({entry.most for entry in ENTRIES if entry.most is not None}, reverse=True)):
        lines.append(
            "every checkpoint" if most is None else f"at most {most} checkpoints, unless --every asks for more"
        )
        lines += [f"  {entry.name:{width}}  {entry.first_line}" for entry in ENTRIES if entry.most == most]
    return lines
