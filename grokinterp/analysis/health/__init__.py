"""Health: loss and accuracy, magnitude of the logits, softmax collapse, and alignment of gradients and weights."""

from grokinterp.analysis.engine.entry import Entry
from grokinterp.analysis.health.alignment import gradient_weight_alignment
from grokinterp.analysis.health.collapse import logit_statistics, softmax_collapse
from grokinterp.analysis.health.performance import label_noise, performance

CHAPTER = (
    Entry(performance, title="Loss and accuracy"),
    Entry(label_noise, where=lambda problem: problem.has_noise),
    Entry(logit_statistics, copies=1),
    Entry(softmax_collapse, copies=1),
    Entry(gradient_weight_alignment),
)
