"""Losses of the literature, per example: cross-entropies with and without collapse, and the mean squared error."""

from typing import Literal

from jaxtyping import Bool, Float, Int

from grokinterp.lazy import Tensor, torch
from grokinterp.maths.log_sum_exp import log_sum_exp
from grokinterp.maths.stablemax import log_stable_scale, stable_scale

CrossEntropyForm = Literal["softplus", "float32", "float64", "stablemax", "float16", "bfloat16"]
LossForm = Literal["softplus", "float32", "float64", "stablemax", "mse", "float16", "bfloat16"]

LOG_SOFTMAX = ("float16", "bfloat16", "float32", "float64")
"""The forms that are -log softmax in their precision."""


def cross_entropy(
    logits: Float[Tensor, "*batch class"], labels: Int[Tensor, "*batch"], *, form: CrossEntropyForm = "softplus"
) -> Float[Tensor, "*batch"]:
    """Return the cross-entropy of every example in nats: -log of the probability of its label.

    ``softplus``: softplus(logsumexp of the wrong logits - correct logit), in the dtype of the logits. It equals -log
    softmax and keeps its relative precision when the loss is far below the dtype's epsilon, where log-softmax returns
    exactly 0 (softmax collapse, Prieto et al. 2025, §3). ``float32`` / ``float64``: log-softmax computed in that dtype
    (float64: Nanda et al. 2023). ``float16`` / ``bfloat16``: log-softmax of logits in that dtype, with every
    intermediate result rounded to it: it is exactly 0 once the correct logit leads by about 7.6 / 5.5 (Prieto et al.
    2025, §3). ``stablemax``: a different loss, with probabilities s(z) / Σ s(z) instead of exp(z) /
    Σ exp(z), in the dtype of the logits (Prieto et al. 2025, §4.1). It decreases as 1 / gap instead of exp(-gap).

    >>> cross_entropy(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))
    tensor([0.6931])
    """
    if form == "softplus":
        correct = logits.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
        wrong = log_sum_exp(logits.scatter(-1, labels.unsqueeze(-1), -torch.inf))
        return torch.nn.functional.softplus(wrong - correct, threshold=40)
    if form == "stablemax":
        return minus_log_stablemax(logits, labels)
    rounded = logits.to(getattr(torch, form))
    is_wide = form in ("float32", "float64")
    log_probabilities = rounded.log_softmax(-1) if is_wide else rounded_log_softmax(rounded).float()
    return -log_probabilities.gather(-1, labels.unsqueeze(-1)).squeeze(-1)


def rounded_log_softmax(logits: Float[Tensor, "*batch class"]) -> Float[Tensor, "*batch class"]:
    """Return log softmax with every intermediate result in the dtype of the logits.

    PyTorch's log-softmax of float16 computes in float32 and rounds the result alone.

    >>> rounded_log_softmax(torch.tensor([8.0, 0.0], dtype=torch.float16))[0]
    tensor(0., dtype=torch.float16)
    """
    shifted = logits - logits.amax(-1, keepdim=True).detach()
    return shifted - shifted.exp().sum(-1, keepdim=True).log()


def minus_log_stablemax(
    logits: Float[Tensor, "*batch class"], labels: Int[Tensor, "*batch"]
) -> Float[Tensor, "*batch"]:
    """Return -log s(z_label) / Σ s(z), as softplus(log Σ of the wrong s(z) - log s(z_label)), which never rounds to 0.

    >>> minus_log_stablemax(torch.tensor([[1.0, -1.0]]), torch.tensor([0])).exp()  # (2 + 1/2) / 2
    tensor([1.2500])
    """
    right = labels.unsqueeze(-1)
    wrong = stable_scale(logits).scatter(-1, right, 0.0).sum(-1).clamp(min=torch.finfo(logits.dtype).tiny)
    gap = log_stable_scale(logits.gather(-1, right)).squeeze(-1) - wrong.log()
    return torch.nn.functional.softplus(-gap, threshold=40)


