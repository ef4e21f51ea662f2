"""Groups: irreducible representations and cosets in networks whose task is a product in a group."""

from grokinterp.analysis.engine.entry import Entry
from grokinterp.analysis.groups.cosets import coset_scores
from grokinterp.analysis.groups.irrep_fve import group_power, irrep_fve
from grokinterp.analysis.groups.irrep_progress import irrep_progress
from grokinterp.analysis.groups.irreps import irrep_spectrum

CHAPTER = (
    Entry(irrep_spectrum, title="Spectrum over irreducible representations", copies=1),
    Entry(irrep_fve, title="Variance explained by irreducible representations", copies=1),
    Entry(group_power, title="Power over irreducible representations", copies=1),
    Entry(irrep_progress, most=9, title="Progress measures over irreducible representations", copies=6),
    Entry(coset_scores, most=9, copies=1),
)
