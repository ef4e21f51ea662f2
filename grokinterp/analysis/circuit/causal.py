"""Whether the key frequencies cause the answers of held-out pairs: gone without them, and there with them alone."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.analysis.groups.irrep_progress import random_sets
from grokinterp.analysis.groups.irreps import examples_by_product, group_grid, irrep_rows
from grokinterp.analysis.structure.cyclic_grid import cyclic_grid, cyclic_order
from grokinterp.analysis.structure.progress import (
    excluded_losses,
    excluded_squares,
    kept_parts,
    key_mask,
    losses_by_sum,
)
from grokinterp.errors import NotDefined
from grokinterp.losses import LossForm, cross_entropy, squared_error
from grokinterp.maths.grid import mean_by_sum, sum_order
from grokinterp.runs.checkpoint import Checkpoint


class CausalEvidence(NamedTuple):
    """Whether the network's answer comes from its key frequencies, or key representations.

    necessity: rise of the held-out loss without the key parts of the logits, as a share of chance [1]
    sufficiency: how far the held-out loss of the key parts alone is below chance, as a share of it [1]
    necessity_control: necessity of random other parts of equal rank [1]
    sufficiency_control: sufficiency of random other parts of equal rank [1]
    causal_score: the smaller of necessity and sufficiency, each above its control [1]
    """

    necessity: Float[Tensor, ""]
    sufficiency: Float[Tensor, ""]
    necessity_control: Float[Tensor, ""]
    sufficiency_control: Float[Tensor, ""]
    causal_score: Float[Tensor, ""]


class Pieces(NamedTuple):
    """Logits taken apart along the product of the operands.

    Args:
        logits: with the pair (x, x⁻¹·g) in the place that ``sum_order`` gives to (x, g - x); classes are elements.
        held_out: the same pairs that count.
        kept: what the keys, and random others of equal rank in their place, are of the logits' mean over a product.
    """

    logits: Float[Tensor, "pair class"]
    held_out: Bool[Tensor, "pair"]
    kept: Float[Tensor, "set product class"]


def causal_evidence(
    checkpoint: Checkpoint, *, key_frequencies: Int[Tensor, "key"], key_irreps: Int[Tensor, "key_irrep"]
) -> CausalEvidence:
    """Return the necessity and sufficiency of the key parts of the logits for the answers to held-out pairs.

    With ℓ(L) the mean loss of logits L over the held-out pairs in units of that of chance, cut off at 1, P L the key
    frequencies' part of the logits as in ``progress_measures``, and L̄ their mean over all pairs:

        necessity = ℓ(L - P L) - ℓ(L);  sufficiency = 1 - ℓ(L̄ + P L).

    Held out are the pairs that are not trained on and whose mirror images are not either; all pairs where no split is
    known. Chance is log n for cross-entropy and (n - 1)/n² for the squared error, that of 1/n for every class. A
    network that memorized is no better than chance on these pairs, and has nothing to lose. The controls are means
    over 8 draws, the same for every checkpoint, of as many random other frequencies as there are keys, or of all
    others. causal_score = min(necessity - control, sufficiency - control), and 0 where that is negative: one number in
    [0, 1] that is high only if both hold, and of the keys alone.

    Where the group is not cyclic the parts are those of its irreducible representations: P_ρ projects L, as a function
    of the product x·y, on the matrix entries of ρ(x·y), and the others come nearest to the rank of the keys.

    Args:
        checkpoint: of a run whose task is a product in a group.
        key_frequencies: frequencies from 1 to ⌊n/2⌋; used where the group is cyclic.
        key_irreps: rows of the ``irrep`` axis; used elsewhere.

    Source: Nanda et al. 2023, §5.1 (restricted and excluded logits); Wang et al. 2023, §4 (ablation and knock-in as
        evidence for a circuit); docs/formulas.md (why held-out pairs, and calibration).

    Raises:
        NotDefined: no group of three or more elements is known in which the task is the product; no pair is held out;
            every frequency or representation is key, so that there is no other to compare with.
    """
    if not checkpoint.problem.held_out.any():
        raise NotDefined("causal_evidence", "no pair is held out of training together with its mirror image")
    if cyclic_order(checkpoint.problem.task):
        pieces = cyclic_pieces(checkpoint, key_frequencies)
    else:
        pieces = group_pieces(checkpoint, key_irreps)
    form = checkpoint.problem.loss
    without, alone = scaled_losses(pieces, form)
    necessity, sufficiency = without[1:] - without[0], 1 - alone
    control = necessity[1:].mean(), sufficiency[1:].mean()
    above = torch.minimum(necessity[0] - control[0], sufficiency[0] - control[1])
    return CausalEvidence(necessity[0], sufficiency[0], *control, above.clamp(min=0))


def scaled_losses(pieces: Pieces, form: LossForm) -> tuple[Float[Tensor, "set_and_none"], Float[Tensor, "set"]]:
    """Losses in units of chance, at most 1: without nothing, the keys, each random set; and of each of them alone."""
    table, kept = mean_by_sum(pieces.logits), pieces.kept
    exclude, loss = (excluded_squares, squared_error) if form == "mse" else (excluded_losses, cross_entropy)
    without = exclude(pieces.logits, pieces.held_out, table, torch.cat([torch.zeros_like(kept[:1]), kept]))
    n = len(table)
    pairs = pieces.held_out[sum_order(n, table.device)].sum(1).double()
    alone = losses_by_sum(kept + table.mean(0), loss) @ (pairs / pairs.sum())
    chance = (n - 1) / n**2 if form == "mse" else math.log(n)
    return (without / chance).clamp(max=1), (alone / chance).clamp(max=1)


def cyclic_pieces(checkpoint: Checkpoint, key_frequencies: Int[Tensor, "key"]) -> Pieces:
    """By the frequencies of the answer's exponent."""
    grid = cyclic_grid(checkpoint, "causal_evidence")
    keys = key_mask(key_frequencies, grid.n, grid.example.device)
    require_others(keys, "frequency")
    logits = grid.logits(checkpoint.logits.double())
    kept, _ = kept_parts(mean_by_sum(logits), keys)
    return Pieces(logits, checkpoint.problem.held_out[grid.example], kept)


def group_pieces(checkpoint: Checkpoint, key_irreps: Int[Tensor, "key_irrep"]) -> Pieces:
    """By the irreducible representations of the product."""
    grid = group_grid(checkpoint, "causal_evidence")
    answers, keys = grid.answers, irrep_rows(key_irreps, grid.answers)
    require_others(keys, "representation")
    example = examples_by_product(grid.left, answers.element, grid.group.order)
    logits = answers.logits(checkpoint.logits.double()[example])
    sets = torch.cat([keys[None], random_sets(keys, answers)])
    kernels = sets.double() @ (answers.scale[:, None] * answers.characters)
    kept = kernels[:, answers.quotient] @ mean_by_sum(logits)
    return Pieces(logits, checkpoint.problem.held_out[example], kept)


def require_others(keys: Bool[Tensor, "part"], part: str) -> None:
    """Raise NotDefined where every frequency or representation is key."""
    if keys.all():
        raise NotDefined("causal_evidence", f"every {part} is key: there is no other to compare with")
