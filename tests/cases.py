"""The tables over which the general laws run: one line per analysis."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from grokinterp import analysis


class Case(NamedTuple):
    """An analysis and the arguments to test it with."""

    analysis: Callable[..., Any]
    arguments: dict[str, Any] = {}  # noqa: RUF012 - never changed


KEYS = {"key_frequencies": torch.tensor([1, 3])}

ANALYSES = {
    case.analysis.__name__: case
    for case in (
        Case(analysis.performance),
        Case(analysis.label_noise),
        Case(analysis.logit_statistics),
        Case(analysis.softmax_collapse),
        Case(analysis.logit_map),
        Case(analysis.embedding_spectrum),
        Case(analysis.embedding_circles, KEYS),
        Case(analysis.neuron_logit_spectrum),
        Case(analysis.neuron_frequencies),
        Case(analysis.logit_spectrum),
        Case(analysis.irrep_spectrum),
        Case(analysis.progress_measures, KEYS),
        Case(analysis.attention_map),
        Case(analysis.attention_pattern),
        Case(analysis.attention_periodicity),
        Case(analysis.class_cosine),
        Case(analysis.class_similarity),
        Case(analysis.class_matrix),
        Case(analysis.linear_probes),
        Case(analysis.frequency_probes, KEYS),
        Case(analysis.activation_statistics),
        Case(analysis.integrated_gradients),
        Case(analysis.logit_attribution),
        Case(analysis.gradient_weight_alignment),
        Case(analysis.weight_norms),
        Case(analysis.singular_values),
    )
}
