"""Waves of a + b in the neurons, along the directions from which the logits read them."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.analysis.structure.cyclic_answers import cyclic_answers
from grokinterp.analysis.structure.fourier import key_rows
from grokinterp.errors import NotDefined
from grokinterp.maths.fourier import squared_norms, waves
from grokinterp.maths.grid import ROUNDING
from grokinterp.maths.products import Products, mean_by_product
from grokinterp.runs.checkpoint import Checkpoint

AXES = {"axis": ("cos", "sin")}


class KeyDirections(NamedTuple):
    """Share of the neurons' variance along each key direction that is a wave in a + b.

    direction_fve: share of the variance along the direction that the frequency's waves in a + b explain [1]
    """

    direction_fve: Float[Tensor, "key axis"]


def key_directions(checkpoint: Checkpoint, *, key_frequencies: Int[Tensor, "key"]) -> KeyDirections:
    """Return the share of the neurons' variance along each key direction that is a wave in a + b.

    s is the exponent of the correct answer: a + b modulo p for two operands under addition, and the sum of all operands
    for more. The projection u_kᵀ h of the last hidden layer's neurons h [example] onto a key direction u_k is fitted by
    α cos w_k s + β sin w_k s. FVE is the share of its variance over the examples, with equal weight for every s, that
    the fit explains: 1 if the logits read an exact wave in s from this direction. It is NaN for a direction without
    variance, such as the sine of k = p/2.

    The neuron-to-logit map W_L [neuron, class] reads cos w_k c from the direction u_k = Σ_c W_L[:, c] cos w_k c, and
    sin w_k c from the analogous direction v_k. s and c are exponents in the task's group; W_L does not include a
    final LayerNorm.

    Args:
        checkpoint: a checkpoint of a run whose task has a cyclic group.
        key_frequencies: frequencies from 1 to ⌊p/2⌋.

    Source: Nanda et al. 2023, §4.2 (u_kᵀ MLP).

    Raises:
        NotDefined: the task has no cyclic group, no frequency is key, or the neuron-to-logit map is unknown.
    """
    answers = cyclic_answers(checkpoint, "key_directions")
    if not len(key_frequencies):
        raise NotDefined("key_directions", "no frequency is key")
    W_L = checkpoint.model.W_L.detach().double()[:, answers.class_of]
    rows = key_rows(key_frequencies, answers.n, W_L.device)
    pair = torch.stack([wave[rows] for wave in waves(answers.n, W_L.device)], dim=1)  # [key, axis, residue]
    along = checkpoint.neurons.double() @ (W_L @ pair.flatten(0, 1).mT)
    return KeyDirections(wave_shares(along, answers.products, rows, pair).unflatten(0, (len(rows), 2)))


def wave_shares(
    along: Float[Tensor, "example direction"],
    products: Products,
    rows: Int[Tensor, "key"],
    pair: Float[Tensor, "key axis residue"],
) -> Float[Tensor, "direction"]:
    """Return the share of each function of the examples explained by waves in s, for two directions per frequency."""
    n = pair.shape[2]
    own = pair.repeat_interleave(2, dim=0)  # [direction, axis, residue]
    table = mean_by_product(along, products)
    explained = torch.einsum("dxs,sd->dx", own, table).square().sum(1)
    explained = explained / squared_norms(n, along.device)[rows].repeat_interleave(2)
    squares = mean_by_product(along.square(), products).sum(0)
    total = squares - n * table.mean(0).square()
    return torch.where(total > ROUNDING * squares, explained / total, torch.nan)
