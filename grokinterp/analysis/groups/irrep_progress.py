"""Restricted and excluded loss over irreducible representations: how much of the answer the key ones carry."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.analysis.groups.irreps import examples_by_product, group_grid, irrep_names, irrep_rows
from grokinterp.analysis.structure.answer_spectrum import AnswerGrid
from grokinterp.analysis.structure.keys import sums_by_quotient
from grokinterp.analysis.structure.progress import excluded_losses, excluded_squares, losses_by_sum
from grokinterp.errors import NotDefined
from grokinterp.losses import LossForm, cross_entropy, squared_error
from grokinterp.maths.grid import mean_by_sum
from grokinterp.runs.checkpoint import Checkpoint

DRAWS = 8
"""Random sets of representations that the controls average over."""

LINEAR_ON = 16
"""Examples on which it is tried whether the neurons write into the logits linearly."""

CELLS = 2**22
"""Numbers in the parts that are looked at together."""

AXES = {"irrep": lambda setting: irrep_names(setting.task)}


class IrrepProgress(NamedTuple):
    """Losses of a network of which irreducible representations were kept or removed.

    hidden_restricted_loss: mean loss on all pairs of the neurons' part at the key representations [nats]
    hidden_excluded_loss: mean loss on the training pairs of the neurons without that part [nats]
    hidden_restricted_loss_of: mean loss on all pairs of the neurons' part at this one representation [nats]
    hidden_excluded_loss_of: mean loss on the training pairs of the neurons without this one's part [nats]
    hidden_restricted_loss_control: hidden restricted loss with random other representations instead [nats]
    hidden_excluded_loss_control: hidden excluded loss with random other representations instead [nats]
    irrep_restricted_loss: mean loss on all pairs of the key characters' part of the logits [nats]
    irrep_excluded_loss: mean loss on the training pairs of the logits without that part [nats]
    irrep_restricted_loss_of: mean loss on all pairs of this one character's part of the logits [nats]
    irrep_excluded_loss_of: mean loss on the training pairs of the logits without this one's part [nats]
    irrep_restricted_loss_control: restricted loss with random other representations instead [nats]
    irrep_excluded_loss_control: excluded loss with random other representations instead [nats]
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
    """Where parts are kept and removed: the logits themselves, or those that the neurons write.

    Args:
        logits: in the order of ``examples_by_product``.
        is_train: of the same pairs.
        bias: what is added to a part that stands alone.
        form: the loss that the run is trained with.
    """

    logits: Float[Tensor, "pair element"]
    is_train: Bool[Tensor, "pair"]
    bias: Float[Tensor, "element"] | float
    form: LossForm

    def losses(self, parts: Float[Tensor, "set product element"]) -> Float[Tensor, "set 2"]:
        """Restricted and excluded loss of each part. Every product has as many pairs as any other."""
        squares = self.form == "mse"
        alone = losses_by_sum(parts + self.bias, squared_error if squares else cross_entropy).mean(1)
        exclude = excluded_squares if squares else excluded_losses
        return torch.stack([alone, exclude(self.logits, self.is_train, mean_by_sum(self.logits), parts)], 1)


