"""Structure: spectra, circles, neurons, logits, and attention of networks trained on cyclic tasks."""

from grokinterp.analysis.engine.entry import Entry
from grokinterp.analysis.structure.answer_spectrum import answer_spectrum, operand_spectrum
from grokinterp.analysis.structure.attention import attention_map, attention_pattern, attention_periodicity
from grokinterp.analysis.structure.fourier import (
    embedding_circles,
    embedding_spectrum,
    logit_spectrum,
    neuron_frequencies,
    neuron_logit_spectrum,
)
from grokinterp.analysis.structure.head_roles import has_repetitions, head_roles
from grokinterp.analysis.structure.heads import head_patterns
from grokinterp.analysis.structure.logit_map import logit_map
from grokinterp.analysis.structure.neuron_logits import neuron_logit_map, neuron_logit_waves
from grokinterp.analysis.structure.pair_answers import pair_answers
from grokinterp.analysis.structure.pair_waves import neuron_grids, pair_waves
from grokinterp.analysis.structure.participation import neuron_participation
from grokinterp.analysis.structure.progress import progress_measures

CHAPTER = (
    Entry(embedding_spectrum, copies=1),
    Entry(embedding_circles, copies=1),
    Entry(neuron_logit_spectrum, copies=1),
    Entry(neuron_frequencies, copies=1),
    Entry(logit_spectrum, copies=1),
    Entry(answer_spectrum, copies=1),
    Entry(operand_spectrum, copies=1),
    Entry(progress_measures, copies=5),
    Entry(attention_pattern, copies=1),
    Entry(attention_periodicity, copies=1),
    Entry(head_patterns, copies=1),
    Entry(head_roles, where=has_repetitions, copies=1),
    Entry(logit_map, most=128, single=True, title="Logits by label", copies=1),
    Entry(attention_map, most=128, single=True, copies=1),
    Entry(neuron_participation, most=9),
    Entry(pair_answers, most=128, single=True, title="Answers by pair", copies=1),
    Entry(neuron_grids, most=9, single=True, title="Neurons over all pairs", copies=1),
    Entry(pair_waves, most=5, single=True, title="Two-dimensional Fourier components", copies=3),
    Entry(neuron_logit_map, most=9, single=True, title="Neuron-to-logit map", copies=1),
    Entry(neuron_logit_waves, most=9, single=True, title="Frequencies of the neuron-to-logit map", copies=1),
)
