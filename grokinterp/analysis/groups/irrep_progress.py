"""Restricted and excluded loss: how much of the answer the key irreducible representations carry."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.analysis.groups.irreps import irrep_names, irrep_rows
from grokinterp.analysis.structure.answer_spectrum import AnswerGrid, product_answers
from grokinterp.analysis.structure.keys import sums_by_quotient
from grokinterp.analysis.structure.progress import excluded_losses, excluded_squares, losses_by_sum
from grokinterp.errors import NotDefined
from grokinterp.losses import LossForm, cross_entropy, squared_error
from grokinterp.maths.products import Products, mean_by_product
from grokinterp.runs.checkpoint import Checkpoint

DRAWS = 8
"""Number of random sets of representations that the controls average over."""

LINEAR_ON = 16
"""Number of examples that test whether the logits are linear in the neurons."""

CELLS = 2**22
"""Number of elements processed at a time."""

AXES = {"irrep": lambda setting: irrep_names(setting.task)}


class IrrepProgress(NamedTuple):
    """Losses of a network in which irreducible representations are kept or removed.

    hidden_restricted_loss: mean loss on all pairs with the neurons restricted to the key representations [nats]
    hidden_excluded_loss: mean loss on the training pairs with the key representations removed from the neurons [nats]
    hidden_restricted_loss_of: mean loss on all pairs with the neurons restricted to this representation [nats]
    hidden_excluded_loss_of: mean loss on the training pairs with this representation removed from the neurons [nats]
    hidden_restricted_loss_control: hidden restricted loss with random other representations as keys [nats]
    hidden_excluded_loss_control: hidden excluded loss with random other representations as keys [nats]
    irrep_restricted_loss: mean loss on all pairs with the logits restricted to the key characters [nats]
    irrep_excluded_loss: mean loss on the training pairs with the key characters removed from the logits [nats]
    irrep_restricted_loss_of: mean loss on all pairs with the logits restricted to this character [nats]
    irrep_excluded_loss_of: mean loss on the training pairs with this character removed from the logits [nats]
    irrep_restricted_loss_control: restricted loss with random other representations as keys [nats]
    irrep_excluded_loss_control: excluded loss with random other representations as keys [nats]
    """

    hidden_restricted_loss: Float[Tensor, ""]
    hidden_excluded_loss: Float[Tensor, ""]
    hidden_restricted_loss_of: Float[Tensor, "irrep"]
    hidden_excluded_loss_of: Float[Tensor, "irrep"]
    hidden_restricted_loss_control: Float[Tensor, ""]
    hidden_excluded_loss_control: Float[Tensor, ""]
    irrep_restricted_loss: Float[Tensor, ""]
    irrep_excluded_loss: Float[Tensor, ""]
    irrep_restricted_loss_of: Float[Tensor, "irrep"]
    irrep_excluded_loss_of: Float[Tensor, "irrep"]
    irrep_restricted_loss_control: Float[Tensor, ""]
    irrep_excluded_loss_control: Float[Tensor, ""]


class Place(NamedTuple):
    """Logits in which parts are kept or removed: those of the network, or those computed from the neurons alone.

    Args:
        logits: logits of all examples, over the elements of the group.
        products: the examples of each product.
        is_train: whether each example is a training example.
        bias: the bias added to a part that is evaluated alone.
        form: the training loss of the run.
    """

    logits: Float[Tensor, "example element"]
    products: Products
    is_train: Bool[Tensor, "example"]
    bias: Float[Tensor, "element"] | float
    form: LossForm

    def losses(self, parts: Float[Tensor, "set product element"]) -> Float[Tensor, "set 2"]:
        """Return the restricted loss of each part, over all examples, and the excluded loss."""
        squares, share = self.form == "mse", self.products.counts / self.products.counts.sum()
        alone = losses_by_sum(parts + self.bias, squared_error if squares else cross_entropy) @ share
        exclude = excluded_squares if squares else excluded_losses
        table = mean_by_product(self.logits, self.products)
        return torch.stack([alone, exclude(self.logits, self.products, self.is_train, table, parts)], 1)


def irrep_progress(checkpoint: Checkpoint, *, key_irreps: Int[Tensor, "key_irrep"]) -> IrrepProgress:
    """Return the losses of the network restricted to the key irreducible representations, and without them.

    The restricted loss, over all pairs, is low if the key representations suffice for the answer; the excluded loss,
    over the training pairs, is high if they are necessary. The loss is the squared error if the run is trained with
    it, and otherwise softmax cross-entropy (also for a run with StableMax), always on the correct answers. Classes
    outside the group are excluded.

    Hidden losses: P_ρ projects the neurons h onto the functions ρ(x·y)_ij of the pair, and W_L is the neuron-to-logit
    map. The restricted loss is that of Σ_ρ P_ρ h W_L + b_U, the excluded loss that of (h - Σ_ρ P_ρ h) W_L + b_U, with
    ρ over the keys. The residual stream that bypasses the neurons and the intermediate biases are omitted, as in the
    published losses. NaN if the logits are not linear in the neurons (a final LayerNorm, a recursive model).

    Logit losses: the restricted logits are Σ_ρ ⟨L, T_ρ⟩ T_ρ / ‖T_ρ‖², T_ρ[x, y, z] = χ_ρ(x·y·z⁻¹), whose loss is the
    same for all pairs; the excluded logits are L minus this sum.

    Controls: the mean over 8 draws, the same for every checkpoint, of random other representations, whose total rank
    is as close as possible to the rank of the keys; NaN if there are no other representations.

    Args:
        checkpoint: of a run whose task is a product in a group.
        key_irreps: rows of the axis ``irrep``.

    Source: Chughtai et al. 2023, §4.3 (restricted, excluded) and its released metrics: total_hidden_…_loss,
        total_logit_…_loss.
    """
    answers = product_answers(checkpoint, "irrep_progress")
    if not len(key_irreps):
        raise NotDefined("irrep_progress", "no representation is key")
    keys = irrep_rows(key_irreps, answers)
    sets = torch.cat(
        [keys[None], torch.eye(len(keys), dtype=torch.bool, device=keys.device), random_sets(keys, answers)]
    )
    problem, products = checkpoint.problem, answers.products
    place = Place(answers.logits(checkpoint.logits.double()), products, problem.is_train, 0.0, problem.loss)
    found = losses_of_sets(place, sets, character_parts, answers)
    del place  # a copy of all logits
    hidden = torch.full_like(found, torch.nan)
    model = checkpoint.model
    if model.n_neurons and model.is_linear_in_neurons(problem.tokens[:LINEAR_ON]):
        bias = model.b_U.detach()[answers.class_of].double()
        written = checkpoint.neurons.double() @ model.W_L.detach()[:, answers.class_of].double()
        place = Place(written.add_(bias), products, problem.is_train, bias, problem.loss)
        hidden = losses_of_sets(place, sets, projected_parts, answers)
    return IrrepProgress(*gathered(hidden, len(keys)), *gathered(found, len(keys)))


def losses_of_sets(
    place: Place, sets: Bool[Tensor, "set irrep"], parts: Callable[..., Tensor], grid: AnswerGrid
) -> Float[Tensor, "set 2"]:
    """Return the restricted and the excluded loss of each set, in chunks of at most ``CELLS`` elements."""
    table = mean_by_product(place.logits, place.products)
    some = max(1, CELLS // table.numel())
    return torch.cat([place.losses(parts(table, chosen.double(), grid)) for chosen in sets.split(some)])


def character_parts(
    table: Float[Tensor, "product element"], sets: Float[Tensor, "set irrep"], grid: AnswerGrid
) -> Float[Tensor, "set product element"]:
    """Return Σ_ρ ⟨L, T_ρ⟩ T_ρ / ‖T_ρ‖² from the mean M over each product: ⟨L, T_ρ⟩ = n Σ_{g,z} M[g, z] χ(g·z⁻¹)."""
    chi = grid.characters
    weight = chi @ sums_by_quotient(table, grid.table) / (len(table) * chi.square().sum(1))
    return ((sets * weight) @ chi)[:, grid.quotient]


def projected_parts(
    table: Float[Tensor, "product element"], sets: Float[Tensor, "set irrep"], grid: AnswerGrid
) -> Float[Tensor, "set product element"]:
    """Return Σ_ρ P_ρ M of the mean M over each product; a function that is constant over the products has no part."""
    kernels = sets @ (grid.scale[:, None] * grid.characters)
    return kernels[:, grid.quotient] @ table


def gathered(losses: Float[Tensor, "set 2"], n_irreps: int) -> tuple[Tensor, ...]:
    """Return the fields at one place: for the keys, for each representation alone, and the mean over random sets."""
    keys, alone, control = losses[0], losses[1 : 1 + n_irreps], losses[1 + n_irreps :].mean(0)
    return (*keys, *alone.T, *control)


def random_sets(keys: Bool[Tensor, "irrep"], grid: AnswerGrid) -> Bool[Tensor, "draw irrep"]:
    """Draw sets of representations other than the keys, with total rank nearest to the keys'; none without others.

    The rank of ρ, the dimension of the span of its matrix entries, is tr P_ρ = n · (d/(c·n)) χ(e) = d²/c.
    """
    generator, mask = torch.Generator().manual_seed(0), keys.cpu()
    ranks = (len(grid.class_of) * grid.scale * grid.characters.amax(1)).cpu()  # χ(e) = d is the largest value
    others = (~mask).nonzero().flatten()
    sets = torch.zeros(DRAWS if len(others) else 0, len(mask), dtype=torch.bool)
    for row in sets:
        order = others[torch.randperm(len(others), generator=generator)]
        nearest = (ranks[order].cumsum(0) - ranks[mask].sum()).abs().argmin()
        row[order[: nearest + 1]] = True
    return sets.to(keys.device)