def squared_error(logits: Float[Tensor, "*batch class"], labels: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Return the mean over classes of (logit - 1 for the label, logit - 0 otherwise)² for every example.

    Source: Gromov 2023 (the loss of its solvable networks).

    >>> squared_error(torch.tensor([[3.0, 2.0]]), torch.tensor([1]))
    tensor([5.])
    """
    wanted = torch.zeros_like(logits).scatter(-1, labels.unsqueeze(-1), 1.0)
    return (logits - wanted).square().mean(-1)


def example_losses(
    logits: Float[Tensor, "*answer class"],
    labels: Int[Tensor, "*answer"] | Float[Tensor, "*answer class"],
    *,
    form: LossForm = "softplus",
    supervised: Float[Tensor, "supervision *answer class"] | None = None,
) -> Float[Tensor, "*answer"]:
    """Return the training loss of every answer: a cross-entropy in nats, or the squared error; 0 for the label -1.

    If the labels are numbers, the targets of a regression, it is the mean over the outputs of (output - target)².

    Under deep supervision, which trains the logits of every supervision step, it is the mean over these steps.

    >>> steps = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]])  # wrong, then undecided
    >>> example_losses(steps[-1], torch.tensor([1]), form="mse", supervised=steps)
    tensor([0.7500])
    """
    if labels.is_floating_point():
        return (logits - labels).square().mean(-1)
    if supervised is not None:
        return example_losses(supervised, labels.expand(supervised.shape[:-1]), form=form).mean(0)
    asked = labels.clamp(min=0)
    losses = squared_error(logits, asked) if form == "mse" else cross_entropy(logits, asked, form=form)
    return losses.masked_fill(labels < 0, 0.0)


def mean_of_answers(
    losses: Float[Tensor, "*batch answer"],
    labels: Int[Tensor, "*batch answer"] | Float[Tensor, "*batch answer output"],
) -> Float[Tensor, "*batch"]:
    """Return the loss of every example: the mean over the answers that it asks for, those without the label -1.

    >>> mean_of_answers(torch.tensor([[3.0, 1.0, 0.0]]), torch.tensor([[5, 2, -1]]))
    tensor([2.])
    """
    return losses.mean(-1) if labels.is_floating_point() else losses.sum(-1) / (labels >= 0).sum(-1)


def right_answers(
    logits: Float[Tensor, "*batch answer class"], labels: Int[Tensor, "*batch answer"]
) -> Bool[Tensor, "*batch"]:
    """Return whether each example has the largest logit at the label of every answer that it asks for.

    Source: Power et al. 2022 (the accuracy of their released program).
    """
    return ((logits.argmax(-1) == labels) | (labels < 0)).all(-1)


def close_answers(
    outputs: Float[Tensor, "*batch answer output"],
    targets: Float[Tensor, "*batch answer output"],
    *,
    tolerance: float,
) -> Bool[Tensor, "*batch"]:
    """Return whether the root mean squared error of every answer of an example is at most ``tolerance``.

    Source: Levi et al. 2023 (accuracy of a regression as the share of examples with an error below a threshold).

    >>> close_answers(torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[1.0, 1.5]]]), tolerance=0.4)
    tensor([True])
    """
    return ((outputs - targets).square().mean(-1) <= tolerance**2).all(-1)


def exact(form: LossForm) -> LossForm:
    """Return the form that evaluates the same loss in the dtype of the logits without collapse."""
    return "softplus" if form in LOG_SOFTMAX else form


def exact_losses(
    logits: Float[Tensor, "*answer class"],
    supervised: Float[Tensor, "supervision *answer class"] | None,
    labels: Int[Tensor, "*answer"] | Float[Tensor, "*answer class"],
    *,
    form: LossForm,
) -> Float[Tensor, "*answer"]:
    """Return the training loss of every answer, evaluated in float64 without collapse."""
    doubled = None if supervised is None else supervised.double()
    return example_losses(logits.double(), labels, form=exact(form), supervised=doubled)
