"""Gradient symmetricity: whether a network treats its two operands alike."""

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
"""Smallest and largest number of drawn triples (a, b, c): at every checkpoint, and to settle a verdict."""

TRIPLES = 2**13
"""Number of triples that ``symmetricity`` draws by default; up to p = 20, these are all triples."""

BATCH = 2048


class Symmetricity(NamedTuple):
    """Similarity of the effects of both operands on the logits.

    gradient_symmetricity: mean cosine between a logit's gradients with respect to the embeddings of a and b [1]
    gradient_symmetricity_error: standard error of the mean cosine, 0 if all triples are used [1]
    """

    gradient_symmetricity: Float[Tensor, ""]
    gradient_symmetricity_error: Float[Tensor, ""]


def symmetricity(checkpoint: Checkpoint, *, triples: int = TRIPLES) -> Symmetricity:
    """Return the mean of cos(∂L_abc/∂E_a, ∂L_abc/∂E_b) over a fixed sample of triples of two operands and a class.

    E_a and E_b are the embeddings at the two positions, distinct even if a = b is the same token. A network whose
    logits depend on E_a + E_b only has g = 1; (1 - g)/2 is approximately the share of the gradient's squared norm that
    distinguishes a from b. The cosines of a network have a standard deviation of 0.001 in a pizza and of 0.15 to 0.5 in
    other networks, so published means over about 100 triples have errors of 0.0001 and of 0.015 to 0.05.

    If the operands enter a cyclic group with different exponents, such as b with -b under subtraction, the gradient of
    b is rotated first, by the orthogonal map that best takes the embedding of every token as b to the embedding of the
    token with the same exponent as a. Without this rotation, a network that adds the embedding of a and the reflected
    embedding of b, the sum type of subtraction, would have g = 0.

    Args:
        checkpoint: a checkpoint of a task with two operands and a model that embeds both with the same table.
        triples: number of triples drawn without replacement; all triples if there are fewer.

    Source: Zhong et al. 2023, §5 (gradient symmetricity); docs/formulas.md, Circuit verdict (subtraction).

    Raises:
        NotDefined: the task does not have two operands, or they have separate tables, whose gradients lie in different
            spaces.
    """
    cosines = drawn_cosines(checkpoint, "symmetricity", triples)
    all_triples = len(checkpoint.problem.tokens) * checkpoint.problem.task.n_classes
    left_out = 1 - len(cosines) / all_triples
    return Symmetricity(cosines.mean(), cosines.std() * (left_out / len(cosines)) ** 0.5)


def drawn_cosines(checkpoint: Checkpoint, analysis: str, triples: int) -> Float[Tensor, "triple"]:
    """Return the cosines of a fixed sample of triples. Raises NotDefined as ``symmetricity``."""
    task, model = checkpoint.problem.task, checkpoint.model
    if not isinstance(task, BinaryTask):
        raise NotDefined(analysis, task.no_operands)
    if model.n_tables > 1:
        raise NotDefined(analysis, "each operand has a table of its own")
    tokens, classes, turn = checkpoint.problem.tokens, task.n_classes, turn_of(checkpoint)
    parts = torch.from_numpy(draw(len(tokens) * classes, triples)).to(tokens.device).split(BATCH)
    return torch.cat([cosines(model, tokens[part // classes], part % classes, turn) for part in parts])


def turn_of(checkpoint: Checkpoint) -> Float[Tensor, "feature feature"] | None:
    """Return the orthogonal map from embeddings of b to embeddings of a with the same exponent; None for the identity.

    On the span of the embedding it is the polar factor of E_bᵀ E_a, with rows indexed by exponents; on the orthogonal
    complement it is the identity.
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
    """Draw at most ``most`` numbers below ``count`` without replacement, the same for every checkpoint."""
    return np.random.default_rng(0).choice(count, min(most, count), replace=False)


def cosines(
    model: Model,
    tokens: Int[Tensor, "triple position"],
    classes: Int[Tensor, "triple"],
    turn: Float[Tensor, "feature feature"] | None = None,
) -> Float[Tensor, "triple"]:
    """Return cos(∂L_c/∂E_a, ∂L_c/∂E_b) for examples and classes, with the second gradient rotated if ``turn`` is given.

    Every operand of every example becomes a separate token, with a copy of its embedding appended to the table, so that
    one backward pass through the fast read-out yields all gradients.
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
