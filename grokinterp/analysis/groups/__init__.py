"""Groups: irreducible representations and cosets in networks whose task is a product in a group."""

from grokinterp.analysis.engine.entry import Entry
from grokinterp.analysis.groups.branches import branch_performance, branch_spectrum
from grokinterp.analysis.groups.cosets import coset_scores
from grokinterp.analysis.groups.factors import factor_power
from grokinterp.analysis.groups.irrep_fve import group_power, irrep_fve
from grokinterp.analysis.groups.irrep_progress import irrep_progress
from grokinterp.analysis.groups.irreps import irrep_spectrum
from grokinterp.analysis.groups.rivals import rival_groups
from grokinterp.experiment.problem import Problem


def has_many_operands(problem: Problem) -> bool:
    """Return whether the answers are products of more than two operands in a group."""
    return len(problem.task.operand_positions) > 2 and problem.task.product_group is not None


def has_branches(problem: Problem) -> bool:
    """Return whether the task has several operations."""
    return bool(problem.task.branches)


def has_rivals(problem: Problem) -> bool:
    """Return whether two groups agree on the training examples of the task."""
    return bool(problem.task.rivals)


CHAPTER = (
    Entry(irrep_spectrum, title="Spectrum over irreducible representations", copies=1),
    Entry(irrep_fve, title="Variance explained by irreducible representations", copies=1),
    Entry(group_power, title="Power over irreducible representations", copies=1),
    Entry(irrep_progress, most=9, title="Progress measures over irreducible representations", copies=6),
    Entry(coset_scores, most=9, copies=1),
    Entry(factor_power, title="Embeddings of the operands over representations", where=has_many_operands, copies=1),
    Entry(branch_performance, title="Performance by operation", where=has_branches, copies=2),
    Entry(branch_spectrum, title="Representations by operation", where=has_branches, copies=2),
    Entry(rival_groups, title="Answers in each of two groups", where=has_rivals, copies=2),
)
