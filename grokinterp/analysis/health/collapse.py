"""Magnitude of the logits, and softmax collapse: examples from which a plain softmax loss no longer learns."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.analysis.health.performance import over_splits
from grokinterp.runs.checkpoint import Checkpoint

ROWS = 1024  # examples at a time, so that intermediate results stay in the processor's cache
PRECISIONS = {
    "float32": torch.float32, "float64": torch.float64, "float16": torch.float16, "bfloat16": torch.bfloat16,
}  # fmt: skip

AXES = {"precision": tuple(PRECISIONS)}


class LogitStatistics(NamedTuple):
    """Magnitude of the logits per split.

    logit_mean_abs: mean absolute logit [nats]
    logit_max_abs: largest absolute logit [nats]
    logit_margin: mean of the correct logit minus the largest wrong logit [nats]
    logit_norm: mean L2 norm of an example's logits after subtracting their mean [nats]
    logit_scale: temperature at which the row-centered logits have root mean square 1 [nats]
    """

    logit_mean_abs: Float[Tensor, "split"]
    logit_max_abs: Float[Tensor, "split"]
    logit_margin: Float[Tensor, "split"]
    logit_norm: Float[Tensor, "split"]
    logit_scale: Float[Tensor, "split"]


class SoftmaxCollapse(NamedTuple):
    """Shares of the training examples for which a plain softmax loss exhausts the floating-point precision.

    collapsed_share: share of training examples whose softmax denominator rounds to 1 [1]
    zero_loss_share: share of training examples whose log-softmax loss is exactly 0 [1]
    zero_gradient_share: share of training examples whose loss has a zero gradient in every logit [1]
    """

    collapsed_share: Float[Tensor, "precision"]
    zero_loss_share: Float[Tensor, "precision"]
    zero_gradient_share: Float[Tensor, "precision"]


def logit_statistics(checkpoint: Checkpoint) -> LogitStatistics:
    """Return magnitude, margin, norm, and scale of the logits on the training, test, and all examples.

    With z the logits of an example, z̄ their mean over the C classes and y its label, the fields are: the mean of |z|,
    the maximum of |z|, the margin (mean of z_y - max_{j≠y} z_j), the norm (mean of ‖z - z̄‖), and the scale (square
    root of the mean of ‖z - z̄‖² / C), which is the temperature T at which z / T has unit scale. All five are
    proportional to the logits; norm and scale are invariant to a constant added to the logits of an example.

    Source: docs/formulas.md, Numerical health; Prieto et al. 2025, §3 (logit scaling).
    """
    logits, problem = checkpoint.logits, checkpoint.problem
    parts = zip(logits.split(ROWS), problem.trained_label.split(ROWS), strict=True)
    rows = torch.cat([row_statistics(part.double(), labels) for part, labels in parts], dim=-1)
    mean_abs, max_abs, margin, norm = rows.unbind(-2)
    mean_square = over_splits(norm.square() / logits.shape[-1], problem, torch.mean)
    return LogitStatistics(
        logit_mean_abs=over_splits(mean_abs, problem, torch.mean),
        logit_max_abs=over_splits(max_abs, problem, largest),
        logit_margin=over_splits(margin, problem, torch.mean),
        logit_norm=over_splits(norm, problem, torch.mean),
        logit_scale=mean_square.sqrt(),
    )


def softmax_collapse(checkpoint: Checkpoint) -> SoftmaxCollapse:
    """Return the shares of the training examples from which a softmax loss no longer learns, in each precision.

    The logits z of an example are cast to the precision and evaluated in it. An example is collapsed if
    Σ_j exp(z_j - max z) is exactly 1; its loss is zero if -log_softmax(z)_y is exactly 0; its gradient is zero if
    softmax(z) - onehot(y) is 0 in every class. Subnormal probabilities count as 0, because training flushes them. A
    zero_gradient_share of 1 means that the loss no longer changes the weights.

    With p = 113 and equal wrong logits, the loss is 0 above a margin of about 20.7 in float32 and 39.4 in float64
    (within 2, depending on the order of summation), while the gradient in the wrong classes vanishes only above 87.3
    and 708.4. The denominator rounds to 1 above about 12.3 in float16 and 10.3 in bfloat16. Logits that overflow in
    float16, above 65,504, count as not collapsed: their loss is not finite. All of these are properties of the logits:
    the softplus form of the loss is not affected by them.

    Source: Prieto et al. 2025, §3 (softmax collapse).
    """
    is_train = checkpoint.problem.is_train
    logits, labels = checkpoint.logits[is_train], checkpoint.problem.trained_label[is_train]
    shares = [collapse(logits.to(dtype), labels) for dtype in PRECISIONS.values()]
    return SoftmaxCollapse(*torch.stack(shares, dim=-1).unbind(-2))


def largest(values: Float[Tensor, "example"]) -> Float[Tensor, ""]:
    """Return the maximum; like a mean, it is NaN without examples."""
    return values.amax() if len(values) else values.sum() / 0


def row_statistics(
    logits: Float[Tensor, "example class"], labels: Int[Tensor, "example"]
) -> Float[Tensor, "4 example"]:
    """Return mean |z|, max |z|, margin, and centered norm of every example."""
    magnitude = logits.abs()
    norm = torch.linalg.vector_norm(logits - logits.mean(-1, keepdim=True), dim=-1)
    return torch.stack([magnitude.mean(-1), magnitude.amax(-1), margins(logits, labels), norm])


def margins(logits: Float[Tensor, "example class"], labels: Int[Tensor, "example"]) -> Float[Tensor, "example"]:
    """Return the correct logit minus the largest wrong logit, per example.

    >>> margins(torch.tensor([[5.0, 2.0, 3.0]]), torch.tensor([0]))
    tensor([2.])
    """
    label = labels.unsqueeze(-1)
    return logits.gather(-1, label).squeeze(-1) - logits.scatter(-1, label, -torch.inf).amax(-1)


def collapse(logits: Float[Tensor, "example class"], labels: Int[Tensor, "example"]) -> Float[Tensor, "3"]:
    """Return the shares of collapsed, zero-loss and zero-gradient examples in the precision of the logits.

    The gradient in a wrong class is its probability, so the most probable wrong class decides: its probability is at
    most exp(-margin), and equal to it once the denominator is 1.
    """
    smallest = torch.finfo(logits.dtype).tiny
    collapsed = (logits - logits.amax(-1, keepdim=True)).exp().sum(-1) == 1
    zero_loss = logits.log_softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1) == 0
    zero_gradient = (-margins(logits, labels)).exp() < smallest
    return torch.stack([collapsed, zero_loss, zero_gradient]).double().mean(-1)
