"""Restricted and excluded loss over irreducible representations: how much of the answer the key ones carry."""

from collections.abc import Callable
from typing import NamedTuple, TypeGuard

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.analysis.answers import AnswerGrid, sums_by_element, sums_by_quotient
from grokinterp.analysis.irreps import group_grid, irrep_rows
from grokinterp.checkpoint import Checkpoint
from grokinterp.errors import NotDefined
from grokinterp.losses import cross_entropy, squared_error
from grokinterp.models import MLP, Model, Transformer

DRAWS = 8
"""Random sets of representations that the controls average over."""


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


class Trial(NamedTuple):
    """What the losses of any part that depends on x·y alone are computed from.

    logits: to take the part from, on the training pairs. product: x·y there. bias: what is added to either. loss: the
    measure.
    """

    logits: Float[Tensor, "train element"]
    product: Int[Tensor, "train"]
    bias: Float[Tensor, "element"] | float
    loss: Callable[[Tensor, Tensor], Tensor]

    def losses(self, part: Float[Tensor, "product element"]) -> Float[Tensor, "2"]:
        """Restricted and excluded loss. Every product has as many pairs as any other."""
        alone = self.loss(part + self.bias, torch.arange(len(part), device=part.device))
        without = self.loss(self.logits - part[self.product] + self.bias, self.product)
        return torch.stack([alone.mean(), without.mean()])


def irrep_progress(checkpoint: Checkpoint, *, key_irreps: Int[Tensor, "key_irrep"]) -> IrrepProgress:
    """Losses of the network restricted to, and without, the key irreducible representations, at neurons and logits.

    Loss is cross-entropy, or the squared error where the run is trained with it, on the right answers. Restricted
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
    examples = (checkpoint.problem.is_train & (grid.left < grid.group.order)).nonzero().flatten()
    product = answers.element[examples]
    loss = squared_error if checkpoint.problem.loss == "mse" else cross_entropy

    logits = answers.logits(checkpoint.logits.double())
    table = sums_by_element(logits, answers.element, grid.group.order) / grid.group.order
    found = at_logits(table, sets, answers, Trial(logits[examples], product, 0.0, loss))
    hidden = torch.full_like(found, torch.nan)
    if is_linear(model := checkpoint.model):
        outputs = checkpoint.readout.neurons.double() @ model.W_L.detach()[:, answers.class_of].double()
        table = sums_by_element(outputs, answers.element, grid.group.order) / grid.group.order
        bias = model.unembed.b_U.detach()[answers.class_of].double()
        hidden = at_neurons(table, sets, answers, Trial(outputs[examples], product, bias, loss))
    return IrrepProgress(*gathered(hidden, len(keys)), *gathered(found, len(keys)))


def is_linear(model: Model) -> TypeGuard[MLP | Transformer]:
    """Whether the logits are linear in the last hidden layer, all else being equal."""
    return isinstance(model, MLP) or (isinstance(model, Transformer) and model.spec.normalization is None)


def at_logits(
    table: Float[Tensor, "product element"], sets: Bool[Tensor, "set irrep"], grid: AnswerGrid, trial: Trial
) -> Float[Tensor, "set 2"]:
    """Restricted and excluded loss of each set of characters, from the logits' mean over each product.

    ⟨L, T_ρ⟩ / ‖T_ρ‖² = Σ_{g,z} M[g, z] χ(g·z⁻¹) / (n Σ_h χ(h)²).
    """
    chi, n = grid.characters, len(table)
    weight = chi @ sums_by_quotient(table, grid.table) / (n * chi.square().sum(1))
    return torch.stack([trial.losses(((kept * weight) @ chi)[grid.quotient]) for kept in sets.double()])


def at_neurons(
    table: Float[Tensor, "product element"], sets: Bool[Tensor, "set irrep"], grid: AnswerGrid, trial: Trial
) -> Float[Tensor, "set 2"]:
    """Restricted and excluded loss of each set of projectors, from the mean over each product of what neurons write."""
    kernels = sets.double() @ (grid.scale[:, None] * grid.characters)
    return torch.stack([trial.losses(kernel[grid.quotient] @ table) for kernel in kernels])


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
