"""Inside: attribution, ablation, patching, probes, and activations of a network's components."""

from grokinterp.analysis.engine.entry import Entry
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

CHAPTER = (
    Entry(class_cosine, copies=1),
    Entry(class_matrix, most=9, single=True, title="Cosines between classes", copies=1),
    Entry(class_similarity, most=9),
    Entry(linear_probes, most=9),
    Entry(frequency_probes, most=9),
    Entry(activation_statistics, most=9),
    Entry(integrated_gradients, most=9),
    Entry(logit_attribution, most=9),
    Entry(faithful_subnetwork, most=9),
    Entry(grafts, most=5),
    Entry(head_ablation, most=5),
    Entry(neuron_ablation, most=5),
    Entry(activation_patching, most=5),
    Entry(neuron_pruning, most=5),
)
