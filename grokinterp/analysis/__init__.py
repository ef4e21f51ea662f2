"""Plain functions of one checkpoint, and the pass that runs them over a trajectory."""

from grokinterp.analysis.alignment import gradient_weight_alignment
from grokinterp.analysis.analyze import analyze
from grokinterp.analysis.attention import attention_map, attention_pattern, attention_periodicity
from grokinterp.analysis.catalogue import ANALYSES
from grokinterp.analysis.evaluate import evaluate
from grokinterp.analysis.fourier import (
    embedding_circles,
    embedding_spectrum,
    logit_spectrum,
    neuron_frequencies,
    neuron_logit_spectrum,
)
from grokinterp.analysis.irreps import irrep_spectrum
from grokinterp.analysis.logits import label_noise, logit_map, logit_statistics, performance, softmax_collapse
from grokinterp.analysis.probes import class_cosine
from grokinterp.analysis.progress import progress_measures
from grokinterp.analysis.weights import singular_values, weight_norms

__all__ = [
    "ANALYSES",
    "analyze",
    "attention_map",
    "attention_pattern",
    "attention_periodicity",
    "class_cosine",
    "embedding_circles",
    "embedding_spectrum",
    "evaluate",
    "gradient_weight_alignment",
    "irrep_spectrum",
    "label_noise",
    "logit_map",
    "logit_spectrum",
    "logit_statistics",
    "neuron_frequencies",
    "neuron_logit_spectrum",
    "performance",
    "progress_measures",
    "singular_values",
    "softmax_collapse",
    "weight_norms",
]
