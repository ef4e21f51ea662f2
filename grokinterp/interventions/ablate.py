"""Ablation of frequencies: removal of waves over a cyclic group from the embedding or the unembedding."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.errors import ConfigError, require, short
from grokinterp.interventions.graft import with_weights
from grokinterp.maths.fourier import real_basis
from grokinterp.maths.groups import positions
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import Task
from grokinterp.torch_settings import computing


@computing()
def ablate_frequencies(
    checkpoint: Checkpoint,
    frequencies: Sequence[int],
    *,
    where: Literal["embedding", "unembedding"] = "embedding",
    keep: bool = False,
) -> Checkpoint:
    """Return a checkpoint without some frequencies in a weight matrix, without changing the network.

    The rows of the embedding are a function on the cyclic group of the task by the exponents of their tokens (the
    residues, for addition modulo p), and the columns of the unembedding by those of their classes. The waves
    cos(2πkt/n) and sin(2πkt/n) of the frequencies are projected out; the constant always remains. Tokens and classes
    outside the group, such as "=", do not change. With tied embeddings both matrices are the same.

    Args:
        checkpoint: the network.
        frequencies: the frequencies k, from 1 to ⌊n/2⌋.
        where: the matrix.
        keep: remove all other frequencies instead.

    Source: Nanda et al. 2023, §4.4 (ablations in the Fourier basis).

    Raises:
        ConfigError: if the task has no cyclic group or no such frequency, or the model has no such matrix.
    """
    is_list = isinstance(frequencies, Sequence | Tensor) and not isinstance(frequencies, str)
    require(is_list, "frequencies", short(frequencies), "must be a list of integers")
    *operands, answers = token_orders(checkpoint.problem.task)
    n, model = len(answers), checkpoint.model
    for k in frequencies:
        require(1 <= k <= n // 2, "frequencies", k, f"must be from 1 to {n // 2}")
    rest = rejection(n, frequencies, keep=keep).to(checkpoint.problem.label.device)
    if where == "embedding":
        table = model.embedding.detach().clone()
        tables = table.chunk(model.n_tables, dim=1)
        shared = model.n_tables == 1
        alike = all(torch.equal(order.sort().values, operands[0].sort().values) for order in operands)
        orders = operands[:1] if shared and alike else operands
        for at, order in zip(checkpoint.problem.task.operand_positions, orders, strict=False):
            rows = tables[0 if shared else min(at, len(tables) - 1)]
            rows[order] = rest @ rows[order]
        return with_weights(checkpoint, model.embedded_by(table))
    state, name = model.state_dict(), "unembed.W_U"
    require(name in state, "where", where, "needs a model with an unembedding of its own")
    changed = {name: columns_changed(state[name], answers, rest)}
    if "unembed.b_U" in state:
        changed["unembed.b_U"] = columns_changed(state["unembed.b_U"], answers, rest)
    return with_weights(checkpoint, changed)


def token_orders(task: Task) -> list[Int[Tensor, "exponent"]]:
    """Return the tokens of each exponent as each operand, and the classes.

    Raises:
        ConfigError: if the labels are not products in a cyclic group, or an operand has no token for some element.
    """
    algebra = task.operand_algebra
    if algebra is None:
        raise ConfigError("frequencies", task.kind, f"needs a cyclic group: {task.no_group}")
    logarithm = algebra.group.logarithm
    if logarithm is None:
        raise ConfigError("frequencies", task.kind, f"needs a cyclic group, which {algebra.group.name} is not")
    n, exponents = algebra.group.order, algebra.exponents(logarithm)
    complete = all(len(exponent[exponent >= 0].unique()) == n for exponent in exponents)
    require(complete, "frequencies", task.kind, f"needs a token of each operand for every element of C{n}")
    return [positions(exponent, n) for exponent in exponents]


def rejection(n: int, frequencies: Sequence[int], *, keep: bool) -> Float[Tensor, "exponent exponent"]:
    """Return the projection of functions on Z_n to the frequencies that remain, and the constant.

    >>> rejection(3, [1], keep=False).mul(3).round().tolist()  # only the constant remains
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    basis = real_basis(n)
    frequency = (torch.arange(n) + 1) // 2  # of each component: 0, 1, 1, 2, 2, …
    remains = (frequency == 0) | (torch.isin(frequency, torch.tensor(list(frequencies))) == keep)
    return basis[remains].T @ basis[remains]


def columns_changed(
    weight: Float[Tensor, "*feature class"], order: Int[Tensor, "exponent"], rest: Float[Tensor, "exponent exponent"]
) -> Float[Tensor, "*feature class"]:
    """Return a weight whose last axis, in the order of exponents, is multiplied by a projection."""
    changed = weight.clone()
    changed[..., order] = weight[..., order] @ rest
    return changed
