"""Circuit: the algorithm that a network implements, with causal evidence, an idealized network, and proofs."""

from grokinterp.analysis.circuit.branch_evidence import branch_evidence
from grokinterp.analysis.circuit.causal import causal_evidence
from grokinterp.analysis.circuit.certified_accuracy import certified_accuracy
from grokinterp.analysis.circuit.directions import key_directions
from grokinterp.analysis.circuit.idealized import idealized_network
from grokinterp.analysis.circuit.isolated_circles import isolated_circles
from grokinterp.analysis.circuit.modes import mode_families
from grokinterp.analysis.circuit.phase_alignment import phase_alignment
from grokinterp.analysis.circuit.verdict import circuit_verdict
from grokinterp.analysis.engine.entry import Entry
from grokinterp.analysis.groups import has_branches

CHAPTER = (
    Entry(causal_evidence),
    Entry(branch_evidence, most=32, title="Causal evidence by operation", where=has_branches),
    Entry(circuit_verdict),
    Entry(mode_families),
    Entry(key_directions),
    Entry(isolated_circles, most=9, copies=5),
    Entry(phase_alignment, most=9),
    Entry(idealized_network, most=9, copies=8),
    Entry(certified_accuracy, most=9, copies=5),
)
