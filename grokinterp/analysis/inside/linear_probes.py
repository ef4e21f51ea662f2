"""Linear probes for the class, and for the waves of the answer at the key frequencies.

Probes have a closed form: linear discriminant analysis for the class and linear regression for waves, both with ridge
regularization. They are fitted on a random half of all examples, the same for every checkpoint, and evaluated on the
other half. Mirror images (a, b) and (b, a) of a commutative operation are in the same half: even a random network
embeds them similarly, so a probe could infer one from the other. The control is the same probe fitted on shuffled
labels or targets.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.analysis.inside.similarity import class_means
from grokinterp.analysis.structure.cyclic_answers import CyclicAnswers, cyclic_answers
from grokinterp.analysis.structure.fourier import key_rows
from grokinterp.errors import NotDefined
from grokinterp.maths.fourier import waves
from grokinterp.runs.checkpoint import Checkpoint

RIDGE = 1e-3
"""Ridge added to every variance of the representation, as a share of the mean variance."""

ROUNDING = 1e-10
"""Vectors whose deviation is below this share of their length count as constant."""

AXES = {"axis": ("cos", "sin")}


class LinearProbes(NamedTuple):
    """Accuracy of a linear probe for the class on the representation at each hook.

    class_probe_accuracy: share of held-out examples that a linear probe classifies correctly [1]
    class_probe_unseen_accuracy: accuracy where the network was trained on neither the example nor its mirror image [1]
    class_probe_control: share of held-out examples that a probe fitted on shuffled labels classifies correctly [1]
    class_probe_chance: share of held-out examples in the most frequent class of the fitted examples [1]
    """

    class_probe_accuracy: Float[Tensor, "hook"]
    class_probe_unseen_accuracy: Float[Tensor, "hook"]
    class_probe_control: Float[Tensor, "hook"]
    class_probe_chance: Float[Tensor, ""]


class FrequencyProbes(NamedTuple):
    """Fit of linear probes for the waves of the answer on the representation at each hook.

    frequency_probe_r2: share of the held-out wave's variance explained by a linear probe at the hook [1]
    frequency_probe_control: share of the wave's variance explained by a probe fitted on shuffled targets [1]
    """

    frequency_probe_r2: Float[Tensor, "hook key axis"]
    frequency_probe_control: Float[Tensor, "hook key axis"]


class Halves(NamedTuple):
    """The examples that a probe is fitted on, the same examples in shuffled order, and the held-out examples."""

    fit: Int[Tensor, "fit"]
    shuffled: Int[Tensor, "fit"]
    held_out: Int[Tensor, "held_out"]


def linear_probes(checkpoint: Checkpoint, *, hooks: Sequence[str] | None = None) -> LinearProbes:
    """Return the accuracy of a linear probe for the class on the vectors where the answer is read, at every hook.

    The probe is a linear discriminant analysis, fitted on one half of the examples and evaluated on the other; mirror
    images are in the same half. An accuracy of 1 means that the class is linearly readable at this hook; compare it
    with chance and control. A memorizing network represents the class only of its training examples:
    class_probe_accuracy rises, but class_probe_unseen_accuracy does not (it is NaN without unseen examples, or if the
    training examples are unknown). If every operand is equally frequent in every class, as in a group, a network that
    does not represent the class is *below* chance, because the operands of a held-out example are less frequent among
    the fitted examples of its class.

    Linear regression on one-hot classes is not a substitute: in the residual stream of the network of Nanda et al.,
    from which the unembedding reads the class without error, its accuracy is below two thirds.

    Args:
        checkpoint: a checkpoint of any task and model.
        hooks: names of hooks (default: ``model.feature_hooks``).

    Source: Alain and Bengio 2016 (linear probes); Hewitt and Liang 2019 (controls); Friedman 1989 (regularized
        discriminant analysis).

    Raises:
        KeyError: no hook of that name, or one that has no vector at a position.
    """
    problem, classes = checkpoint.problem, checkpoint.problem.task.n_classes
    mirror = problem.task.mirror().to(problem.label.device)
    halves, seen = draw_halves(mirror), torch.isin(mirror, mirror[problem.is_train])
    answers, unseen = problem.label[halves.held_out], ~seen[halves.held_out] & seen.any()
    labelings = torch.stack([problem.label[halves.fit], problem.label[halves.shuffled]])
    features = checkpoint.features(*(hooks or checkpoint.model.feature_hooks))
    found = torch.stack([classified(*fit_and_held_out(x, halves), labelings, classes) for x in features])
    right, by_control = (found == answers).double().unbind(1)
    most_frequent = labelings[0].bincount(minlength=classes).argmax()
    return LinearProbes(
        class_probe_accuracy=right.mean(1),
        class_probe_unseen_accuracy=right[:, unseen].mean(1),
        class_probe_control=by_control.mean(1),
        class_probe_chance=(answers == most_frequent).double().mean(),
    )


def frequency_probes(
    checkpoint: Checkpoint, *, key_frequencies: Int[Tensor, "key"], hooks: Sequence[str] | None = None
) -> FrequencyProbes:
    """Return R² of linear probes for cos(w_k s) and sin(w_k s) of the answer's exponent s, at every hook.

    R² = 1 - Σ(y - ŷ)² / Σ(y - ȳ)² over held-out examples: 1 if the wave is linearly readable, 0 for the mean ȳ, and
    negative for a worse prediction, as is possible for a control. In a clock, attention multiplies waves of the
    operands, so the waves of the answer are present before the MLP; in a pizza, attention adds them, and they are not.
    Frequency p/2 has no sine: NaN. Examples outside the group (those with a 0, under multiplication) are excluded.

    Args:
        checkpoint: a checkpoint of a run whose task has a cyclic group.
        key_frequencies: frequencies from 1 to ⌊p/2⌋.
        hooks: names of hooks (default: ``model.feature_hooks``).

    Source: Nanda et al. 2023, §4.2 (the neurons hold cos and sin of w_k(a + b)); Zhong et al. 2023, §3 (clock, pizza);
        Alain and Bengio 2016.

    Raises:
        NotDefined: the task has no cyclic group of three or more elements, or no frequency is key.
        GrokinterpError: a frequency is outside 1..⌊p/2⌋.
        KeyError: no hook of that name, or one that has no vector at a position.
    """
    answers = cyclic_answers(checkpoint, "frequency_probes")
    if not len(key_frequencies):
        raise NotDefined("frequency_probes", "no frequency is key")
    inside = (answers.exponent < answers.n).nonzero().flatten()
    targets = answer_waves(answers, key_rows(key_frequencies, answers.n, inside.device))
    mirror = checkpoint.problem.task.mirror().to(targets.device)[inside]
    halves = Halves(*(inside[half] for half in draw_halves(mirror)))
    both = torch.cat([targets[halves.fit], targets[halves.shuffled]], 1)
    correct = targets[halves.held_out].repeat(1, 2)
    features = checkpoint.features(*(hooks or checkpoint.model.feature_hooks))
    predicted = [regressed(*fit_and_held_out(x, halves), both) for x in features]
    r2 = torch.stack([share_explained(each, correct) for each in predicted])
    return FrequencyProbes(*r2.unflatten(1, (2, -1, 2)).unbind(1))


def answer_waves(answers: CyclicAnswers, rows: Int[Tensor, "key"]) -> Float[Tensor, "example target"]:
    """Return cos w_k s and sin w_k s of every example and, in turn, every key frequency; 1 and 0 outside the group."""
    s = answers.exponent % answers.n
    return torch.stack([wave[rows] for wave in waves(answers.n, rows.device)], 1).flatten(0, 1).mT[s]


def draw_halves(mirror: Int[Tensor, "example"]) -> Halves:
    """Split the examples into two random halves, always the same; examples with equal ``mirror`` stay together."""
    random = torch.Generator().manual_seed(0)
    distinct, image = mirror.unique(return_inverse=True)
    place = torch.randperm(len(distinct), generator=random).to(mirror.device)[image]
    is_fit = 2 * place < len(distinct)
    fit = is_fit.nonzero().flatten()
    order = torch.randperm(len(fit), generator=random).to(mirror.device)
    return Halves(fit, fit[order], (~is_fit).nonzero().flatten())


def fit_and_held_out(
    x: Float[Tensor, "example feature"], halves: Halves
) -> tuple[Float[Tensor, "fit direction"], Float[Tensor, "held_out direction"]]:
    """Center both halves at the mean of the first; with more features than examples, project onto their span."""
    fit, held_out = x[halves.fit], x[halves.held_out]
    center = fit.mean(0)
    varies = (fit - center).square().sum() > ROUNDING**2 * fit.square().sum()
    fit, held_out = (torch.where(varies, part - center, 0) for part in (fit, held_out))
    if fit.shape[0] >= fit.shape[1]:
        return fit, held_out
    basis = torch.linalg.qr(fit.mT).Q
    return fit @ basis, held_out @ basis


def covariance(x: Float[Tensor, "fit feature"]) -> Float[Tensor, "feature feature"]:
    """Return the covariance of centered vectors plus a ridge: ``RIDGE`` times the mean variance, or 1 if it is 0.

    >>> covariance(torch.tensor([[-2.0], [2.0]])), covariance(torch.zeros(2, 1))
    (tensor([[4.0040]]), tensor([[1.]]))
    """
    total = x.mT @ x / len(x)
    ridge = RIDGE * total.trace() / len(total)
    return total + torch.where(ridge > 0, ridge, 1) * torch.eye(len(total), dtype=x.dtype, device=x.device)


def classified(
    x: Float[Tensor, "fit feature"],
    at: Float[Tensor, "held_out feature"],
    labelings: Int[Tensor, "labeling fit"],
    classes: int,
) -> Int[Tensor, "labeling held_out"]:
    """Return the most likely class of held-out vectors, for every labeling of the same centered vectors.

    With the share π_c and the mean μ_c of each class, and Σ the within-class covariance including the ridge, this is
    the class with the largest log π_c - ½ (x - μ_c)ᵀ Σ⁻¹ (x - μ_c) or, up to a term common to all classes,
    log π_c - ½ μ_cᵀ Σ⁻¹ μ_c + xᵀ Σ⁻¹ μ_c.
    """
    total, found = covariance(x), []
    for labels in labelings:
        share = labels.bincount(minlength=classes).to(x.dtype) / len(labels)
        means = class_means(x, labels, classes).nan_to_num()
        directions = torch.linalg.solve(total - means.mT @ (share[:, None] * means), means.mT)
        offset = share.log() - (means.mT * directions).sum(0) / 2
        found.append((at @ directions + offset).argmax(-1))
    return torch.stack(found)


def regressed(
    x: Float[Tensor, "fit feature"], at: Float[Tensor, "held_out feature"], y: Float[Tensor, "fit target"]
) -> Float[Tensor, "held_out target"]:
    """Return the linear prediction ȳ + at W of held-out targets, with W = Σ⁻¹ xᵀ(y - ȳ) / n and the ridge in Σ.

    >>> x, y = torch.tensor([[-1.0], [1.0]]), torch.tensor([[1.0], [3.0]])
    >>> regressed(x, torch.tensor([[0.0], [4.0]]), y).round(decimals=1).tolist()
    [[2.0], [6.0]]
    """
    mean = y.mean(0)
    return mean + at @ torch.linalg.solve(covariance(x), x.mT @ (y - mean) / len(y))


def share_explained(
    predicted: Float[Tensor, "example target"], y: Float[Tensor, "example target"]
) -> Float[Tensor, "target"]:
    """Return R² of every target; NaN for a constant target.

    >>> share_explained(torch.tensor([[1.0, 5.0], [2.0, 5.0]]), torch.tensor([[0.0, 5.0], [2.0, 5.0]]))
    tensor([0.5000,    nan])
    """
    total = (y - y.mean(0)).square().sum(0)
    return torch.where(total > 0, 1 - (y - predicted).square().sum(0) / total, torch.nan)
