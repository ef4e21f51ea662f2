"""A lower bound on the accuracy, proven with less computation than the evaluation of every logit."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.analysis.groups.irreps import irrep_rows
from grokinterp.analysis.structure.answer_spectrum import AnswerGrid, answer_grid
from grokinterp.analysis.structure.cyclic_answers import CyclicAnswers, answers_of
from grokinterp.analysis.structure.fourier import key_rows
from grokinterp.errors import NotDefined
from grokinterp.maths.fourier import waves
from grokinterp.runs.checkpoint import Checkpoint

PROOF_RANKS = (0, 4, 8, 16, 32)
"""Numbers of singular directions that a certificate adds to the key structure."""

FINAL_NORM = "ln_final.hook_normalized"
ROUNDING = 1e-10
"""Slack by which a margin must exceed its bound, as a share of a logit's largest term; far above float64 rounding."""

AT_ONCE = 4096
"""Number of examples whose logits are in memory at a time."""

AXES = {"proof_rank": PROOF_RANKS}


class CertifiedAccuracy(NamedTuple):
    """Shares of answers that a low-rank approximation of the output map proves to be correct.

    certified_share: share of the examples whose answer is proven to be correct, a lower bound on the accuracy [1]
    proof_cost: multiplications of the proof, relative to the evaluation of the output map [1]
    true_share: share of the examples that are answered correctly [1]
    """

    certified_share: Float[Tensor, "proof_rank"]
    proof_cost: Float[Tensor, "proof_rank"]
    true_share: Float[Tensor, ""]


class OutputMap(NamedTuple):
    """The output map of a network, logits = beside + z M, split as M = low + rest.

    Args:
        z: input of the map for every example, minus its mean.
        beside: part of the logits other than z M, including the contribution of the mean of z.
        matrix: M minus its mean over the classes, which does not affect any margin.
        skipping: features of the residual stream whose product with W_U is in ``beside``; 0 if they affect no margin.
    """

    z: Float[Tensor, "example feature"]
    beside: Float[Tensor, "example class"]
    matrix: Float[Tensor, "feature class"]
    skipping: int = 0


def certified_accuracy(
    checkpoint: Checkpoint, *, key_frequencies: Int[Tensor, "key"], key_irreps: Int[Tensor, "key_irrep"]
) -> CertifiedAccuracy:
    """Return the share of examples whose answers a low-rank output map proves to be correct.

        logits = beside + z M,  M = M_low + D,
        correct answer y proven  ⇐  margin of (beside + z M_low) over c  >  ‖z‖ ‖D_c - D_y‖  for every class c ≠ y,

    by the Cauchy–Schwarz inequality. A share of 1 proves that all answers are correct. The share is low if the output
    map is not of low rank: then little is proven, whatever the accuracy.

    z are the neurons of the last hidden layer minus their mean, and M is the neuron-to-logit map; if a LayerNorm or
    RMSNorm follows, z is the input of the unembedding and M is W_U. M_low is the projection of M onto the waves
    cos w_k c and sin w_k c of the key frequencies (the output map of the idealized network), plus the r largest
    singular directions of the remainder, r in ``PROOF_RANKS``. In other groups, the matrix entries ρ(c) of the key
    representations replace the waves; without a group, M_low consists of the singular directions only.

    The proven statement is that the network, evaluated in real arithmetic with these weights, answers at least
    certified_share of all examples correctly. The proof computes z of every example by a forward pass and saves only
    the output map: R (F + C) + d C multiplications instead of F C + d C per example, with F features, C classes, R the
    rank of M_low, and d the width of the residual stream if it reaches the logits directly; proof_cost is this ratio.
    (Norms, class distances, and the decomposition are checked once, with at most F C (C + R) multiplications.) In an
    MLP with one hidden layer and one-hot inputs, the output map is nearly all of the brute-force cost; in a
    transformer, attention and MLP remain. The computation uses float64, not interval arithmetic: a margin must exceed
    its bound by 1e-10 of the largest term of a logit, while rounding errors are near 1e-13.

    Args:
        checkpoint: the network.
        key_frequencies: frequencies of the waves in the low-rank map; may be empty.
        key_irreps: rows of the irreducible representations in the low-rank map, for a non-cyclic group.

    Source: Gross et al. 2024 (compact proofs: length against tightness; low-rank approximation with error terms);
    docs/formulas.md, "Sparse structure and bounds".

    Raises:
        NotDefined: the output map of the network is unknown.
    """
    end, problem = output_map(checkpoint), checkpoint.problem
    basis = class_basis(checkpoint, key_frequencies, key_irreps)
    shaped = end.matrix @ basis.mT @ basis
    left, sizes, right = torch.linalg.svd(end.matrix - shaped, full_matrices=False)
    shares, (features, classes) = [], end.matrix.shape
    for rank in PROOF_RANKS:
        low = shaped + (left[:, :rank] * sizes[:rank]) @ right[:rank]
        shares.append(proven(end, low, problem.label).double().mean())
    direct = end.skipping * classes
    ranks = len(basis) + sizes.new_tensor(PROOF_RANKS).clamp(max=len(sizes))
    return CertifiedAccuracy(
        torch.stack(shares),
        (ranks * (features + classes) + direct) / (features * classes + direct),
        (checkpoint.logits.argmax(1) == problem.label).double().mean(),
    )


