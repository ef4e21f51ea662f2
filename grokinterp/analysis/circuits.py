"""Which kind of network is it: a clock, a pizza, something between them, irreps, a memory, or nothing that is known?"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.analysis.algebra import cyclic_grid
from grokinterp.analysis.fourier import key_rows
from grokinterp.analysis.irreps import irrep_spectrum
from grokinterp.analysis.symmetricity import drawn_cosines
from grokinterp.analysis.templates import fit, logit_table, templates
from grokinterp.checkpoint import Checkpoint
from grokinterp.errors import NotDefined
from grokinterp.tasks import RecordedTask

CIRCUITS = ("clock", "pizza", "mixed", "irrep-based", "memorizer", "none")

RIGHT = 0.99
"""Who answers this share of examples right has memorized them if they were trained on, has generalized if not."""

NOT_GENERALIZED = 0.5
"""A memorizer is right on less than this share of the other examples."""

EXPLAINED = 0.1
"""Without this share of the logits' variance, key frequencies or representations are not what a network answers by."""

PARALLEL, OBLIQUE = 0.95, 0.7
"""Gradient symmetricity of a pizza at least, and of a clock at most: cos² < ½, the gradients share less than half."""

IRRELEVANT = 0.5
"""Distance irrelevance of a pizza at most: a - b explains about 1 - q² of its correct logit; a clock has more."""

COMPONENTS = 4
"""Principal components of the embedding that ``circularity`` looks at."""

TRIPLES = 128
"""Triples (a, b, c) whose gradients are taken at every checkpoint."""


class Evidence(NamedTuple):
    """What tells a clock from a pizza; the fields of ``Circuit`` that need a cyclic group."""

    gradient_symmetricity: Float[Tensor, ""]
    distance_irrelevance: Float[Tensor, ""]
    distance_irrelevance_runner_up: Float[Tensor, ""]
    circularity: Float[Tensor, ""]
    clock_fve: Float[Tensor, ""]
    pizza_fve: Float[Tensor, ""]


class Circuit(NamedTuple):
    """What kind of network it is, and why.

    sampled_symmetricity: mean cosine between a logit's gradients by the embeddings of a and b, of 128 triples [1]
    distance_irrelevance: spread of the correct logit at equal a - b over its spread at all pairs [1]
    distance_irrelevance_runner_up: the same of the largest wrong logit [1]
    circularity: mean share of one frequency in the first four principal components of the embedding [1]
    clock_fve: share of the logits' variance explained by the clocks of the key frequencies [1]
    pizza_fve: share of the logits' variance explained by the pizzas of the key frequencies [1]
    is_circuit: whether the network is of that kind [1]
    """

    sampled_symmetricity: Float[Tensor, ""]
    distance_irrelevance: Float[Tensor, ""]
    distance_irrelevance_runner_up: Float[Tensor, ""]
    circularity: Float[Tensor, ""]
    clock_fve: Float[Tensor, ""]
    pizza_fve: Float[Tensor, ""]
    is_circuit: Bool[Tensor, "circuit"]


def circuit(
    checkpoint: Checkpoint, *, key_frequencies: Int[Tensor, "key"], key_irreps: Int[Tensor, "key_irrep"]
) -> Circuit:
    """The kind of the network, one of ``CIRCUITS``, and the evidence for it.

    memorizer: right on 99 % of the training examples, on less than half of the others. All other kinds but none
    are right on 99 % of the examples not trained on (of all, where nobody knows or none is left), which is what
    generalizing cleanly means here, and on a tenth of their logits' variance the key frequencies or representations
    can be read. Whoever meets neither is none, and so is what generalizes without a group to read it in.

    In a cyclic group, with g the gradient symmetricity and q the distance irrelevance of the correct logit:
    pizza: g ≥ 0.95 and q ≤ 0.5. Its logit depends on E_a + E_b, and grows and falls with a - b as |cos(w(a - b)/2)|.
    clock: g ≤ 0.7 and q > 0.5. It multiplies, so that a's gradient depends on b, and its logit depends on a + b - c.
    mixed: else. Where the operands have tables of their own g is NaN, and q decides.
    In any other group: irrep-based.

    q = mean_d std(M | a - b = d) / std(M) for the correct logit M [a, b], 1 where M is constant. Circularity is the
    mean over the first four principal components, v [token] at unit length, of min(1, max_k 2|Σ_t v_t e^{iw_k t}|²/p).
    g is the mean over 128 fixed triples: its error is 0.0001 for a pizza, 0.01 to 0.04 for others; ``symmetricity`` has
    the exact one. ``clock_fve`` and ``pizza_fve`` fit the logits by least squares: pizzas of several circles
    complete each other to clocks, so that they tell little of a whole network; see ``isolated_circles``.
    The evidence is NaN without a cyclic group, the fits are 0 without a key frequency.

    Args:
        checkpoint: of any run.
        key_frequencies: frequencies from 1 to ⌊p/2⌋.
        key_irreps: rows of the ``irrep`` axis.

    Source: Zhong et al. 2023, §5 (symmetricity, irrelevance), §6 (circularity); Chughtai et al. 2023 (irreps).

    Raises:
        NotDefined: recorded examples.
    """
    task = checkpoint.problem.task
    if isinstance(task, RecordedTask):
        raise NotDefined("circuit", task.no_group)
    found, explained, is_cyclic = gathered(checkpoint, key_frequencies, key_irreps)
    clean, memorized = generalization(checkpoint)
    known = clean & (explained >= EXPLAINED)
    g, q = found.gradient_symmetricity, found.distance_irrelevance
    is_pizza = known & is_cyclic & ~(g < PARALLEL) & (q <= IRRELEVANT)
    is_clock = known & is_cyclic & ~(g > OBLIQUE) & (q > IRRELEVANT)
    is_mixed = known & is_cyclic & ~is_pizza & ~is_clock
    kinds = [is_clock, is_pizza, is_mixed, known & (not is_cyclic), memorized]
    return Circuit(*found, torch.stack([*kinds, ~torch.stack(kinds).any(0)]))


