"""Causal evidence that the key frequencies are necessary and sufficient for the answers to held-out pairs."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.analysis.groups.irrep_progress import random_sets
from grokinterp.analysis.groups.irreps import irrep_rows
from grokinterp.analysis.structure.answer_spectrum import AnswerGrid, product_answers
from grokinterp.analysis.structure.cyclic_answers import cyclic_answers, cyclic_order
from grokinterp.analysis.structure.progress import (
    excluded_losses,
    excluded_squares,
    kept_parts,
    key_mask,
    losses_by_sum,
)
from grokinterp.errors import NotDefined
from grokinterp.losses import LossForm, cross_entropy, squared_error
from grokinterp.maths.products import Products, mean_by_product
from grokinterp.runs.checkpoint import Checkpoint


class CausalEvidence(NamedTuple):
    """Necessity and sufficiency of the key frequencies, or key representations, for the answer.

    necessity: increase of the held-out loss without the key parts of the logits, as a share of the chance loss [1]
    sufficiency: held-out loss of the key parts alone below the chance loss, as a share of the chance loss [1]
    necessity_control: necessity of random other parts of equal rank [1]
    sufficiency_control: sufficiency of random other parts of equal rank [1]
    causal_score: the smaller of necessity and sufficiency, each minus its control [1]
    """

    necessity: Float[Tensor, ""]
    sufficiency: Float[Tensor, ""]
    necessity_control: Float[Tensor, ""]
    sufficiency_control: Float[Tensor, ""]
    causal_score: Float[Tensor, ""]


class Pieces(NamedTuple):
    """Logits decomposed along the product of the operands.

    Args:
        logits: logits of all examples; classes are elements or exponents.
        products: the examples of each product.
        held_out: whether each example is held out.
        kept: part of the logits' mean over a product at the keys and at random other sets of equal rank.
    """

    logits: Float[Tensor, "example class"]
    products: Products
    held_out: Bool[Tensor, "example"]
    kept: Float[Tensor, "set product class"]


def causal_evidence(
    checkpoint: Checkpoint, *, key_frequencies: Int[Tensor, "key"], key_irreps: Int[Tensor, "key_irrep"]
) -> CausalEvidence:
    """Return the necessity and sufficiency of the key parts of the logits for the answers to held-out pairs.

    Let ℓ(L) be the mean loss of logits L over the held-out pairs, divided by the chance loss and clipped at 1; P L the
    part of the logits at the key frequencies, as in ``progress_measures``; and L̄ their mean over all pairs:

        necessity = ℓ(L - P L) - ℓ(L);  sufficiency = 1 - ℓ(L̄ + P L).

    causal_score = min(necessity - control, sufficiency - control), clipped at 0. It is 1 only if the network answers
    held-out pairs with the key parts alone, fails without them, and random other parts have no such effect; it is 0 for
    a network that memorizes, which is no better than chance on held-out pairs.

    Held-out pairs are pairs for which neither the pair nor its mirror image is a training example; without a known
    split, all pairs. The chance loss is that of probability 1/n for every class: log n for cross-entropy and
    (n - 1)/n² for the squared error. The controls are means over 8 draws, the same for every checkpoint, of as many
    random other frequencies as there are keys (or of all others, if fewer).

    In a non-cyclic group the parts belong to irreducible representations: P_ρ projects L, as a function of the product
    x·y, onto the matrix entries of ρ(x·y), and the random parts have the rank nearest to the rank of the keys.

    Args:
        checkpoint: a checkpoint of a run whose task is a product in a group.
        key_frequencies: frequencies from 1 to ⌊n/2⌋; used for a cyclic group.
        key_irreps: rows of the ``irrep`` axis; used for any other group.

    Source: Nanda et al. 2023, §5.1 (restricted and excluded logits); Wang et al. 2023, §4 (ablation and knock-in as
        evidence for a circuit); docs/formulas.md (why held-out pairs, and calibration).

    Raises:
        NotDefined: the task is not a product in a known group of three or more elements; no pair is held out; or every
            frequency or representation is key, so that none is left as a control.
    """
    if not checkpoint.problem.held_out.any():
        raise NotDefined("causal_evidence", "no pair is held out of training together with its mirror image")
    if cyclic_order(checkpoint.problem.task):
        pieces = cyclic_pieces(checkpoint, key_frequencies)
    else:
        pieces = group_pieces(checkpoint, key_irreps)
    form = checkpoint.problem.loss
    return evidence_of(pieces, form)


def evidence_of(pieces: Pieces, form: LossForm) -> CausalEvidence:
    """Return the evidence of pieces, of which the first part is that of the keys and the others are random."""
    without, alone = scaled_losses(pieces, form)
    necessity, sufficiency = without[1:] - without[0], 1 - alone
    control = necessity[1:].mean(), sufficiency[1:].mean()
    above = torch.minimum(necessity[0] - control[0], sufficiency[0] - control[1])
    return CausalEvidence(necessity[0], sufficiency[0], *control, above.clamp(min=0))


def scaled_losses(pieces: Pieces, form: LossForm) -> tuple[Float[Tensor, "set_and_none"], Float[Tensor, "set"]]:
    """Return losses as shares of chance, at most 1: of all logits, without each set of parts, and of each set alone."""
    table, kept = mean_by_product(pieces.logits, pieces.products), pieces.kept
    exclude, loss = (excluded_squares, squared_error) if form == "mse" else (excluded_losses, cross_entropy)
    n, removed = len(table), torch.cat([torch.zeros_like(kept[:1]), kept])
    without = exclude(pieces.logits, pieces.products, pieces.held_out, table, removed)
    held_out = pieces.products.of(pieces.held_out).sum(1).double()
    alone = losses_by_sum(kept + table.mean(0), loss) @ (held_out / held_out.sum())
    chance = (n - 1) / n**2 if form == "mse" else math.log(n)
    return (without / chance).clamp(max=1), (alone / chance).clamp(max=1)


def cyclic_pieces(checkpoint: Checkpoint, key_frequencies: Int[Tensor, "key"]) -> Pieces:
    """Return the pieces of the logits by frequencies of the answer's exponent."""
    answers = cyclic_answers(checkpoint, "causal_evidence")
    keys = key_mask(key_frequencies, answers.n, answers.exponent.device)
    require_others(keys, "frequency")
    logits = answers.logits(checkpoint.logits.double())
    kept, _ = kept_parts(mean_by_product(logits, answers.products), keys)
    return Pieces(logits, answers.products, checkpoint.problem.held_out, kept)


def group_pieces(checkpoint: Checkpoint, key_irreps: Int[Tensor, "key_irrep"]) -> Pieces:
    """Return the pieces of the logits by irreducible representations of the product."""
    answers = product_answers(checkpoint, "causal_evidence")
    keys = irrep_rows(key_irreps, answers)
    require_others(keys, "nontrivial representation")
    return pieces_of(checkpoint, answers, keys)


def pieces_of(checkpoint: Checkpoint, answers: AnswerGrid, keys: Bool[Tensor, "irrep"]) -> Pieces:
    """Return the pieces of the logits by representations of the answer's group."""
    logits = answers.logits(checkpoint.logits.double())
    sets = torch.cat([keys[None], random_sets(keys, answers)])
    kernels = sets.double() @ (answers.scale[:, None] * answers.characters)
    kept = kernels[:, answers.quotient] @ mean_by_product(logits, answers.products)
    return Pieces(logits, answers.products, checkpoint.problem.held_out, kept)


def require_others(keys: Bool[Tensor, "part"], part: str) -> None:
    """Raise NotDefined if every frequency or representation is key."""
    if keys.all():
        raise NotDefined("causal_evidence", f"every {part} is key, so none is left as a control")
