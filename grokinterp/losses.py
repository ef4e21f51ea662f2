"""Cross-entropy without collapse, and the forms the papers trained with."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

LossForm = Literal["softplus", "float32", "float64"]


def cross_entropy(
    logits: Float[Tensor, "*batch class"], labels: Int[Tensor, "*batch"], *, form: LossForm = "softplus"
) -> Float[Tensor, "*batch"]:
    """Cross-entropy of every example, in nats.

    ``softplus``: softplus(logsumexp of the wrong logits - correct logit), in the dtype of the
    logits. It equals -log softmax and keeps its relative precision when the loss is far below the
    dtype's epsilon, where log-softmax returns exactly 0 (softmax collapse, Prieto et al. 2025, §3).
    ``float32`` / ``float64``: log-softmax computed in that dtype (float64: Nanda et al. 2023).

    >>> cross_entropy(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))
    tensor([0.6931])
    """
    if form == "softplus":
        correct = logits.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
        wrong = logits.scatter(-1, labels.unsqueeze(-1), -torch.inf).logsumexp(-1)
        return functional.softplus(wrong - correct, threshold=40)
    dtype = torch.float32 if form == "float32" else torch.float64
    log_probabilities = logits.to(dtype).log_softmax(-1)
    return -log_probabilities.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
