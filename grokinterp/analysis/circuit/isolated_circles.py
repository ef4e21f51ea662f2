"""The answers of a network whose embedding is restricted to a single circle."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import functional_call

from grokinterp.analysis.circuit.templates import (
    CircleFits,
    LogitTable,
    agreement,
    circle_fits,
    clocks,
    difference_pairs,
    logit_table,
    offset_means,
    offset_waves,
    pizzas,
)
from grokinterp.analysis.structure.cyclic_grid import CyclicGrid, cyclic_grid
from grokinterp.errors import NotDefined
from grokinterp.maths.fourier import squared_norms, waves
from grokinterp.models import ReadoutInputs, ReadoutProgram, in_program
from grokinterp.runs.checkpoint import Checkpoint

CIRCLES = 6
"""Largest number of circles."""

ROUNDING = 1e-9
"""A principal component below this share of the first is rounding error, so there is no circle."""

SECOND_OPERANDS = 8
"""Number of values of b over which the logits of a key frequency's circle are averaged, for every a - b."""

AXES = {"circle": range(1, CIRCLES + 1)}


class IsolatedCircles(NamedTuple):
    """Logits and accuracy of the network with each single circle of its embedding.

    circle_frequency: dominant frequency of the circle's two principal components, 0 without a circle [1]
    circle_clock_fve: share of the z-scored logits' variance explained by the z-scored clock at its best phase [1]
    circle_pizza_fve: share of the z-scored logits' variance explained by the z-scored pizza at its best phases [1]
    circle_phase: phase φ of |cos(w(a - b)/2 + φ)| in the best pizza [rad]
    circle_accuracy: share of the pairs that are answered correctly with this circle alone [1]
    """

    circle_frequency: Int[Tensor, "circle"]
    circle_clock_fve: Float[Tensor, "circle"]
    circle_pizza_fve: Float[Tensor, "circle"]
    circle_phase: Float[Tensor, "circle"]
    circle_accuracy: Float[Tensor, "circle"]


