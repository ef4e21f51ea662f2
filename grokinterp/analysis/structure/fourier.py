"""Fourier spectra of embedding, neurons, and logits when the task is a product in a cyclic group.

Operands and classes are represented by their exponents in this group: the residues themselves for addition modulo p,
discrete logarithms for multiplication and division. Frequency k stands for w_k = 2πk/n, where n is the order of the
group, written p below.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.analysis.structure.cyclic_answers import cyclic_answers, cyclic_order, frequencies
from grokinterp.analysis.structure.cyclic_grid import cyclic_grid
from grokinterp.analysis.structure.keys import find_keys
from grokinterp.errors import GrokinterpError, NotDefined
from grokinterp.maths.fourier import by_frequency, real_fourier, waves
from grokinterp.maths.grid import block_energies
from grokinterp.maths.sparsity import gini
from grokinterp.runs.checkpoint import Checkpoint

SPECIALIZED = 0.85
"""A neuron is specialized in frequency k if the block {0, k} explains more than this share of its variance."""

TIE = 1e-9
"""Relative difference of two shares of the variance that is rounding."""

AXES = {
    "frequency": frequencies,
    "exponent": lambda setting: range(cyclic_order(setting.task)),
    "axis": ("cos", "sin"),
}


class EmbeddingSpectrum(NamedTuple):
    """Fourier spectrum of the embedding of the residues.

    embedding_power: squared norm of the embedding's cosine and sine components [1]
    embedding_constant: squared norm of the embedding's constant component [1]
    gini_embedding: Gini coefficient of the norms of all components of the embedding, constant included [1]
    """

    embedding_power: Float[Tensor, "frequency"]
    embedding_constant: Float[Tensor, ""]
    gini_embedding: Float[Tensor, ""]


class NeuronLogitSpectrum(NamedTuple):
    """Fourier spectrum of the neuron-to-logit map over the classes.

    neuron_logit_power: squared norm of the neuron-to-logit map's cosine and sine components [1]
    gini_neuron_logit: Gini coefficient of the norms of all components of the map, constant included [1]
    """

    neuron_logit_power: Float[Tensor, "frequency"]
    gini_neuron_logit: Float[Tensor, ""]


class EmbeddingCircles(NamedTuple):
    """Coordinates of the residues in the embedding's plane of each key frequency.

    embedding_circle: coordinate of the exponent's token along the embedding's cosine or sine direction [1]
    """

    embedding_circle: Float[Tensor, "key exponent axis"]


class NeuronFrequencies(NamedTuple):
    """Frequency of each last-layer neuron, and the share of its variance at this frequency.

    neuron_frequency: frequency that explains most of the neuron's variance, 0 for a constant neuron [1]
    neuron_fve: share of the neuron's variance explained by its frequency in a and b [1]
    neuron_fve_harmonic: share of the neuron's variance explained by its frequency and the second harmonic [1]
    specialized_share: share of neurons whose frequency explains more than 85 % of their variance [1]
    neurons_per_frequency: number of neurons specialized in the frequency [1]
    """

    neuron_frequency: Int[Tensor, "neuron"]
    neuron_fve: Float[Tensor, "neuron"]
    neuron_fve_harmonic: Float[Tensor, "neuron"]
    specialized_share: Float[Tensor, ""]
    neurons_per_frequency: Int[Tensor, "frequency"]


class LogitSpectrum(NamedTuple):
    """Frequencies that the network answers with.

    logit_similarity: cosine similarity of the row-centered logits with cos(w_k(a + b - c)) [1]
    logit_similarity_held_out: the same similarity over the held-out pairs only [1]
    similarity_threshold: held-out similarity above which the frequency is key [1]
    is_key: whether the frequency's held-out similarity is above the threshold [1]
    is_nearly_key: whether the held-out similarity of a non-key frequency exceeds 3/4 of the threshold [1]
    logit_fve: share of the logits' variance explained by the cosines of the key frequencies [1]
    """

    logit_similarity: Float[Tensor, "frequency"]
    logit_similarity_held_out: Float[Tensor, "frequency"]
    similarity_threshold: Float[Tensor, "frequency"]
    is_key: Bool[Tensor, "frequency"]
    is_nearly_key: Bool[Tensor, "frequency"]
    logit_fve: Float[Tensor, ""]


def embedding_spectrum(checkpoint: Checkpoint) -> EmbeddingSpectrum:
    """Return the squared norm of each Fourier component of the embedding W_E over the residues.

    embedding_power = ‖Σ_t u_k(t) W_E[t]‖², summed over the unit vectors u_k along cos w_k t and sin w_k t. The Gini
    coefficient is taken over the norms of all p components, including the constant: it is near 0 for equal norms and
    near 1 if few frequencies carry the embedding.

    Separate tables for the operands are combined, each indexed by the exponents of its operand. A shared table is
    indexed by the exponents of the first operand; if the exponents of the second operand are not ± these (x + 3y), its
    frequencies appear as additional frequencies.

    Source: Nanda et al. 2023, §4.1 (spectrum), §5 (Gini).
    """
    embedding = cyclic_answers(checkpoint, "embedding_spectrum").embedding(checkpoint.model, "embedding_spectrum")
    components = real_fourier(embedding.double())
    energy = components.square().sum(-1)
    return EmbeddingSpectrum(by_frequency(energy), energy[0], gini(energy.sqrt()))


def neuron_logit_spectrum(checkpoint: Checkpoint) -> NeuronLogitSpectrum:
    """Return the squared norm of each Fourier component of the neuron-to-logit map W_L over the classes.

    W_L is the map from the last hidden layer to the logits: W_out W_U in a transformer, W_U in an MLP. The Gini
    coefficient of the component norms is near 0 for equal norms and near 1 if few frequencies carry the map.

    Source: Nanda et al. 2023, §4.3.
    """
    classes = cyclic_answers(checkpoint, "neuron_logit_spectrum").class_of
    components = real_fourier(checkpoint.model.W_L[:, classes].double().mT)
    energy = components.square().sum(-1)
    return NeuronLogitSpectrum(by_frequency(energy), gini(energy.sqrt()))


def embedding_circles(checkpoint: Checkpoint, *, key_frequencies: Int[Tensor, "key"]) -> EmbeddingCircles:
    """Return the coordinates of each token in the embedding's plane of every key frequency.

    The coordinates are (W_E[t] - mean) · û, with û the unit vectors along Σ_t cos(w_k t) W_E[t] and
    Σ_t sin(w_k t) W_E[t]. The tokens lie on a circle if the two directions are orthogonal, of equal length, and not
    shared with other frequencies. Frequency p/2 has no sine: its second coordinate is 0.

    Args:
        checkpoint: of a run whose task has a cyclic group.
        key_frequencies: frequencies from 1 to ⌊p/2⌋.

    Source: Nanda et al. 2023, §4.1; Liu et al. 2022 (circles in embeddings).
    """
    answers = cyclic_answers(checkpoint, "embedding_circles")
    if not len(key_frequencies):
        raise NotDefined("embedding_circles", "no frequency is key")
    embedding = answers.embedding(checkpoint.model, "embedding_circles").double()
    rows = key_rows(key_frequencies, answers.n, embedding.device)
    directions = torch.stack([wave[rows] @ embedding for wave in waves(answers.n, embedding.device)], dim=1)
    length = torch.linalg.vector_norm(directions, dim=-1, keepdim=True)
    unit = directions / length.clamp(min=torch.finfo(torch.float64).tiny)
    return EmbeddingCircles(torch.einsum("td,kxd->ktx", embedding - embedding.mean(0), unit))


def neuron_frequencies(checkpoint: Checkpoint) -> NeuronFrequencies:
    """Return the frequency of each last-layer neuron: the k whose block of the 2-D spectrum explains the most variance.

    FVE(k) = Σ_{i,j ∈ {0, cos k, sin k}} ĥ_ij² / Σ_ij ĥ_ij², for activations h [a, b] centered over all pairs: 1 if the
    neuron is a function of this frequency only. For a quadratic neuron (cos w_k a + cos w_k b)² the FVE is exactly 0.8,
    because the rest is in the harmonic 2k, and 1 with the block {0, k, 2k}. A constant neuron has frequency and FVE 0.
    If several frequencies explain equal shares, as for a neuron that is active on a single pair, it is the lowest.

    Source: Nanda et al. 2023, §4.2; harmonic block: docs/formulas.md, Fourier structure.
    """
    grid = cyclic_grid(checkpoint, "neuron_frequencies")
    return frequencies_of(grid.examples(checkpoint.neurons.double()), grid.n)


def logit_spectrum(checkpoint: Checkpoint) -> LogitSpectrum:
    """Return the similarity of the logits with cos(w_k(a + b - c)) at every frequency, and which frequencies are key.

    s_k = ⟨L - mean_c L, cos_k⟩ / (‖L - mean_c L‖ ‖cos_k‖) for logits L [a, b, c]. A frequency is key if s_k over the
    pairs held out of training together with their mirror images (over all pairs if fewer than p/4 are held out) is
    above 0.005 and above a chance level: the similarity that the part of the logits explained by no cosine reaches
    under random permutations of the classes, which one network in 100 exceeds at some frequency. Above three quarters
    of this threshold it is nearly key. See ``keys.find_keys``, which ``irrep_spectrum`` applies to the characters of
    C_n, the same functions.

    logit_fve = Σ_{k key} ⟨L, cos_k⟩² / (‖cos_k‖² ‖L - mean L‖²) is the share of the variance about the mean of *all*
    logits, the measure of Nanda et al.: 1 means that the key frequencies explain the logits completely. It equals
    Σ s_k², the measure of Chughtai et al., if all rows of L have the same mean, and is smaller otherwise.

    Source: Nanda et al. 2023, §4.3 (variance explained); Chughtai et al. 2023, §4 (similarity, row-centered);
        docs/formulas.md (which are key).
    """
    answers = cyclic_answers(checkpoint, "logit_spectrum")
    logits = answers.logits(checkpoint.logits.double())
    return spectrum_of_logits(logits, answers.exponent, checkpoint.problem.held_out)


def key_rows(key_frequencies: Int[Tensor, "key"], p: int, device: torch.device) -> Int[Tensor, "key"]:
    """Return the rows of the frequency axis. Raises GrokinterpError for a frequency outside 1..⌊p/2⌋."""
    for frequency in key_frequencies.tolist():
        if not 1 <= frequency <= p // 2:
            raise GrokinterpError(f"key_frequencies={frequency}: must be integers from 1 to {p // 2} for p={p}")
    return key_frequencies.to(device) - 1


def frequencies_of(neurons: Float[Tensor, "example neuron"], p: int) -> NeuronFrequencies:
    """Return the ``neuron_frequencies`` of activations on the grid of pairs."""
    total, fundamental, harmonic = block_energies(neurons, p)
    varies = total > 0
    share = torch.where(varies, fundamental / total, 0)
    fve = share.max(0).values
    best = (share >= fve * (1 - TIE)).int().argmax(0)  # the first of equal frequencies, regardless of rounding
    with_harmonic = torch.where(varies, harmonic / total, 0).gather(0, best.unsqueeze(0)).squeeze(0)
    specialized = fve > SPECIALIZED
    count = ((best == torch.arange(p // 2, device=best.device)[:, None]) & specialized).sum(1)
    return NeuronFrequencies(torch.where(varies, best + 1, 0), fve, with_harmonic, specialized.double().mean(), count)


def spectrum_of_logits(
    logits: Float[Tensor, "example exponent"],
    exponent: Int[Tensor, "example"],
    held_out: Bool[Tensor, "example"] | None = None,
) -> LogitSpectrum:
    """Return the ``logit_spectrum`` of logits on any examples; without held-out examples, all examples decide.

    Examples whose answer has exponent n are outside the group.
    """
    n = logits.shape[1]
    every = torch.arange(n, device=logits.device)
    table, inside = (every[:, None] + every) % n, exponent < n
    found = find_keys(logits, exponent, inside if held_out is None else held_out, waves(n, logits.device)[0], table)
    row_mean, square = logits.mean(1), torch.linalg.vector_norm(logits, dim=1).square()
    square, row_square, total = (torch.where(inside, x, 0).sum() for x in (square, row_mean.square(), row_mean))
    within_rows, overall = square - n * row_square, square - n * total.square() / inside.sum()
    explained = torch.where(found.is_key, found.similarity.square(), 0).sum()
    return LogitSpectrum(*found, explained * within_rows / overall)
