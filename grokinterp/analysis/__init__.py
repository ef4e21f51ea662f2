"""Plain functions of one checkpoint, and the pass that runs them over a trajectory."""

from grokinterp.analysis.ablation import head_ablation, neuron_ablation
from grokinterp.analysis.activations import activation_statistics
from grokinterp.analysis.alignment import gradient_weight_alignment
from grokinterp.analysis.analyze import analyze
from grokinterp.analysis.answers import answer_spectrum, operand_spectrum
from grokinterp.analysis.attention import attention_map, attention_pattern, attention_periodicity
from grokinterp.analysis.attribution import integrated_gradients, logit_attribution
from grokinterp.analysis.catalogue import ANALYSES
from grokinterp.analysis.causal import causal_evidence
from grokinterp.analysis.certified_accuracy import certified_accuracy
from grokinterp.analysis.circles import isolated_circles
from grokinterp.analysis.circuits import circuit
from grokinterp.analysis.cosets import coset_scores
from grokinterp.analysis.directions import key_directions
from grokinterp.analysis.evaluate import evaluate
from grokinterp.analysis.filtered import filtered_alignment
from grokinterp.analysis.fourier import (
    embedding_circles,
    embedding_spectrum,
    logit_spectrum,
    neuron_frequencies,
    neuron_logit_spectrum,
)
from grokinterp.analysis.gradients import gradient_flow, gradient_noise
from grokinterp.analysis.grafts import graft, grafts
from grokinterp.analysis.heads import head_patterns
from grokinterp.analysis.idealized import idealized_network
from grokinterp.analysis.irrep_fve import group_power, irrep_fve
from grokinterp.analysis.irrep_progress import irrep_progress
from grokinterp.analysis.irreps import irrep_spectrum
from grokinterp.analysis.landscape import hessian_eigenvalues, loss_line, sharpness
from grokinterp.analysis.learning_coefficient import local_learning_coefficient
from grokinterp.analysis.linear_probes import frequency_probes, linear_probes
from grokinterp.analysis.llc_calibration import calibrate_llc
from grokinterp.analysis.logits import label_noise, logit_map, logit_statistics, performance, softmax_collapse
from grokinterp.analysis.modes import mode_families
from grokinterp.analysis.norm_bounds import norm_bounds
from grokinterp.analysis.participation import neuron_participation
from grokinterp.analysis.patching import activation_patching, patch
from grokinterp.analysis.phase_alignment import phase_alignment
from grokinterp.analysis.probes import class_cosine
from grokinterp.analysis.progress import progress_measures
from grokinterp.analysis.pruning import neuron_pruning
from grokinterp.analysis.similarity import class_matrix, class_similarity
from grokinterp.analysis.subnetwork import faithful_subnetwork
from grokinterp.analysis.weight_path import weight_path
from grokinterp.analysis.weights import singular_values, weight_norms

__all__ = [
    "ANALYSES",
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
    "graft",
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
    "patch",
    "performance",
    "phase_alignment",
    "progress_measures",
    "sharpness",
    "singular_values",
    "softmax_collapse",
    "weight_norms",
    "weight_path",
]
