"""Does a network treat its two operands alike?"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import functional_call, grad

from grokinterp.analysis.structure.cyclic_grid import cyclic_grid
from grokinterp.errors import NotDefined
from grokinterp.models import Model, ReadoutInputs, ReadoutProgram, in_program
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import BinaryTask

FEWEST, MOST = 2**9, 2**12
"""Triples (a, b, c) that are drawn: at every checkpoint at least, and at most to settle a verdict."""

TRIPLES = 2**13
"""Triples that ``symmetricity`` draws by default; all triples up to p = 20."""

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

    E_a and E_b are what the two positions get of the embedding, also where a = b is one token. A network to which only
    E_a + E_b matters has 1; (1 - g)/2 is about the share of the gradient's squared norm that tells a from b. The
    cosines of a network scatter: by 0.001 in a pizza, by 0.15 to 0.5 in others, which published means over about 100
    triples carry as an error of 0.0001 and of 0.015 to 0.05.

    Where the operands enter a cyclic group by different exponents, such as b by -b under subtraction, the gradient of
    b is turned first, by the orthogonal map that best takes the embedding of every token as b to that of the token
    with the same exponent as a. Without that, a network that adds the embedding of a and the reflected one of b, the
    sum type of subtraction, would have 0.

    Args:
        checkpoint: of a task with two operands and a model that embeds both by one table.
        triples: how many are drawn, without replacement; all of them if there are fewer.

    Source: Zhong et al. 2023, §5 (gradient symmetricity); docs/formulas.md, Circuit verdict (subtraction).

    Raises:
        NotDefined: other than two operands, or tables of their own, whose gradients lie in different spaces.
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
    tokens, classes, turn = checkpoint.problem.tokens, task.n_classes, turn_of(checkpoint)
    parts = torch.from_numpy(draw(len(tokens) * classes, triples)).to(tokens.device).split(BATCH)
    return torch.cat([cosines(model, tokens[part // classes], part % classes, turn) for part in parts])


def turn_of(checkpoint: Checkpoint) -> Float[Tensor, "feature feature"] | None:
    """The orthogonal map from what a token gives as b to what the token with its exponent gives as a; None if the same.

    On the span of the embedding it is the polar factor of E_bᵀ E_a, rows by exponents; elsewhere the identity.
    """
    try:
        grid = cyclic_grid(checkpoint, "symmetricity")
    except NotDefined:
        return None
    if not grid.share_tokens or torch.equal(grid.left, grid.right):
        return None
    table = checkpoint.model.embedding.detach().double()
    axes = torch.linalg.svd(table[grid.left], full_matrices=False).Vh
    left, _, right = torch.linalg.svd((table[grid.right] @ axes.mT).mT @ (table[grid.left] @ axes.mT))
    identity = torch.eye(table.shape[1], dtype=table.dtype, device=table.device)
    return axes.mT @ (left @ right) @ axes + identity - axes.mT @ axes


@lru_cache(maxsize=8)
def draw(count: int, most: int) -> np.ndarray:
    """At most so many of the numbers below ``count``, without replacement; the same for every checkpoint."""
    return np.random.default_rng(0).choice(count, min(most, count), replace=False)


def cosines(
    model: Model,
    tokens: Int[Tensor, "triple position"],
    classes: Int[Tensor, "triple"],
    turn: Float[Tensor, "feature feature"] | None = None,
) -> Float[Tensor, "triple"]:
    """cos(∂L_c/∂E_a, ∂L_c/∂E_b) for examples and classes, the second gradient turned first if need be.

    Every operand of every example becomes a token of its own, with a copy of its embedding after the others, so that
    one backward pass through the fast read-out has all gradients.
    """
    table, program = model.embedding.detach(), ReadoutProgram(model)
    own = len(table) + torch.arange(2 * len(tokens), device=tokens.device).view(-1, 2)
    inputs = ReadoutInputs.of(torch.cat([own, tokens[:, 2:]], 1))

    def answer(copies: Float[Tensor, "copy feature"]) -> Float[Tensor, ""]:
        readout = functional_call(program, in_program(model, model.embedded_by(torch.cat([table, copies]))), (inputs,))
        return readout.logits.gather(1, classes[:, None]).sum()

    first, second = grad(answer)(table[tokens[:, :2].flatten()]).unflatten(0, (-1, 2)).unbind(1)
    second = second if turn is None else second @ turn
    return torch.cosine_similarity(first, second, dim=-1, eps=0).detach()
