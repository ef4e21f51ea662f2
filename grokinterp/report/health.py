"""The chapter on numerical health: softmax collapse, logits and margins, and alignment."""

from grokinterp import figures
from grokinterp.report.plate import Plate

PLATES = (
    Plate(
        lambda data, view: figures.softmax_collapse(data, view.phases),
        ("softmax_collapse",),
        "Softmax collapse",
        "Share of the training examples on which a softmax loss stops learning, by precision.",
    ),
    Plate(
        lambda data, view: figures.logit_magnitude(data, view.phases, unit=view.vocabulary.logit_unit),
        ("logit_statistics",),
        "Magnitude of the logits",
        "Size of the logits on all examples.",
    ),
    Plate(
        lambda data, view: figures.logit_margin(data, view.phases, unit=view.vocabulary.logit_unit),
        ("logit_statistics",),
        "Logit margin",
        "Difference between the correct logit and the largest incorrect logit.",
    ),
    Plate(
        lambda data, view: figures.alignment(data, view.phases),
        ("gradient_weight_alignment",),
        "Alignment of gradient and update with the weights",
        "Cosine with the weights. At −1 for the gradient, gradient descent only scales the weights up.",
    ),
    Plate(
        lambda data, _: figures.alignment_by_parameter(data),
        ("gradient_weight_alignment",),
        "Alignment by parameter",
        "Cosines of the gradient and of the applied update with each parameter; gray where it is not defined.",
    ),
)