def isolated_circles(checkpoint: Checkpoint) -> IsolatedCircles:
    """Return how the network answers with its embedding restricted to a single pair of principal components.

    Circle i consists of the principal components 2i - 1 and 2i, for i = 1 to 6; the embeddings of the operands become
    their mean plus their part in this plane. The logits are compared with the templates of a clock,
    cos(w(a + b - c) + ψ), and of a pizza, |cos(w(a - b)/2 + φ)| (|cos((w(a + b - c) + ψ)/2)| - |sin((…)/2)|), at the
    circle's frequency and at the best phases φ and ψ. With logits and template z-scored over all (a, b, c), the share
    explained is 2r - 1, r their correlation: 1 for logits equal to the template, negative for r below ½.

    If the operands share their embedding, φ is 0; separate circles may be rotated against each other, by 2φ. An
    embedding with fewer dimensions has fewer circles; the others have NaN and frequency 0.

    Source: Zhong et al. 2023, §4.2 (isolated circles); docs/formulas.md, Circuit verdict (phases).

    Raises:
        NotDefined: the task has no cyclic group, or the model uses one-hot vectors instead of an embedding.
    """
    grid, model = cyclic_grid(checkpoint, "isolated_circles"), checkpoint.model
    if model.embeds_one_hot:
        raise NotDefined("isolated_circles", f"the model {model.spec.kind} embeds one-hot vectors")
    embedding = grid.embedding(model).detach().double()
    mean = embedding.mean(0)
    left, sizes, right = torch.linalg.svd(embedding - mean, full_matrices=False)
    found = torch.full((5, CIRCLES), torch.nan, dtype=torch.float64, device=embedding.device)
    found[0] = 0
    for circle in range(min(CIRCLES, int((sizes > ROUNDING * sizes[0]).sum()) // 2)):
        plane = slice(2 * circle, 2 * circle + 2)
        rows = mean + (left[:, plane] * sizes[plane]) @ right[plane]
        found[:, circle] = torch.stack(measured(checkpoint, grid, rows))
    return IsolatedCircles(found[0].long(), *found[1:])


def measured(
    checkpoint: Checkpoint, grid: CyclicGrid, rows: Float[Tensor, "exponent feature"]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return frequency, both fits, the phase of the pizza, and the accuracy with these embeddings."""
    row = torch.fft.rfft(rows, dim=0)[1:].abs().square().sum(1).argmax()[None]
    (logits,) = restricted_logits(checkpoint, [grid.embed(checkpoint.model, rows)], checkpoint.problem.tokens)
    table = logit_table(grid.logits(logits))
    fits = circle_fits(offset_waves(table, row))
    clock = agreement(table, clocks(row, grid.n, fits.clock_offset)[0])
    pizza = agreement(table, pizzas(row, grid.n, fits.difference, fits.pizza_offset)[0])
    right = logits.argmax(1) == checkpoint.problem.label
    return row[0].double() + 1, clock, pizza, fits.difference[0] / 2, right[grid.example].double().mean()


def key_circles(checkpoint: Checkpoint, grid: CyclicGrid, rows: Int[Tensor, "key"]) -> CircleFits:
    """Compare a clock and a pizza with the logits of the network at each single key frequency of its embedding.

    The embeddings of the operands become their mean plus their cosine and sine at this frequency. The logits are
    computed for every a - b, at a few evenly spread values of b.
    """
    model, n = checkpoint.model, grid.n
    embedding = grid.embedding(model).detach().double()
    b = torch.arange(0, n, -(-n // SECOND_OPERANDS), device=embedding.device)
    pairs = difference_pairs(n, b)
    tokens = checkpoint.problem.tokens[grid.example[pairs.flatten()]]
    if not len(rows):
        empty = embedding.sum() * torch.zeros(0, dtype=torch.float64, device=embedding.device)
        return CircleFits(*[empty] * 6)
    tables = [grid.embed(model, at_frequency(embedding, row)) for row in rows.split(1)]
    found = []
    for row, logits in zip(rows.split(1), restricted_logits(checkpoint, tables, tokens), strict=True):
        means = offset_means(logits[:, grid.class_of].unflatten(0, pairs.shape), b)
        means = means - means.mean()
        found.append(circle_fits(offset_waves(LogitTable(means, means.square().mean()), row)))
    return CircleFits(*map(torch.cat, zip(*found, strict=True)))


def at_frequency(
    embedding: Float[Tensor, "exponent feature"], row: Int[Tensor, "1"]
) -> Float[Tensor, "exponent feature"]:
    """Return the mean of an embedding plus its part at one frequency."""
    n = len(embedding)
    cos, sin = (wave[row] for wave in waves(n, embedding.device))
    part = cos.mT @ (cos @ embedding) + sin.mT @ (sin @ embedding)
    return embedding.mean(0) + part / squared_norms(n, embedding.device)[row]


@torch.no_grad()
def restricted_logits(
    checkpoint: Checkpoint, tables: Sequence[Float[Tensor, "token feature"]], tokens: Int[Tensor, "example position"]
) -> list[Float[Tensor, "example class"]]:
    """Return the logits of some examples with each of several other embeddings of the two operands.

    Shared tables are appended to the existing table, which may also be the unembedding, so that one forward pass serves
    all of them.
    """
    model = checkpoint.model
    if model.n_tables > 1:
        return [logits_with(checkpoint, table, tokens) for table in tables]
    size = len(tables[0])
    own = [torch.cat([tokens[:, :2] + size * (1 + i), tokens[:, 2:]], 1) for i in range(len(tables))]
    return list(logits_with(checkpoint, torch.cat([model.embedding, *tables]), torch.cat(own)).split(len(tokens)))


def logits_with(
    checkpoint: Checkpoint, table: Float[Tensor, "token feature"], tokens: Int[Tensor, "example position"]
) -> Float[Tensor, "example class"]:
    """Return the logits of some examples with another embedding."""
    model, inputs = checkpoint.model, ReadoutInputs.of(tokens)
    weights, program = in_program(model, model.embedded_by(table)), ReadoutProgram(model)
    way = {"differentiable": False, "by_tables": not checkpoint.is_vectorized}
    return functional_call(program, weights, (inputs,), way).logits.double()