def output_map(checkpoint: Checkpoint) -> OutputMap:
    """Return the linear output map of the network. Raises NotDefined if it is unknown."""
    model, readout = checkpoint.model, checkpoint.readout
    if not model.n_neurons:
        raise NotDefined("certified_accuracy", model.lacks("the last hidden layer"))
    if model.is_linear_in_neurons(checkpoint.problem.tokens):
        z, matrix = readout.neurons, model.W_L
    else:
        z = checkpoint.features(FINAL_NORM)[0] if FINAL_NORM in model.hook_dict else readout.residual
        matrix = model.W_U
    if z.shape[1] != len(matrix):
        raise NotDefined("certified_accuracy", model.lacks("a known input of the unembedding"))
    matrix = matrix.detach().double()
    matrix = matrix - matrix.mean(1, keepdim=True)
    z = z.double() - z.double().mean(0)
    beside = readout.logits.double() - z @ matrix
    margins = beside - beside.mean(1, keepdim=True)
    varies = bool((margins - margins.mean(0)).abs().amax() > ROUNDING * readout.logits.abs().amax())
    return OutputMap(z, beside, matrix, len(model.W_U) if varies else 0)


def class_basis(
    checkpoint: Checkpoint, key_frequencies: Int[Tensor, "key"], key_irreps: Int[Tensor, "key_irrep"]
) -> Float[Tensor, "function class"]:
    """Return orthonormal functions of the class that span the key structure; none for a task without a group."""
    task, device = checkpoint.problem.task, checkpoint.logits.device
    cyclic, group = answers_of(task, str(device)), answer_grid(task, str(device))
    if isinstance(cyclic, CyclicAnswers):
        functions, class_of = key_waves(key_rows(key_frequencies, cyclic.n, device), cyclic.n), cyclic.class_of
    elif isinstance(group, AnswerGrid):
        functions, class_of = key_entries(irrep_rows(key_irreps, group), group), group.class_of
    else:
        return checkpoint.logits.new_zeros(0, checkpoint.logits.shape[1]).double()
    found = functions.new_zeros(len(functions), checkpoint.logits.shape[1])
    found[:, class_of] = functions
    return found


def key_waves(rows: Int[Tensor, "key"], n: int) -> Float[Tensor, "function exponent"]:
    """Return the orthonormal cosines and sines of some frequencies; frequency n/2 has no sine."""
    both = torch.cat([wave[rows] for wave in waves(n, rows.device)])
    both = both[both.square().sum(1) > 0.5]
    return both / both.norm(dim=1, keepdim=True)


def key_entries(rows: Bool[Tensor, "irrep"], grid: AnswerGrid) -> Float[Tensor, "function element"]:
    """Return an orthonormal basis of the span of the matrix entries of some representations.

    The projector onto it is Σ_ρ (d/(c·n)) χ_ρ(x·y⁻¹), as in ``irreps.power_by_irrep``; its rank is its trace.
    """
    projector = torch.einsum("r,rxy->xy", grid.scale * rows, grid.characters[:, grid.quotient])
    size, functions = torch.linalg.eigh((projector + projector.mT) / 2)
    return functions.mT[size > 0.5]


def proven(
    end: OutputMap, low: Float[Tensor, "feature class"], labels: Int[Tensor, "example"]
) -> Bool[Tensor, "example"]:
    """Return whether the margin with the low-rank output map exceeds the largest effect of the rest of the map."""
    rest = (end.matrix - low).mT.contiguous()
    apart = distances(rest)
    longest = end.matrix.norm(dim=0).max()
    found = []
    for some in torch.arange(len(labels), device=labels.device).split(AT_ONCE):
        z, beside, right = end.z[some], end.beside[some], labels[some].unsqueeze(1)
        logits, size = beside + z @ low, z.norm(dim=1, keepdim=True)
        slack = ROUNDING * (size * longest + beside.abs().amax(1, keepdim=True))
        excess = logits.gather(1, right) - logits - size * apart[labels[some]] - slack
        found.append(excess.scatter(1, right, torch.inf).amin(1) > 0)
    return torch.cat(found)


def distances(rows: Float[Tensor, "class feature"]) -> Float[Tensor, "class other_class"]:
    """Return the distances between all rows, from their differences, because squares could round a distance down.

    >>> distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]])).tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
