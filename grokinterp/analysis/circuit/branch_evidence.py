"""Restricted and excluded loss, and causal evidence, of each of several operations."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.analysis.circuit.causal import evidence_of, pieces_of
from grokinterp.analysis.groups.branches import branch_names, require_grids
from grokinterp.analysis.structure.answer_spectrum import AnswerGrid
from grokinterp.analysis.structure.progress import excluded_losses, excluded_squares, losses_by_sum
from grokinterp.errors import require
from grokinterp.losses import cross_entropy, squared_error
from grokinterp.maths.products import mean_by_product
from grokinterp.runs.checkpoint import Checkpoint

AXES = {"branch": lambda setting: branch_names(setting.task)}


class BranchEvidence(NamedTuple):
    """Losses and causal evidence of the key representations of each branch; NaN without a group.

    branch_restricted_loss: mean loss on the branch's examples with its logits restricted to its key parts [nats]
    branch_excluded_loss: mean loss on the branch's training examples without its key parts [nats]
    branch_necessity: increase of the branch's held-out loss without its key parts, as a share of the chance loss [1]
    branch_sufficiency: held-out loss of the key parts alone below the chance loss, as a share of the chance loss [1]
    branch_necessity_control: necessity of random other parts of equal rank [1]
    branch_sufficiency_control: sufficiency of random other parts of equal rank [1]
    branch_causal_score: the smaller of necessity and sufficiency, each minus its control [1]
    """

    branch_restricted_loss: Float[Tensor, "branch"]
    branch_excluded_loss: Float[Tensor, "branch"]
    branch_necessity: Float[Tensor, "branch"]
    branch_sufficiency: Float[Tensor, "branch"]
    branch_necessity_control: Float[Tensor, "branch"]
    branch_sufficiency_control: Float[Tensor, "branch"]
    branch_causal_score: Float[Tensor, "branch"]


def branch_evidence(checkpoint: Checkpoint, *, branch_keys: Int[Tensor, "key_branch"]) -> BranchEvidence:
    """Return the restricted and excluded loss of each branch, and how far its keys cause its held-out answers.

    A branch is the set of examples with the same operation, such as + or -. For each, the definitions of
    ``progress_measures`` (restricted, excluded) and of ``causal_evidence`` apply to its examples alone, with the
    projection P_ρ of its logits, averaged over the examples of each answer, onto the matrix entries of its key
    representations; in C_p these are cos(w_k s) and sin(w_k s). Causal evidence is NaN for a branch of which every
    representation is key, which leaves no control, or of which no example is held out.

    Args:
        checkpoint: a checkpoint of a run whose task has several operations.
        branch_keys: rows of the axis ``branch_irrep``.

    Source: Nanda et al. 2023, §5.1; docs/formulas.md, More operands and operators.

    Raises:
        NotDefined: the task applies a single operation, or no branch is a product in a group of three or more elements.
    """
    grids = require_grids(checkpoint, "branch_evidence")
    first, rows = 0, []
    for grid in grids:
        stop = first + (0 if grid is None else len(grid.names))
        own = branch_keys[(branch_keys >= first) & (branch_keys < stop)] - first
        rows.append(unknown(checkpoint) if grid is None else of_branch(checkpoint, grid, own))
        first = stop
    for row in branch_keys.tolist():
        require(0 <= row < first, "branch_keys", row, f"must be from 0 to {first - 1}")
    return BranchEvidence(*torch.stack(rows, 1))


def of_branch(checkpoint: Checkpoint, grid: AnswerGrid, own: Int[Tensor, "key"]) -> Float[Tensor, "field"]:
    """Return the fields of one branch."""
    problem, keys = checkpoint.problem, torch.zeros(len(grid.names), dtype=torch.bool, device=grid.table.device)
    keys[own.to(keys.device)] = True
    pieces = pieces_of(checkpoint, grid, keys)
    squares, products = problem.loss == "mse", pieces.products
    table, kept = mean_by_product(pieces.logits, products), pieces.kept[:1]
    alone = losses_by_sum(kept + table.mean(0), squared_error if squares else cross_entropy)
    restricted = alone @ (products.counts / products.counts.sum())
    is_train = problem.is_train & (grid.element < len(grid.class_of))
    exclude = excluded_squares if squares else excluded_losses
    losses = torch.cat([restricted, exclude(pieces.logits, products, is_train, table, kept)])
    if keys.all() or not products.of(problem.held_out).any():
        return torch.cat([losses, losses.new_full((5,), torch.nan)])
    return torch.cat([losses, torch.stack(evidence_of(pieces, problem.loss))])


def unknown(checkpoint: Checkpoint) -> Float[Tensor, "field"]:
    """Return NaN for every field."""
    return checkpoint.logits.new_full((len(BranchEvidence._fields),), torch.nan).double()
