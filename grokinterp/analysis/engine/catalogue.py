"""Which analyses there are, and how many checkpoints of a run each is worth."""

import inspect
from collections.abc import Sequence
from itertools import pairwise

from grokinterp.analysis.circuit.causal import causal_evidence
from grokinterp.analysis.circuit.certified_accuracy import certified_accuracy
from grokinterp.analysis.circuit.directions import key_directions
from grokinterp.analysis.circuit.idealized import idealized_network
from grokinterp.analysis.circuit.isolated_circles import isolated_circles
from grokinterp.analysis.circuit.modes import mode_families
from grokinterp.analysis.circuit.phase_alignment import phase_alignment
from grokinterp.analysis.circuit.verdict import circuit
from grokinterp.analysis.engine.evaluate import Analysis
from grokinterp.analysis.groups.cosets import coset_scores
from grokinterp.analysis.groups.irrep_fve import group_power, irrep_fve
from grokinterp.analysis.groups.irrep_progress import irrep_progress
from grokinterp.analysis.groups.irreps import irrep_spectrum
from grokinterp.analysis.health.alignment import gradient_weight_alignment
from grokinterp.analysis.health.collapse import logit_statistics, softmax_collapse
from grokinterp.analysis.health.performance import label_noise, performance
from grokinterp.analysis.inside.ablation import head_ablation, neuron_ablation
from grokinterp.analysis.inside.activations import activation_statistics
from grokinterp.analysis.inside.attribution import integrated_gradients, logit_attribution
from grokinterp.analysis.inside.class_cosine import class_cosine
from grokinterp.analysis.inside.grafts import grafts
from grokinterp.analysis.inside.linear_probes import frequency_probes, linear_probes
from grokinterp.analysis.inside.patching import activation_patching
from grokinterp.analysis.inside.pruning import neuron_pruning
from grokinterp.analysis.inside.similarity import class_matrix, class_similarity
from grokinterp.analysis.inside.subnetwork import faithful_subnetwork
from grokinterp.analysis.landscape.curvature import hessian_eigenvalues, loss_line, sharpness
from grokinterp.analysis.landscape.gradients import gradient_flow, gradient_noise
from grokinterp.analysis.landscape.learning_coefficient import local_learning_coefficient
from grokinterp.analysis.landscape.norm_bounds import norm_bounds
from grokinterp.analysis.landscape.weight_path import weight_path
from grokinterp.analysis.landscape.weights import singular_values, weight_norms
from grokinterp.analysis.structure.answer_spectrum import answer_spectrum, operand_spectrum
from grokinterp.analysis.structure.attention import attention_map, attention_pattern, attention_periodicity
from grokinterp.analysis.structure.fourier import (
    embedding_circles,
    embedding_spectrum,
    logit_spectrum,
    neuron_frequencies,
    neuron_logit_spectrum,
)
from grokinterp.analysis.structure.heads import head_patterns
from grokinterp.analysis.structure.logit_map import logit_map
from grokinterp.analysis.structure.participation import neuron_participation
from grokinterp.analysis.structure.progress import progress_measures

EVERY: tuple[Analysis, ...] = (
    performance,
    label_noise,
    logit_statistics,
    softmax_collapse,
    embedding_spectrum,
    embedding_circles,
    neuron_logit_spectrum,
    neuron_frequencies,
    logit_spectrum,
    irrep_spectrum,
    answer_spectrum,
    operand_spectrum,
    irrep_fve,
    group_power,
    progress_measures,
    attention_pattern,
    attention_periodicity,
    head_patterns,
    class_cosine,
    gradient_weight_alignment,
    gradient_flow,
    weight_norms,
    weight_path,
    singular_values,
    causal_evidence,
    circuit,
    mode_families,
    key_directions,
)
"""What ``analyze`` runs on every checkpoint."""

MAPS: dict[Analysis, int] = {
    logit_map: 128,
    attention_map: 128,
    class_matrix: 9,
}
"""Cheap to compute and large to keep, so in single precision and, unless all are asked for, of at most so many."""

THINNED: dict[Analysis, int] = {
    irrep_progress: 9,
    coset_scores: 9,
    isolated_circles: 9,
    phase_alignment: 9,
    gradient_noise: 5,
    class_similarity: 9,
    linear_probes: 9,
    frequency_probes: 9,
    activation_statistics: 9,
    integrated_gradients: 9,
    logit_attribution: 9,
    local_learning_coefficient: 5,
    hessian_eigenvalues: 5,
    sharpness: 5,
    loss_line: 5,
    grafts: 5,
    head_ablation: 5,
    neuron_ablation: 5,
    activation_patching: 5,
    idealized_network: 9,
    neuron_participation: 9,
    faithful_subnetwork: 9,
    norm_bounds: 9,
    certified_accuracy: 9,
    neuron_pruning: 5,
}
"""Costly ones, with the largest number of checkpoints they run on unless all are asked for; 5 are among 9."""

ANALYSES: tuple[Analysis, ...] = (*EVERY, *MAPS, *THINNED)
"""What ``analyze`` runs, by function name."""

MOST = MAPS | THINNED


def thinned(steps: tuple[int, ...], most: int | None, landmarks: Sequence[int] = ()) -> tuple[int, ...]:
    """At most so many steps: the first, the last, those nearest to the landmarks, and then the middles of what is left.

    Of two numbers the smaller chooses from what the larger does. None takes all.

    >>> thinned((0, 10, 20, 30, 40, 50, 60, 70, 80), 4, [12])
    (0, 10, 40, 80)
    """
    if most is None or len(steps) <= most:
        return steps
    nearest = [min(range(len(steps)), key=lambda i, at=at: abs(steps[i] - at)) for at in landmarks]
    chosen = list(dict.fromkeys([0, len(steps) - 1, *nearest]))[:most]
    while len(chosen) < most:
        left, right = max(pairwise(sorted(chosen)), key=lambda gap: gap[1] - gap[0])
        chosen.append((left + right) // 2)
    return tuple(steps[i] for i in sorted(chosen))


def listing() -> list[str]:
    """Every analysis in a line, by how many checkpoints it runs on."""
    width = max(len(analysis.__name__) for analysis in ANALYSES)
    lines = []
    for most in (None, *sorted(set(MOST.values()), reverse=True)):
        lines.append(
            "every checkpoint" if most is None else f"at most {most} checkpoints, unless --every asks for more"
        )
        chosen = [analysis for analysis in ANALYSES if MOST.get(analysis) == most]
        lines += [f"  {one.__name__:{width}}  {(inspect.getdoc(one) or '').splitlines()[0]}" for one in chosen]
    return lines