def irrep_progress(checkpoint: Checkpoint, *, key_irreps: Int[Tensor, "key_irrep"]) -> IrrepProgress:
    """Return the losses of the network restricted to the key irreducible representations, and without them.

    Loss is cross-entropy (that of the softmax, also of a run with StableMax), or the squared error where the run is
    trained with it, on the correct answers. Restricted
    losses are over all pairs, excluded ones over the training pairs. Classes outside the group are left out.

    Hidden: P_ρ projects the neurons h onto the functions ρ(x·y)_ij of the pair. Restricted: the loss of
    Σ_ρ P_ρ h W_L + b_U; excluded: of (h - Σ_ρ P_ρ h) W_L + b_U, with W_L the neuron-to-logit map: the residual stream
    beside the neurons and the biases between are left out, as in the published losses. NaN where the logits are not
    linear in the neurons (a final LayerNorm, a recursive model).

    Logits: the part is Σ_ρ ⟨L, T_ρ⟩ T_ρ / ‖T_ρ‖², T_ρ[x, y, z] = χ_ρ(x·y·z⁻¹), whose loss alone is the same for all
    pairs, and L less that part.

    Controls: the mean over 8 draws, the same for every checkpoint, of random other representations, as many as come
    nearest to the rank of the keys; NaN where there are no others.

    Args:
        checkpoint: of a run whose task is a product in a group.
        key_irreps: rows of the axis ``irrep``.

    Source: Chughtai et al. 2023, §4.3 (restricted, excluded) and its released metrics: total_hidden_…_loss,
        total_logit_…_loss.
    """
    grid = group_grid(checkpoint, "irrep_progress")
    if not len(key_irreps):
        raise NotDefined("irrep_progress", "no representation is key")
    keys, answers = irrep_rows(key_irreps, grid.answers), grid.answers
    sets = torch.cat(
        [keys[None], torch.eye(len(keys), dtype=torch.bool, device=keys.device), random_sets(keys, answers)]
    )
    example, problem = examples_by_product(grid.left, answers.element, grid.group.order), checkpoint.problem
    is_train = problem.is_train[example]
    place = Place(answers.logits(checkpoint.logits.double()[example]), is_train, 0.0, problem.loss)
    found = losses_of_sets(place, sets, character_parts, answers)
    del place  # a copy of all logits
    hidden = torch.full_like(found, torch.nan)
    model = checkpoint.model
    if model.n_neurons and model.is_linear_in_neurons(problem.tokens[:LINEAR_ON]):
        bias = model.b_U.detach()[answers.class_of].double()
        written = checkpoint.neurons.double()[example] @ model.W_L.detach()[:, answers.class_of].double()
        place = Place(written.add_(bias), is_train, bias, problem.loss)
        hidden = losses_of_sets(place, sets, projected_parts, answers)
    return IrrepProgress(*gathered(hidden, len(keys)), *gathered(found, len(keys)))


def losses_of_sets(
    place: Place, sets: Bool[Tensor, "set irrep"], parts: Callable[..., Tensor], grid: AnswerGrid
) -> Float[Tensor, "set 2"]:
    """Restricted and excluded loss of each set, as many sets at a time as make a few million numbers."""
    table = mean_by_sum(place.logits)
    some = max(1, CELLS // table.numel())
    return torch.cat([place.losses(parts(table, chosen.double(), grid)) for chosen in sets.split(some)])


def character_parts(
    table: Float[Tensor, "product element"], sets: Float[Tensor, "set irrep"], grid: AnswerGrid
) -> Float[Tensor, "set product element"]:
    """Σ_ρ ⟨L, T_ρ⟩ T_ρ / ‖T_ρ‖², from the mean M of L over each product: ⟨L, T_ρ⟩ = n Σ_{g,z} M[g, z] χ(g·z⁻¹)."""
    chi = grid.characters
    weight = chi @ sums_by_quotient(table, grid.table) / (len(table) * chi.square().sum(1))
    return ((sets * weight) @ chi)[:, grid.quotient]


def projected_parts(
    table: Float[Tensor, "product element"], sets: Float[Tensor, "set irrep"], grid: AnswerGrid
) -> Float[Tensor, "set product element"]:
    """Σ_ρ P_ρ M of the mean over each product; what is the same for all products has no part."""
    kernels = sets @ (grid.scale[:, None] * grid.characters)
    return kernels[:, grid.quotient] @ table


def gathered(losses: Float[Tensor, "set 2"], n_irreps: int) -> tuple[Tensor, ...]:
    """The fields at one place: of the keys, of each representation alone, and the mean over the random sets."""
    keys, alone, control = losses[0], losses[1 : 1 + n_irreps], losses[1 + n_irreps :].mean(0)
    return (*keys, *alone.T, *control)


def random_sets(keys: Bool[Tensor, "irrep"], grid: AnswerGrid) -> Bool[Tensor, "draw irrep"]:
    """Others than the keys in a random order, cut where their rank comes nearest to the keys'; no draw without others.

    The rank of ρ, the number of functions its matrix entries span, is tr P_ρ = n · (d/(c·n)) χ(e) = d²/c.
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
