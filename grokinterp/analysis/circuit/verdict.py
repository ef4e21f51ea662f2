"""The verdict on the circuit of a network: clock, pizza, mixed, additive, irrep-based, memorizer, or none."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.analysis.circuit.isolated_circles import key_circles
from grokinterp.analysis.circuit.rule import KINDS, judge, settles
from grokinterp.analysis.circuit.symmetricity import FEWEST, MOST, Symmetricity, symmetricity
from grokinterp.analysis.circuit.templates import (
    circle_fits,
    clocks,
    fit,
    logit_table,
    offset_waves,
    pizzas,
    preference,
)
from grokinterp.analysis.groups.irreps import irrep_spectrum
from grokinterp.analysis.structure.cyclic_grid import cyclic_grid
from grokinterp.analysis.structure.fourier import key_rows
from grokinterp.errors import NotDefined
from grokinterp.phases import SUSTAINED
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.tasks import RecordedTask

T = TypeVar("T")

CIRCUITS = (*KINDS, "irrep-based", "memorizer", "none")

EXPLAINED = 0.1
"""Smallest share of the row-centered logits' variance that the keys of a circuit must explain."""

COMPONENTS = 4
"""Number of principal components of the embedding in ``circularity``."""

AXES = {"circuit": CIRCUITS}


class Evidence(NamedTuple):
    """The evidence that distinguishes clocks from pizzas: the fields of ``Circuit`` that need a cyclic group."""

    gradient_symmetricity: Float[Tensor, ""]
    gradient_symmetricity_error: Float[Tensor, ""]
    distance_irrelevance: Float[Tensor, ""]
    distance_irrelevance_runner_up: Float[Tensor, ""]
    circularity: Float[Tensor, ""]
    clock_fve: Float[Tensor, ""]
    pizza_fve: Float[Tensor, ""]
    pizza_preference: Float[Tensor, ""]


class Circuit(NamedTuple):
    """The kind of the network, and the evidence.

    gradient_symmetricity: mean cosine between a logit's gradients with respect to the embeddings of a and b [1]
    gradient_symmetricity_error: standard error of the gradient symmetricity over the drawn triples [1]
    distance_irrelevance: standard deviation of the correct logit at equal a - b, relative to all pairs [1]
    distance_irrelevance_runner_up: distance irrelevance of the largest wrong logit [1]
    circularity: mean share of one frequency in the first four principal components of the embedding [1]
    clock_fve: share of the logits' variance explained by the clocks of the key frequencies [1]
    pizza_fve: share of the logits' variance explained by the pizzas of the key frequencies at their best phases [1]
    pizza_preference: share of each key circle's logits explained by single pizzas minus that of single clocks [1]
    circuit_fve: share of the row-centered logits' variance explained by the key frequencies or representations [1]
    is_circuit: whether the network is of this kind [1]
    is_close_to: whether the evidence is close to this other kind [1]
    """

    gradient_symmetricity: Float[Tensor, ""]
    gradient_symmetricity_error: Float[Tensor, ""]
    distance_irrelevance: Float[Tensor, ""]
    distance_irrelevance_runner_up: Float[Tensor, ""]
    circularity: Float[Tensor, ""]
    clock_fve: Float[Tensor, ""]
    pizza_fve: Float[Tensor, ""]
    pizza_preference: Float[Tensor, ""]
    circuit_fve: Float[Tensor, ""]
    is_circuit: Bool[Tensor, "circuit"]
    is_close_to: Bool[Tensor, "circuit"]


