"""Analyses (plain functions of one checkpoint) and the functions that run them over a trajectory."""

from grokinterp.analysis.catalogue import ANALYSES, ENTRIES
from grokinterp.analysis.circuit.causal import causal_evidence
from grokinterp.analysis.circuit.certified_accuracy import certified_accuracy
from grokinterp.analysis.circuit.directions import key_directions
from grokinterp.analysis.circuit.idealized import idealized_network
from grokinterp.analysis.circuit.isolated_circles import isolated_circles
from grokinterp.analysis.circuit.modes import mode_families
from grokinterp.analysis.circuit.phase_alignment import phase_alignment
from grokinterp.analysis.circuit.verdict import circuit
from grokinterp.analysis.engine.entry import Entry
from grokinterp.analysis.engine.evaluate import evaluate
from grokinterp.analysis.groups.cosets import coset_scores
from grokinterp.analysis.groups.irrep_fve import group_power, irrep_fve
from grokinterp.analysis.groups.irrep_progress import irrep_progress
from grokinterp.analysis.groups.irreps import irrep_spectrum
from grokinterp.analysis.health.alignment import gradient_weight_alignment
from grokinterp.analysis.health.collapse import logit_statistics, softmax_collapse
from grokinterp.analysis.health.filtered_alignment import filtered_alignment
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
from grokinterp.analysis.landscape.llc_calibration import calibrate_llc
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
from grokinterp.analysis.whole_run import analyze

__all__ = [
    "ANALYSES",
    "ENTRIES",
    "Entry",
    "activation_patching",
    "activation_statistics",
    "analyze",
    "answer_spectrum",
    "attention_map",
    "attention_pattern",
    "attention_periodicity",
    "calibrate_llc",
    "causal_evidence",
    "certified_accuracy",
    "circuit",
    "class_cosine",
    "class_matrix",
    "class_similarity",
    "coset_scores",
    "embedding_circles",
    "embedding_spectrum",
    "evaluate",
    "faithful_subnetwork",
    "filtered_alignment",
    "frequency_probes",
    "gradient_flow",
    "gradient_noise",
    "gradient_weight_alignment",
    "grafts",
    "group_power",
    "head_ablation",
    "head_patterns",
    "hessian_eigenvalues",
    "idealized_network",
    "integrated_gradients",
    "irrep_fve",
    "irrep_progress",
    "irrep_spectrum",
    "isolated_circles",
    "key_directions",
    "label_noise",
    "linear_probes",
    "local_learning_coefficient",
    "logit_attribution",
    "logit_map",
    "logit_spectrum",
    "logit_statistics",
    "loss_line",
    "mode_families",
    "neuron_ablation",
    "neuron_frequencies",
    "neuron_logit_spectrum",
    "neuron_participation",
    "neuron_pruning",
    "norm_bounds",
    "operand_spectrum",
    "performance",
    "phase_alignment",
    "progress_measures",
    "sharpness",
    "singular_values",
    "softmax_collapse",
    "weight_norms",
    "weight_path",
]
