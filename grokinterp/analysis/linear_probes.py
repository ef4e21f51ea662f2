"""What can be read off a representation by a linear map: the class, and the waves of the answer at key frequencies.

A probe is a ridge regression with intercept, in closed form. It is fitted on one random half of all examples, which is
the same for every checkpoint, and scored on the other. Its control is the same probe fitted on shuffled targets.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from grokinterp.analysis.algebra import CyclicGrid, cyclic_grid
from grokinterp.analysis.fourier import key_rows
from grokinterp.checkpoint import Checkpoint
from grokinterp.errors import NotDefined
from grokinterp.maths.fourier import waves

RIDGE = 1e-3
"""The penalty on a probe's weights, as a share of the mean variance of the principal components."""


class LinearProbes(NamedTuple):
    """How well a linear map reads the class off the representation at each hook.

    class_probe_accuracy: share of held-out examples whose class a linear probe finds [1]
    class_probe_test_accuracy: the same share of those held-out examples that the network is tested on [1]
    class_probe_control: share of held-out examples whose class the probe finds when fitted on shuffled labels [1]
    class_probe_chance: share of held-out examples in the class most frequent where the probe is fitted [1]
    """

    class_probe_accuracy: Float[Tensor, "hook"]
    class_probe_test_accuracy: Float[Tensor, "hook"]
    class_probe_control: Float[Tensor, "hook"]
    class_probe_chance: Float[Tensor, ""]


class FrequencyProbes(NamedTuple):
    """How well a linear map reads the answer's waves off the representation at each hook.

    frequency_probe_r2: share of the held-out wave's variance that a linear probe at the hook explains [1]
    frequency_probe_control: the same share of a probe that is fitted on shuffled targets [1]
    """

    frequency_probe_r2: Float[Tensor, "hook key axis"]
    frequency_probe_control: Float[Tensor, "hook key axis"]


class Halves(NamedTuple):
    """The examples that a probe is fitted on, the same in another order, and those held out."""

    fit: Int[Tensor, "fit"]
    shuffled: Int[Tensor, "fit"]
    held_out: Int[Tensor, "held_out"]


def linear_probes(checkpoint: Checkpoint, *, hooks: Sequence[str] | None = None) -> LinearProbes:
    """Regress the class, one-hot, on the vectors where the answer is read; the largest prediction is the answer.

    Read it against chance and control. A network that memorizes holds the class of the examples it was trained on and
    of no others: class_probe_accuracy rises, class_probe_test_accuracy stays at chance (NaN where all are trained on).
    Classes that are apart need not be found: of those on a line, the regression does not see the ones in the middle.

    Args:
        checkpoint: of any task and model.
        hooks: where to look (default: ``model.feature_hooks``).

    Source: Alain and Bengio 2016 (linear probes); Hewitt and Liang 2019 (controls).

    Raises:
        KeyError: no hook of that name, or one that has no vector at a position.
    """
    labels, classes = checkpoint.problem.labels, checkpoint.problem.task.n_classes
    halves = draw_halves(len(labels), labels.device)
    answers, is_test = labels[halves.held_out], checkpoint.problem.is_test[halves.held_out]
    features = checkpoint.features(*(hooks or checkpoint.model.feature_hooks))
    predicted = [probe(x, one_hot(labels, classes).to(x.dtype), halves) for x in features]
    right, by_control = (
        torch.stack([each.argmax(-1) == answers for each in of]) for of in zip(*predicted, strict=True)
    )
    most_frequent = labels[halves.fit].bincount(minlength=classes).argmax()
    return LinearProbes(
        class_probe_accuracy=right.double().mean(1),
        class_probe_test_accuracy=right[:, is_test].double().mean(1),
        class_probe_control=by_control.double().mean(1),
        class_probe_chance=(answers == most_frequent).double().mean(),
    )


