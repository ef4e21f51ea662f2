"""Does a network treat its two operands alike?"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import functional_call, grad

from grokinterp.checkpoint import Checkpoint
from grokinterp.errors import NotDefined
from grokinterp.models import Model, ReadoutInputs, ReadoutProgram, in_program
from grokinterp.tasks import BinaryTask

TRIPLES = 2**13
"""Triples (a, b, c) that ``symmetricity`` draws; all there are up to p = 20."""

BATCH = 2048


class Symmetricity(NamedTuple):
    """How alike the two operands move the logits.

    gradient_symmetricity: mean cosine between the logit's gradients by the embeddings of a and b [1]
    gradient_symmetricity_error: standard error of that mean, 0 where every triple is taken [1]
    """

    gradient_symmetricity: Float[Tensor, ""]
    gradient_symmetricity_error: Float[Tensor, ""]


def symmetricity(checkpoint: Checkpoint, *, triples: int = TRIPLES) -> Symmetricity:
    """Mean of cos(∂L_abc/∂E_a, ∂L_abc/∂E_b) over triples of two operands and a class, by a fixed draw.

    E_a and E_b are what the two positions get of the embedding, also where a = b is one token. A pizza, to which only
    E_a + E_b matters, has 1. The cosines of a network scatter: by 0.001 in a pizza, by 0.15 to 0.5 in others, which
    published means over about 100 triples carry as an error of 0.0001 and of 0.015 to 0.05.

    Args:
        checkpoint: of a task with two operands and a model that embeds both by one table.
        triples: how many are drawn, without replacement; all of them if there are fewer.

    Source: Zhong et al. 2023, §5 (gradient symmetricity).

    Raises:
        NotDefined: not two operands, or tables of their own, whose gradients lie in different spaces.
    """
    cosines = drawn_cosines(checkpoint, "symmetricity", triples)
    all_triples = len(checkpoint.problem.tokens) * checkpoint.problem.task.n_classes
    left_out = 1 - len(cosines) / all_triples
    return Symmetricity(cosines.mean(), cosines.std() * (left_out / len(cosines)) ** 0.5)


def drawn_cosines(checkpoint: Checkpoint, analysis: str, triples: int) -> Float[Tensor, "triple"]:
    """The cosine of so many triples, always the same. Raises NotDefined as ``symmetricity``."""
    task, model = checkpoint.problem.task, checkpoint.model
    if not isinstance(task, BinaryTask):
        raise NotDefined(analysis, task.no_operands)
    if model.n_tables > 1:
        raise NotDefined(analysis, "each operand has a table of its own")
    tokens, classes = checkpoint.problem.tokens, task.n_classes
    parts = torch.from_numpy(draw(len(tokens) * classes, triples)).to(tokens.device).split(BATCH)
    return torch.cat([cosines(model, tokens[part // classes], part % classes) for part in parts])


@lru_cache(maxsize=8)
def draw(count: int, most: int) -> np.ndarray:
    """At most so many of the numbers below ``count``, without replacement; the same for every checkpoint."""
    return np.random.default_rng(0).choice(count, min(most, count), replace=False)


def cosines(
    model: Model, tokens: Int[Tensor, "triple position"], classes: Int[Tensor, "triple"]
) -> Float[Tensor, "triple"]:
    """cos(∂L_c/∂E_a, ∂L_c/∂E_b) for examples and classes.

    Every operand of every example becomes a token of its own, with a copy of its embedding behind the others, so that
    one backward pass through the fast read-out has all gradients.
    """
    table, program = model.embedding.detach(), ReadoutProgram(model)
    own = len(table) + torch.arange(2 * len(tokens), device=tokens.device).view(-1, 2)
    inputs = ReadoutInputs.of(torch.cat([own, tokens[:, 2:]], 1))

    def answer(copies: Float[Tensor, "copy feature"]) -> Float[Tensor, ""]:
        readout = functional_call(program, in_program(model, model.embedded_by(torch.cat([table, copies]))), (inputs,))
        return readout.logits.gather(1, classes[:, None]).sum()

    gradient = grad(answer)(table[tokens[:, :2].flatten()]).unflatten(0, (-1, 2))
    return torch.cosine_similarity(gradient[:, 0], gradient[:, 1], dim=-1, eps=0).detach()