def circuit_verdict(
    checkpoint: Checkpoint,
    *,
    key_frequencies: Int[Tensor, "key"],
    key_irreps: Int[Tensor, "key_irrep"],
    triples: int = FEWEST,
) -> Circuit:
    """Return the verdict on the circuit of the network, such as a clock or a pizza, and the evidence for it.

    A memorizer is correct on 99 % of the training examples and on less than half of the other examples. A network of
    any other kind has generalized cleanly, that is, it is correct on 99 % of the examples outside the training set (of
    all examples if the split is unknown or there are no others), and the key frequencies or representations explain at
    least a tenth of the variance of its row-centered logits. (Row-centering removes the part common to all classes,
    which does not affect the answer.) Networks that meet neither criterion are labeled "none".

    In a cyclic group, the kind follows from the gradient symmetricity g (see ``rule.judge``). Pizza (the sum type):
    g ≥ 0.98, so the logits depend on E_a + E_b. Clock: g ≤ 0.707; the network multiplies, so the gradient of a depends
    on b. Mixed: g in between. Additive: the model adds its operands before the first nonlinearity and has no attention,
    or its logits do not resemble pizzas. In any other group, and for more than two operands, it is irrep-based.

    Distance irrelevance is q = mean_d std(M | a - b = d) / std(M) for the correct logit M [a, b], and 1 if M is
    constant: it measures how much the logit depends on a + b at equal a - b, and is not part of the verdict.
    Circularity is the mean over the first four principal components, v [token] at unit length, of
    min(1, max_k 2|Σ_t v_t e^{iw_k t}|²/p): 1 for an embedding of perfect circles. ``clock_fve`` and ``pizza_fve`` fit
    the logits by least squares. Pizzas of several circles combine into clocks; therefore
    ``pizza_preference`` compares the templates with the logits of each single key frequency of the embedding. The
    evidence is NaN without a cyclic group, and the fits are 0 without a key frequency.

    Args:
        checkpoint: a checkpoint of any run.
        key_frequencies: frequencies from 1 to ⌊p/2⌋.
        key_irreps: rows of the ``irrep`` axis.
        triples: number of triples for g; ``analyze`` uses the number that settles the verdict on the last checkpoint.

    Source: Zhong et al. 2023, §5 (symmetricity, irrelevance), §6 (circularity); Chughtai et al. 2023 (irreps);
    docs/formulas.md, Circuit verdict (thresholds).

    Raises:
        NotDefined: the examples are recorded.
    """
    task = checkpoint.problem.task
    if isinstance(task, RecordedTask):
        raise NotDefined("circuit_verdict", task.no_group)
    found, explained, is_cyclic = gathered(checkpoint, key_frequencies, key_irreps, triples)
    clean, memorized = generalization(checkpoint)
    known = clean & (explained >= EXPLAINED)
    is_kind, is_close = judge(
        found.gradient_symmetricity,
        found.gradient_symmetricity_error,
        found.pizza_preference,
        adds_operands=checkpoint.model.adds_operands,
        attends=bool(checkpoint.model.pattern_hooks),
    )
    kinds = torch.cat([is_kind & known & is_cyclic, torch.stack([known & (not is_cyclic), memorized])])
    is_close_to = torch.cat([is_close & known & is_cyclic, torch.zeros_like(kinds[:3])])
    return Circuit(*found, explained, torch.cat([kinds, ~kinds.any(0, keepdim=True)]), is_close_to)


def gathered(
    checkpoint: Checkpoint, key_frequencies: Int[Tensor, "key"], key_irreps: Int[Tensor, "key_irrep"], triples: int
) -> tuple[Evidence, Float[Tensor, ""], bool]:
    """Return the evidence, ``circuit_fve`` by frequencies or irreps, and whether it is by frequencies."""
    nothing = checkpoint.logits.sum().double() * torch.nan
    try:
        return *evidence(checkpoint, key_frequencies, triples), True
    except NotDefined:
        pass
    try:
        explained = irrep_spectrum(checkpoint).irrep_similarity[key_irreps].square().sum()
    except NotDefined:
        explained = nothing
    return Evidence(*[nothing] * len(Evidence._fields)), explained, False


def evidence(
    checkpoint: Checkpoint, key_frequencies: Int[Tensor, "key"], triples: int
) -> tuple[Evidence, Float[Tensor, ""]]:
    """Return the evidence in a cyclic group, and ``circuit_fve``.

    Raises NotDefined for any other task.
    """
    grid = cyclic_grid(checkpoint, "circuit_verdict")
    logits = grid.logits(checkpoint.logits.double())
    table, rows = logit_table(logits), key_rows(key_frequencies, grid.n, logits.device)
    best, nothing = circle_fits(offset_waves(table, rows)), logits.sum() * torch.nan
    within_rows = (logits - logits.mean(1, keepdim=True)).square().mean()
    found = Evidence(
        *defined(lambda: symmetricity(checkpoint, triples=triples), Symmetricity(nothing, nothing)),
        *(distance_irrelevance(answers) for answers in best_logits(logits)),
        defined(lambda: circularity(grid.embedding(checkpoint.model).detach().double()), nothing),
        fit(table, clocks(rows, grid.n)),
        fit(table, pizzas(rows, grid.n, best.difference)),
        defined(lambda: preference(key_circles(checkpoint, grid, rows)), nothing),
    )
    return found, found.clock_fve * table.variance / within_rows