def gathered(
    checkpoint: Checkpoint, key_frequencies: Int[Tensor, "key"], key_irreps: Int[Tensor, "key_irrep"]
) -> tuple[Evidence, Float[Tensor, ""], bool]:
    """The evidence, the share of the logits' variance that frequencies or irreps explain, and which of both."""
    nothing = checkpoint.logits.sum().double() * torch.nan
    try:
        found = evidence(checkpoint, key_frequencies)
        return found, torch.maximum(found.clock_fve, found.pizza_fve), True
    except NotDefined:
        pass
    try:
        explained = irrep_spectrum(checkpoint).irrep_similarity[key_irreps].square().sum()
    except NotDefined:
        explained = nothing
    return Evidence(*[nothing] * len(Evidence._fields)), explained, False


def evidence(checkpoint: Checkpoint, key_frequencies: Int[Tensor, "key"]) -> Evidence:
    """What there is to measure in a cyclic group. Raises NotDefined for any other task."""
    grid = cyclic_grid(checkpoint, "circuit")
    logits = grid.logits(checkpoint.logits.double())
    table, shapes = logit_table(logits), templates(key_rows(key_frequencies, grid.n, logits.device), grid.n)
    try:
        symmetricity = drawn_cosines(checkpoint, "circuit", TRIPLES).mean()
    except NotDefined:
        symmetricity = logits.sum() * torch.nan
    return Evidence(
        symmetricity,
        *(distance_irrelevance(answers) for answers in best_logits(logits)),
        circularity(grid.embedding(checkpoint.model).detach().double()),
        fit(table, shapes.clock),
        fit(table, shapes.pizza),
    )


def generalization(checkpoint: Checkpoint) -> tuple[Bool[Tensor, ""], Bool[Tensor, ""]]:
    """Whether the examples not trained on are answered right, and whether only those trained on are."""
    problem = checkpoint.problem
    answers = checkpoint.logits.argmax(-1)
    right, trained = answers == problem.labels, (answers == problem.trained_labels)[problem.is_train]
    others = right if problem.is_train.all() else right[~problem.is_train]
    share = others.double().mean()
    memorized = (trained.double().mean() >= RIGHT) & (share < NOT_GENERALIZED)
    return share >= RIGHT, memorized


def best_logits(logits: Float[Tensor, "pair exponent"]) -> tuple[Float[Tensor, "pair"], Float[Tensor, "pair"]]:
    """The correct logit of every pair of exponents, and the largest of its others.

    >>> correct, other = best_logits(torch.tensor([[3.0, 1.0], [2.0, 4.0], [0.0, 5.0], [7.0, 8.0]]))
    >>> correct.tolist(), other.tolist()
    ([3.0, 4.0, 5.0, 7.0], [1.0, 2.0, 0.0, 8.0])
    """
    exponent = torch.arange(logits.shape[1], device=logits.device)
    answer = ((exponent[:, None] + exponent) % len(exponent)).flatten()[:, None]
    return logits.gather(1, answer).squeeze(1), logits.scatter(1, answer, -torch.inf).amax(1)


def distance_irrelevance(values: Float[Tensor, "pair"]) -> Float[Tensor, ""]:
    """mean_d std(M | a - b = d) / std(M), for M of all pairs of exponents; 1 where M is constant, up to rounding.

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
    """Mean share of one frequency in the first principal components, at most four of them.

    >>> angle = 2 * torch.pi * torch.arange(5).double() / 5
    >>> circularity(torch.stack([angle.cos(), angle.sin()], 1)).round(decimals=6)
    tensor(1., dtype=torch.float64)
    """
    scores = principal_scores(embedding, COMPONENTS)
    power = 2 * torch.fft.rfft(scores, dim=0)[1:].abs().square() / len(scores)
    return power.amax(0).clamp(max=1).mean()


def principal_scores(embedding: Float[Tensor, "exponent feature"], most: int) -> Float[Tensor, "exponent component"]:
    """The rows' coordinates along their first principal components, each component at unit length."""
    centered = embedding - embedding.mean(0)
    n, features = centered.shape
    count = min(most, n - 1, features)
    if n <= features:
        return torch.linalg.eigh(centered @ centered.mT).eigenvectors[:, -count:].flip(1)
    scores = centered @ torch.linalg.eigh(centered.mT @ centered).eigenvectors[:, -count:].flip(1)
    return scores / torch.linalg.vector_norm(scores, dim=0)
