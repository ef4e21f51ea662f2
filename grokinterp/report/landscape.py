"""The chapter on the loss landscape: gradients, weights, ranks and norms, learning coefficient, and Hessian."""

import xarray as xr

from grokinterp import figures
from grokinterp.report.plate import Plate, View
from grokinterp.runs import summary


def coefficient_caption(data: xr.Dataset, _view: View) -> str:
    """Return the caption of the learning coefficient, with the settings and the final state of its chains."""
    text = "Number of weight directions on which the training loss depends, estimated by Langevin dynamics"
    marks = "Open circles: the chains have not converged. Crosses: they diverged."
    if summary.SAMPLED not in data:
        return f"{text}. {marks}"
    last = data.isel(step=-1).data_vars.items()
    measured = {str(name): value.item() for name, value in last if value.size == 1}
    settings = summary.chain_settings(measured, data.sizes["chain"])
    return f"{text}: {settings}. At the last checkpoint: {summary.learning_coefficient(measured)}. {marks}"


PLATES = (
    Plate(
        lambda data, _: figures.gradient_shares(data),
        ("gradient_flow",),
        "Gradient by part of the model",
        "Share of each part of the model in the squared norm of the gradient.",
    ),
    Plate(
        lambda data, view: figures.update_directions(data, view.phases),
        ("gradient_flow",),
        "Update along and across the weights",
        "Components of the update: parallel to the weights, which scales them, and orthogonal to them, which rotates "
        "them.",
    ),
    Plate(
        lambda data, view: figures.weight_decay_share(data, view.phases),
        ("gradient_flow",),
        "Share of weight decay in the update",
        "Share of weight decay in the update: 1 where nothing else moves the weights.",
    ),
    Plate(
        lambda data, view: figures.weight_distances(data, view.phases),
        ("weight_path",),
        "Distance of the weights from both ends of training",
        "Distance of the weights from those of the first and of the last checkpoint.",
    ),
    Plate(
        lambda data, view: figures.weight_directions(data, view.phases),
        ("weight_path",),
        "Direction of the weights and of their updates",
        "Cosine of each update with the previous update: near 1 on a straight path, below 0 where the path oscillates. "
        "Cosine of the weights with the first checkpoint: how much of their initial direction remains.",
    ),
    Plate(
        lambda data, view: figures.gradient_noise(data, view.phases),
        ("gradient_noise",),
        "Signal-to-noise ratio of the gradient",
        "How strongly the training examples agree on the direction of the gradient.",
    ),
    Plate(
        lambda data, view: figures.learning_coefficient(data, view.phases),
        ("local_learning_coefficient",),
        "Local learning coefficient",
        coefficient_caption,
    ),
    Plate(
        lambda data, _: figures.learning_coefficient_traces(data),
        ("local_learning_coefficient",),
        "Chains of the learning coefficient",
        "Increase of the training loss along the chains. The learning coefficient is its mean after the gray burn-in; "
        "the curves are level where the chains are long enough.",
    ),
    Plate(
        lambda data, view: figures.curvature(data, view.phases, unit=view.vocabulary.unit),
        ("hessian_eigenvalues",),
        "Eigenvalues of the Hessian",
        "Largest curvatures of the training loss. If the smallest is clearly negative, the weights are not at a "
        "minimum.",
    ),
    Plate(
        lambda data, view: figures.sharpness(data, view.phases, unit=view.vocabulary.unit),
        ("sharpness",),
        "Sharpness",
        "Largest increase of the training loss found when every weight may change by a thousandth.",
    ),
    Plate(
        lambda data, view: figures.loss_barrier(data, view.phases, unit=view.vocabulary.unit),
        ("loss_line",),
        "Loss barrier on the line to the final weights",
        "How far the training loss rises above its endpoints on the straight line to the final weights.",
    ),
    Plate(
        lambda data, view: figures.loss_lines(data, unit=view.vocabulary.unit),
        ("loss_line",),
        "Loss on the line to the final weights",
        "Loss on the straight line from a checkpoint's weights to the final weights; a bump is a barrier.",
    ),
    Plate(
        lambda data, view: figures.effective_rank(data, view.phases),
        ("singular_values",),
        "Effective rank of the weight matrices",
        "Effective number of directions in each weight matrix.",
    ),
    Plate(
        lambda data, view: figures.singular_values(data, view.steps),
        ("singular_values",),
        "Singular values of the weight matrices",
        "Largest singular values of the weight matrices at the start of each phase and at the end.",
    ),
    Plate(
        lambda data, view: figures.logit_bounds(data, view.phases),
        ("norm_bounds",),
        "Norm-based bounds on the logits",
        "Bounds from the weight norms, which no logit can exceed on any input, and the largest actual logit (dashed); "
        "powers of ten.",
    ),
    Plate(
        lambda data, view: figures.norm_products(data, view.phases),
        ("norm_bounds",),
        "Products of the weight norms",
        "Products of the weight matrices' norms, alone and divided by the margin that 90 % of the training {examples} "
        "exceed; powers of ten. Generalization bounds grow with these products.",
    ),
)