def defined(measure: Callable[[], T], otherwise: T) -> T:
    """Return a measure of the embedding, or a default if the embedding is unknown."""
    try:
        return measure()
    except NotDefined:
        return otherwise


def settling_triples(checkpoint: Checkpoint) -> int:
    """Return the number of triples that determines on which side of the thresholds g lies: 512, doubled up to 4,096.

    With 4,096 triples the standard error is below 0.008, so an undetermined g is close to a threshold. If g is not part
    of the verdict, the number is 512.
    """
    count = FEWEST
    try:
        cyclic_grid(checkpoint, "circuit_verdict")
        while count < MOST and not checkpoint.model.adds_operands:
            if settles(*(float(value) for value in symmetricity(checkpoint, triples=count))):
                break
            count *= 2
    except NotDefined:
        pass
    return count


def generalization(checkpoint: Checkpoint) -> tuple[Bool[Tensor, ""], Bool[Tensor, ""]]:
    """Return whether the network generalizes (correct outside the training set), and whether it only memorizes."""
    problem = checkpoint.problem
    answers = checkpoint.logits.argmax(-1)
    right, trained = answers == problem.label, (answers == problem.trained_label)[problem.is_train]
    others = right if problem.is_train.all() else right[~problem.is_train]
    share = others.double().mean()
    memorized = (trained.double().mean() >= SUSTAINED.memorized) & (share < SUSTAINED.failing)
    return share >= SUSTAINED.memorized, memorized


def best_logits(logits: Float[Tensor, "pair exponent"]) -> tuple[Float[Tensor, "pair"], Float[Tensor, "pair"]]:
    """Return the correct logit of every pair of exponents, and the largest of its other logits.

    >>> correct, other = best_logits(torch.tensor([[3.0, 1.0], [2.0, 4.0], [0.0, 5.0], [7.0, 8.0]]))
    >>> correct.tolist(), other.tolist()
    ([3.0, 4.0, 5.0, 7.0], [1.0, 2.0, 0.0, 8.0])
    """
    exponent = torch.arange(logits.shape[1], device=logits.device)
    answer = ((exponent[:, None] + exponent) % len(exponent)).flatten()[:, None]
    return logits.gather(1, answer).squeeze(1), logits.scatter(1, answer, -torch.inf).amax(1)


def distance_irrelevance(values: Float[Tensor, "pair"]) -> Float[Tensor, ""]:
    """Return mean_d std(M | a - b = d) / std(M) for M over all pairs of exponents; 1 if M is constant up to rounding.

    >>> distance_irrelevance(torch.tensor([1.0, 2.0, 2.0, 1.0])).item()
    0.0
    >>> distance_irrelevance(torch.tensor([0.0, 0.0, 1.0, 1.0])).item()
    1.0
    """
    n = round(len(values) ** 0.5)
    b = torch.arange(n, device=values.device)
    at_distance = values[(b[:, None] + b) % n * n + b]
    whole = values.std(correction=0)
    varies = whole > 1e-12 * values.abs().amax()
    return torch.where(varies, at_distance.std(1, correction=0).mean() / whole, 1)


def circularity(embedding: Float[Tensor, "exponent feature"]) -> Float[Tensor, ""]:
    """Return the mean share of one frequency in the first principal components, at most four.

    >>> angle = 2 * torch.pi * torch.arange(5).double() / 5
    >>> circularity(torch.stack([angle.cos(), angle.sin()], 1)).round(decimals=6)
    tensor(1., dtype=torch.float64)
    """
    scores = principal_scores(embedding, COMPONENTS)
    power = 2 * torch.fft.rfft(scores, dim=0)[1:].abs().square() / len(scores)
    return power.amax(0).clamp(max=1).mean()


def principal_scores(embedding: Float[Tensor, "exponent feature"], most: int) -> Float[Tensor, "exponent component"]:
    """Return the coordinates of the rows along their first principal components, each component at unit length."""
    centered = embedding - embedding.mean(0)
    n, features = centered.shape
    count = min(most, n - 1, features)
    if n <= features:
        return torch.linalg.eigh(centered @ centered.mT).eigenvectors[:, -count:].flip(1)
    scores = centered @ torch.linalg.eigh(centered.mT @ centered).eigenvectors[:, -count:].flip(1)
    return scores / torch.linalg.vector_norm(scores, dim=0)
