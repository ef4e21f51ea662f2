"""Progress measures: restricted, excluded, and trig loss."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import softplus

from grokinterp.analysis.structure.cyclic_answers import cyclic_answers, frequencies
from grokinterp.analysis.structure.fourier import key_rows
from grokinterp.losses import cross_entropy, squared_error
from grokinterp.maths.fourier import squared_norms, waves
from grokinterp.maths.products import Products, mean_by_product
from grokinterp.runs.checkpoint import Checkpoint

DRAWS = 8
"""Number of random sets of frequencies that the controls average over."""

CELLS = 2**24
"""Number of logits processed at a time."""

LARGEST_RANGE = 700.0
"""Range of logits, in nats, that exp represents in float64 without underflow."""

AXES = {"frequency": frequencies}


class ProgressMeasures(NamedTuple):
    """Losses of logits in which frequencies are kept or removed.

    restricted_loss: mean loss on all examples with the logits restricted to the constant and key frequencies [nats]
    excluded_loss: mean loss on the training examples with the key frequencies removed from the logits [nats]
    excluded_loss_of: mean loss on the training examples with this frequency removed from the logits [nats]
    trig_loss: mean loss of the logits restricted to the key frequencies, with bias correction [nats]
    restricted_loss_control: restricted loss with as many random other frequencies as keys [nats]
    excluded_loss_control: excluded loss with as many random other frequencies as keys [nats]
    """

    restricted_loss: Float[Tensor, ""]
    excluded_loss: Float[Tensor, ""]
    excluded_loss_of: Float[Tensor, "frequency"]
    trig_loss: Float[Tensor, "split"]
    restricted_loss_control: Float[Tensor, ""]
    excluded_loss_control: Float[Tensor, ""]


def progress_measures(checkpoint: Checkpoint, *, key_frequencies: Int[Tensor, "key"]) -> ProgressMeasures:
    """Return the losses of the logits L [example, c] restricted to the key frequencies K, and without them.

    s is the exponent of the correct answer: a + b modulo p for two operands under addition, and the sum of all operands
    for more. P_k projects L, averaged over the examples of each s, onto cos(w_k s) and sin(w_k s), so P_k L depends on
    s alone. L̄ is the mean of these averages, which is the mean over all examples if every s has equally many. The
    restricted loss is the loss of L̄ + Σ_K P_k L on all examples: it falls when the key frequencies suffice for the
    answer. The excluded loss is the loss of L - Σ_K P_k L on the training examples (per frequency: of L - P_k L): it
    rises when the network relies on the key frequencies instead of memorization. The trig loss is the loss of the
    restricted logits, on the training, test, and all examples; these logits are L' plus the mean of L - L', with
    L' = Σ_K P_k L, and trig_loss[all] is the restricted loss.

    Controls are means over 8 draws, the same for every checkpoint, of |K| random frequencies outside K (or of all
    others if there are fewer). The loss is the squared error if the run is trained with it, and otherwise softmax
    cross-entropy (also for a run with StableMax), always on the correct answers, even if training labels are noisy.

    Args:
        checkpoint: a checkpoint of a run whose task has a cyclic group; s and c are exponents in it.
        key_frequencies: frequencies from 1 to ⌊p/2⌋.

    Source: Nanda et al. 2023, §5.1 (restricted, excluded) and its released code (trig loss); docs/formulas.md (more
        operands).

    Raises:
        NotDefined: the labels are not products in a cyclic group of three or more elements, or some element is the
            answer to no example.
    """
    answers = cyclic_answers(checkpoint, "progress_measures")
    logits = answers.logits(checkpoint.logits.double())
    keys = key_mask(key_frequencies, answers.n, logits.device)
    problem = checkpoint.problem
    examples = Examples(answers.products, problem.is_train, problem.is_test)
    measures = squared_errors if problem.loss == "mse" else cross_entropies
    return measures(logits, examples, keys)


class Examples(NamedTuple):
    """The examples of each sum s, and which are in the training set and in the test set."""

    products: Products
    is_train: Bool[Tensor, "example"]
    is_test: Bool[Tensor, "example"]

    def weights(self) -> Float[Tensor, "split sum"]:
        """Return the share of each sum among the training, test, and all examples."""
        counts = [self.products.of(self.is_train), self.products.of(self.is_test), self.products.present]
        weights = torch.stack([each.sum(1).double() for each in counts])
        return weights / weights.sum(1, keepdim=True)


def cross_entropies(
    logits: Float[Tensor, "example class"], examples: Examples, keys: Bool[Tensor, "frequency"]
) -> ProgressMeasures:
    """Return the ``progress_measures`` of logits on any examples, with cross-entropy."""
    table = mean_by_product(logits, examples.products)
    kept, parts = kept_parts(table, keys)
    restricted = losses_by_sum(kept + table.mean(0), cross_entropy)
    excluded = excluded_losses(logits, examples.products, examples.is_train, table, torch.cat([kept, parts]))
    return gathered(restricted, excluded, examples)


def squared_errors(
    logits: Float[Tensor, "example class"], examples: Examples, keys: Bool[Tensor, "frequency"]
) -> ProgressMeasures:
    """Return the ``progress_measures`` of logits on any examples, with the squared error."""
    table = mean_by_product(logits, examples.products)
    kept, parts = kept_parts(table, keys)
    restricted = losses_by_sum(kept + table.mean(0), squared_error)
    excluded = excluded_squares(logits, examples.products, examples.is_train, table, torch.cat([kept, parts]))
    return gathered(restricted, excluded, examples)


def kept_parts(table: Float[Tensor, "sum class"], keys: Bool[Tensor, "frequency"]) -> tuple[Tensor, Tensor]:
    """Return the part of the logits at the keys and at each random set, [set, sum, class], and at every frequency."""
    parts = frequency_parts(table)
    sets = torch.cat([keys.unsqueeze(0), random_sets(keys)]).double()
    return torch.einsum("qk,ksc->qsc", sets, parts), parts


def gathered(
    restricted: Float[Tensor, "set sum"], excluded: Float[Tensor, "part"], examples: Examples
) -> ProgressMeasures:
    """Return the measures from the losses of every set of frequencies and of every single frequency."""
    n_sets = len(restricted)
    by_split = restricted @ examples.weights().mT
    return ProgressMeasures(
        restricted_loss=by_split[0, -1],
        excluded_loss=excluded[0],
        excluded_loss_of=excluded[n_sets:],
        trig_loss=by_split[0],
        restricted_loss_control=by_split[1:, -1].mean(),
        excluded_loss_control=excluded[1:n_sets].mean(),
    )


def key_mask(key_frequencies: Int[Tensor, "key"], p: int, device: torch.device) -> Bool[Tensor, "frequency"]:
    """Return the key frequencies as a mask over all frequencies."""
    rows = key_rows(key_frequencies, p, device)
    return (torch.arange(p // 2, device=device)[:, None] == rows).any(1)


def random_sets(keys: Bool[Tensor, "frequency"]) -> Bool[Tensor, "draw frequency"]:
    """Draw as many frequencies outside the keys as there are keys (or all others, if fewer), with a fixed seed."""
    random, mask = np.random.default_rng(0), keys.cpu().numpy()
    others = np.flatnonzero(~mask)
    sets = np.zeros((DRAWS, len(mask)), dtype=bool)
    for row in sets:
        row[random.permutation(others)[: mask.sum()]] = True
    return torch.from_numpy(sets).to(keys.device)


def frequency_parts(table: Float[Tensor, "sum class"]) -> Float[Tensor, "frequency sum class"]:
    """Return P_k of logits whose mean over each s is ``table``, by a small DFT along the sums and its inverse."""
    p = table.shape[0]
    cos, sin = waves(p, table.device)
    scale = squared_norms(p, table.device).reciprocal()[:, None]
    cosine, sine = scale * (cos @ table), scale * (sin @ table)
    return cos[:, :, None] * cosine[:, None] + sin[:, :, None] * sine[:, None]


def losses_by_sum(
    logits: Float[Tensor, "set sum class"], loss: Callable[[Tensor, Tensor], Tensor]
) -> Float[Tensor, "set sum"]:
    """Return the losses of logits that depend on s alone."""
    labels = torch.arange(logits.shape[-1], device=logits.device)
    return loss(logits, labels.expand(logits.shape[:-1]))


def train_rows(products: Products, is_train: Bool[Tensor, "example"]) -> tuple[Tensor, Tensor]:
    """Return the training examples by s, [sum, row], padded to equal length, and their weights in the mean."""
    trained = products.of(is_train)
    first = trained.long().argsort(dim=1, descending=True, stable=True)[:, : int(trained.sum(1).max())]
    weight = trained.gather(1, first).double()
    return products.example.gather(1, first), weight / weight.sum()


def excluded_losses(
    logits: Float[Tensor, "example class"],
    products: Products,
    is_train: Bool[Tensor, "example"],
    table: Float[Tensor, "sum class"],
    removed: Float[Tensor, "part sum class"],
) -> Float[Tensor, "part"]:
    """Return the mean cross-entropy of logits - part on the training examples, for many parts in one product.

    Let l = t + d, with t the mean of the logits over each s, and let m and n be the largest wrong entries of d and
    of t - r. The wrong classes have Σ_c exp(l_c - r_c) = e^{m + n} Σ_c exp(d_c - m) exp(t_c - r_c - n), a matrix
    product over c for every s. The loss is softplus(log of this sum - (l - r)_correct). The largest term of the sum
    is at least exp(-range) for the smaller of the two ranges, so no relevant term underflows while d or t - r spans
    less than 700 nats; otherwise, and without training examples, the loss is NaN.
    """
    p = logits.shape[1]
    if not is_train.any():
        return logits.new_full((len(removed),), torch.nan)
    example, weight = train_rows(products, is_train)
    correct = torch.eye(p, dtype=torch.bool, device=logits.device)
    some = max(1, CELLS // (example.shape[1] * max(p, len(removed))))
    total = torch.zeros_like(removed[:, 0, 0])
    for s in torch.arange(p, device=logits.device).split(some):
        deviation = logits.index_select(0, example[s].flatten()).unflatten(0, (len(s), -1)) - table[s, None]
        total = total + excluded_sums(deviation, table[s] - removed[:, s], correct[s], weight[s])
    return total


def excluded_sums(
    deviation: Float[Tensor, "sum row class"],
    rest: Float[Tensor, "part sum class"],
    correct: Bool[Tensor, "sum class"],
    weight: Float[Tensor, "sum row"],
) -> Float[Tensor, "part"]:
    """Return the contribution of some sums to the mean loss of logits deviation + rest; see ``excluded_losses``."""
    own = of_class(deviation, correct[:, None])[..., None] + of_class(rest, correct).mT[:, None]
    exact = (spread(deviation) < LARGEST_RANGE) | (spread(rest[:, :, None]) < LARGEST_RANGE)
    deviation, m = shifted_exp(deviation, correct[:, None])
    rest, n = shifted_exp(rest, correct)
    wrong = torch.einsum("src,qsc->srq", deviation, rest).log() + m[..., None] + n.mT[:, None]
    losses = torch.einsum("srq,sr->q", softplus(wrong - own, threshold=40), weight)
    return torch.where(exact, losses, torch.nan)


def of_class(x: Float[Tensor, "*batch class"], chosen: Bool[Tensor, "*_ class"]) -> Float[Tensor, "*batch"]:
    """Return the entry of the single chosen class."""
    return torch.where(chosen, x, 0).sum(-1)


def excluded_squares(
    logits: Float[Tensor, "example class"],
    products: Products,
    is_train: Bool[Tensor, "example"],
    _: Float[Tensor, "sum class"],
    removed: Float[Tensor, "part sum class"],
) -> Float[Tensor, "part"]:
    """Return the mean squared error of logits - part on the training examples, for many parts at once.

    With e = l - onehot and r the part, which depends on s alone, Σ_c (e - r)² = Σ e² - 2 Σ e r + Σ r², summed over
    the training examples of each s.
    """
    p = logits.shape[1]
    trained = products.of(is_train)
    weight = trained.double() / trained.sum()
    error = logits[products.example] - torch.eye(p, dtype=logits.dtype, device=logits.device)[:, None]
    square = (error.square().sum(-1) * weight).sum()
    cross = torch.einsum("sac,sa,qsc->q", error, weight, removed)
    return (square - 2 * cross + torch.einsum("qsc,s->q", removed.square(), weight.sum(1))) / p


def spread(x: Float[Tensor, "*part sum row class"]) -> Float[Tensor, "*part"]:
    """Return the largest range of a row over its classes."""
    return (x.amax(-1) - x.amin(-1)).amax((-2, -1))


def shifted_exp(x: Float[Tensor, "*batch class"], left_out: Bool[Tensor, "*_ class"]) -> tuple[Tensor, Tensor]:
    """Return exp(x - m), zero at the excluded classes, and m, the maximum over the other classes."""
    x = x.masked_fill(left_out, -torch.inf)
    m = x.amax(-1)
    return (x - m[..., None]).exp(), m
