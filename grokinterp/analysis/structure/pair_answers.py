"""The answer of the network to every pair of operands: whether it is correct, its loss, and its correct logit."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.analysis.structure.cyclic_grid import by_operands
from grokinterp.runs.checkpoint import Checkpoint


class PairAnswers(NamedTuple):
    """The answer to every pair of operands.

    pair_is_correct: 1 if the pair is answered correctly, else 0 [1]
    pair_is_trained: 1 if the pair is a training example, else 0 [1]
    pair_loss: loss of the pair on its training label, or on the correct answer if it is held out [nats]
    pair_correct_logit: logit of the correct answer minus the mean logit of the pair [nats]
    """

    pair_is_correct: Float[Tensor, "a b"]
    pair_is_trained: Float[Tensor, "a b"]
    pair_loss: Float[Tensor, "a b"]
    pair_correct_logit: Float[Tensor, "a b"]


def pair_answers(checkpoint: Checkpoint) -> PairAnswers:
    """Return, for every pair (a, b), whether the answer is correct, the loss, and the centered correct logit.

    With ``logits [example, class]`` and the correct class y, the answer is correct if z[y] is the largest logit, and
    the centered correct logit is z[y] - mean_c z[c]. Where a network memorizes, only its training pairs are answered
    correctly; a circuit answers every pair, and its correct logit shows the waves of the circuit. Pairs for which
    a ∘ b is not defined are NaN.

    Source: docs/formulas.md, Fourier structure; Nanda et al. 2023, §4.1 (logits over all pairs).

    Raises:
        NotDefined: the task does not have two operands, or its targets are numbers.
    """
    problem, logits = checkpoint.problem, checkpoint.logits.double()
    label = problem.label.unsqueeze(1)
    correct = logits.gather(1, label).squeeze(1)
    columns = (
        (logits.argmax(1, keepdim=True) == label).squeeze(1).double(),
        problem.is_train.double(),
        checkpoint.losses.double(),
        correct - logits.mean(1),
    )
    maps = by_operands(torch.stack(columns, dim=1), problem.task, "pair_answers")
    return PairAnswers(*maps.unbind(-1))