def frequency_probes(
    checkpoint: Checkpoint, *, key_frequencies: Int[Tensor, "key"], hooks: Sequence[str] | None = None
) -> FrequencyProbes:
    """Regress cos(w_k s) and sin(w_k s) of the answer's exponent s = i + j on the vectors where the answer is read.

    R² = 1 - Σ(y - ŷ)² / Σ(y - ȳ)² over held-out examples; below 0 the probe is worse than the mean ȳ, as a control may
    be. Frequency p/2 has no sine: NaN. Examples outside the group (those with a 0, under multiplication) are left out.

    Args:
        checkpoint: of a run whose task has a cyclic group.
        key_frequencies: frequencies from 1 to ⌊p/2⌋.
        hooks: where to look (default: ``model.feature_hooks``).

    Source: Nanda et al. 2023, §4.2 (the neurons hold cos and sin of w_k(a + b)); Alain and Bengio 2016.

    Raises:
        NotDefined: no cyclic group of three elements or more, or no key frequency.
        GrokinterpError: a frequency outside 1..⌊p/2⌋.
        KeyError: no hook of that name, or one that has no vector at a position.
    """
    grid = cyclic_grid(checkpoint, "frequency_probes")
    if not len(key_frequencies):
        raise NotDefined("frequency_probes", "no frequency is key")
    targets = answer_waves(grid, key_rows(key_frequencies, grid.n, grid.example.device))
    halves = draw_halves(len(targets), targets.device)
    found = [
        [share_explained(y, targets[halves.held_out]) for y in probe(grid.examples(x), targets, halves)]
        for x in checkpoint.features(*(hooks or checkpoint.model.feature_hooks))
    ]
    r2, control = (torch.stack(of).unflatten(1, (-1, 2)) for of in zip(*found, strict=True))
    return FrequencyProbes(r2, control)


def answer_waves(grid: CyclicGrid, rows: Int[Tensor, "key"]) -> Float[Tensor, "pair target"]:
    """For every pair of exponents cos w_k(i + j) and sin w_k(i + j), in turn."""
    exponent = torch.arange(grid.n, device=rows.device)
    total = (exponent[:, None] + exponent).flatten() % grid.n
    return torch.stack([wave[rows] for wave in waves(grid.n, rows.device)], 1).flatten(0, 1).mT[total]


def probe(
    x: Float[Tensor, "example feature"], targets: Float[Tensor, "example target"], halves: Halves
) -> tuple[Float[Tensor, "held_out target"], Float[Tensor, "held_out target"]]:
    """What a probe predicts for the examples held out, and what its control does."""
    both = torch.cat([targets[halves.fit], targets[halves.shuffled]], 1)
    predicted, control = ridge(x[halves.fit], both, x[halves.held_out]).chunk(2, 1)
    return predicted, control


def draw_halves(n: int, device: torch.device) -> Halves:
    """One random half of n examples and the other; the same every time."""
    random = torch.Generator().manual_seed(0)
    fit, held_out = torch.randperm(n, generator=random).tensor_split([(n + 1) // 2])
    shuffled = fit[torch.randperm(len(fit), generator=random)]
    return Halves(*(part.to(device) for part in (fit, shuffled, held_out)))


def ridge(
    x: Float[Tensor, "fit feature"], y: Float[Tensor, "fit target"], at: Float[Tensor, "held_out feature"]
) -> Float[Tensor, "held_out target"]:
    """Linear prediction of the targets elsewhere: ȳ + (at - x̄) W, W = (XᵀX + λ)⁻¹ XᵀY = Xᵀ(XXᵀ + λ)⁻¹ Y, centered.

    λ is ``RIDGE`` times the mean of the min(fit, feature) eigenvalues, so that scale and rotation change nothing.

    >>> x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [3.0]])
    >>> ridge(x, y, torch.tensor([[1.0], [5.0]])).round(decimals=1).tolist()
    [[2.0], [6.0]]
    """
    center, mean = x.mean(0), y.mean(0)
    x, y = x - center, y - mean
    is_tall = x.shape[0] > x.shape[1]
    gram = x.mT @ x if is_tall else x @ x.mT
    penalty = RIDGE * gram.trace() / len(gram)
    gram.diagonal().add_(torch.where(penalty > 0, penalty, 1))
    weights = torch.linalg.solve(gram, x.mT @ y) if is_tall else x.mT @ torch.linalg.solve(gram, y)
    return mean + (at - center) @ weights


def share_explained(
    predicted: Float[Tensor, "example target"], y: Float[Tensor, "example target"]
) -> Float[Tensor, "target"]:
    """R² of every target; NaN where it never changes.

    >>> share_explained(torch.tensor([[1.0, 5.0], [2.0, 5.0]]), torch.tensor([[0.0, 5.0], [2.0, 5.0]]))
    tensor([0.5000,    nan])
    """
    total = (y - y.mean(0)).square().sum(0)
    return torch.where(total > 0, 1 - (y - predicted).square().sum(0) / total, torch.nan)
