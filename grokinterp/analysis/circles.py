"""What a network answers when of its embedding one circle is left."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import functional_call

from grokinterp.analysis.algebra import CyclicGrid, cyclic_grid
from grokinterp.analysis.templates import agreement, logit_table, templates
from grokinterp.checkpoint import Checkpoint
from grokinterp.errors import NotDefined
from grokinterp.models import Readout, ReadoutInputs, ReadoutProgram, in_program

CIRCLES = 6
"""Most circles looked at."""

ROUNDING = 1e-9
"""A principal component shorter than this share of the first is rounding: there is no circle."""


class IsolatedCircles(NamedTuple):
    """What the network answers by each circle of its embedding alone.

    circle_frequency: frequency that the circle's two principal components hold most of, 0 without a circle [1]
    circle_clock_fve: share of the z-scored logits' variance explained by the z-scored clock of that frequency [1]
    circle_pizza_fve: share of the z-scored logits' variance explained by the z-scored pizza of that frequency [1]
    circle_accuracy: share of the pairs that are answered correctly [1]
    """

    circle_frequency: Int[Tensor, "circle"]
    circle_clock_fve: Float[Tensor, "circle"]
    circle_pizza_fve: Float[Tensor, "circle"]
    circle_accuracy: Float[Tensor, "circle"]


def isolated_circles(checkpoint: Checkpoint) -> IsolatedCircles:
    """The network's answers with its embedding restricted to principal components 2i - 1 and 2i, for i = 1 to 6.

    The embeddings of the operands become their mean plus their part in that plane. The templates, for a clock
    cos(w(a + b - c)), for a pizza |cos(w(a - b)/2)| (|cos(w(a + b - c)/2)| - |sin(w(a + b - c)/2)|), are taken at
    the circle's frequency and z-scored like the logits of all (a, b, c): the share explained is 2r - 1, r being the
    correlation of both. It is negative where r is below a half.
    Embeddings of fewer dimensions have fewer circles: NaN, and frequency 0.

    Source: Zhong et al. 2023, §4.2 (isolated circles).

    Raises:
        NotDefined: no cyclic group, or one-hot vectors in place of an embedding.
    """
    grid, model = cyclic_grid(checkpoint, "isolated_circles"), checkpoint.model
    if model.embeds_one_hot:
        raise NotDefined("isolated_circles", f"the model {model.spec.kind} embeds one-hot vectors")
    embedding = grid.embedding(model).detach().double()
    mean = embedding.mean(0)
    left, sizes, right = torch.linalg.svd(embedding - mean, full_matrices=False)
    found = torch.full((4, CIRCLES), torch.nan, dtype=torch.float64, device=embedding.device)
    found[0] = 0
    for circle in range(min(CIRCLES, int((sizes > ROUNDING * sizes[0]).sum()) // 2)):
        plane = slice(2 * circle, 2 * circle + 2)
        rows = mean + (left[:, plane] * sizes[plane]) @ right[plane]
        found[:, circle] = torch.stack(measured(checkpoint, grid, rows))
    return IsolatedCircles(found[0].long(), *found[1:])


def measured(
    checkpoint: Checkpoint, grid: CyclicGrid, rows: Float[Tensor, "exponent feature"]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Frequency, both fits and accuracy with these embeddings."""
    frequency = torch.fft.rfft(rows, dim=0)[1:].abs().square().sum(1).argmax()
    logits = restricted_logits(checkpoint, grid.embed(checkpoint.model, rows))
    table = logit_table(grid.logits(logits))
    clock, pizza = (agreement(table, one[0]) for one in templates(frequency[None], grid.n))
    right = logits.argmax(1) == checkpoint.problem.labels
    return frequency.double() + 1, clock, pizza, right[grid.example].double().mean()


@torch.no_grad()
def restricted_logits(checkpoint: Checkpoint, table: Float[Tensor, "token feature"]) -> Float[Tensor, "example class"]:
    """The logits of all examples with another embedding of the two operands.

    A table that is shared goes behind the one there is, for that may be the unembedding too.
    """
    model, tokens = checkpoint.model, checkpoint.problem.tokens
    if model.n_tables > 1:
        inputs = checkpoint.problem.inputs
    else:
        inputs = ReadoutInputs.of(torch.cat([tokens[:, :2] + len(table), tokens[:, 2:]], 1))
        table = torch.cat([model.embedding, table])
    weights = in_program(model, model.embedded_by(table))
    readout: Readout = functional_call(ReadoutProgram(model), weights, (inputs,))
    return readout.logits.double()
