"""Figures of a run: functions from datasets to a matplotlib Figure that measure nothing and change no global state."""

from grokinterp.figures.circuit.evidence import (
    causal_evidence,
    certified_accuracy,
    circles_alone,
    idealized_network,
)
from grokinterp.figures.circuit.modes import (
    key_directions,
    logit_modes,
    neuron_modes,
    phase_alignment,
)
from grokinterp.figures.circuit.verdict import circuit_verdict
from grokinterp.figures.groups import cosets, explained, irrep_similarity
from grokinterp.figures.health import (
    alignment,
    alignment_by_parameter,
    logit_magnitude,
    logit_margin,
    softmax_collapse,
)
from grokinterp.figures.inside import (
    ablation,
    activation_statistics,
    class_cosine,
    class_matrix,
    class_probes,
    faithful_subnetwork,
    grafts,
    logit_attribution,
    neuron_pruning,
    patching,
    representations,
    token_attribution,
)
from grokinterp.figures.landscape.learning_coefficient import (
    learning_coefficient,
    learning_coefficient_traces,
    llc_calibration,
)
from grokinterp.figures.landscape.loss import (
    curvature,
    loss_barrier,
    loss_lines,
    sharpness,
)
from grokinterp.figures.landscape.ranks import effective_rank, singular_values
from grokinterp.figures.landscape.weights import (
    gradient_noise,
    gradient_shares,
    logit_bounds,
    norm_products,
    update_directions,
    weight_decay_share,
    weight_directions,
    weight_distances,
)
from grokinterp.figures.settings import training_settings
from grokinterp.figures.structure.answers import answer_similarity, answers_explained, operand_power
from grokinterp.figures.structure.attention import (
    attention,
    attention_by_position,
    head_correlation,
    head_entropy,
)
from grokinterp.figures.structure.circles import circles
from grokinterp.figures.structure.neurons import neuron_participation
from grokinterp.figures.structure.order import learning_order
from grokinterp.figures.structure.spectra import spectra
from grokinterp.figures.style import save, to_png, to_svg
from grokinterp.figures.timeline import key_frequencies, timeline

__all__ = [
    "ablation",
    "activation_statistics",
    "alignment",
    "alignment_by_parameter",
    "answer_similarity",
    "answers_explained",
    "attention",
    "attention_by_position",
    "causal_evidence",
    "certified_accuracy",
    "circles",
    "circles_alone",
    "circuit_verdict",
    "class_cosine",
    "class_matrix",
    "class_probes",
    "cosets",
    "curvature",
    "effective_rank",
    "explained",
    "faithful_subnetwork",
    "gradient_noise",
    "gradient_shares",
    "grafts",
    "head_correlation",
    "head_entropy",
    "idealized_network",
    "irrep_similarity",
    "key_directions",
    "key_frequencies",
    "learning_coefficient",
    "learning_coefficient_traces",
    "learning_order",
    "llc_calibration",
    "logit_attribution",
    "logit_bounds",
    "logit_magnitude",
    "logit_margin",
    "logit_modes",
    "loss_barrier",
    "loss_lines",
    "neuron_modes",
    "neuron_participation",
    "neuron_pruning",
    "norm_products",
    "operand_power",
    "patching",
    "phase_alignment",
    "representations",
    "save",
    "sharpness",
    "singular_values",
    "softmax_collapse",
    "spectra",
    "timeline",
    "to_png",
    "to_svg",
    "token_attribution",
    "training_settings",
    "update_directions",
    "weight_decay_share",
    "weight_directions",
    "weight_distances",
]
