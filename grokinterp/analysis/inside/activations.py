"""Statistics of the activations at any hook: size, sparsity, dead features, how many directions they use."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.maths.sparsity import effective_rank
from grokinterp.maths.spectra import singular
from grokinterp.runs.checkpoint import Checkpoint

SILENT = 1e-6
"""An activation is none, and a feature's range none, up to this share of the root mean square of all activations."""

ROUNDING = 1e-10
"""Activations whose standard deviation is below this share of their root mean square do not vary."""


class ActivationStatistics(NamedTuple):
    """What the activations at each hook are like, over all examples and features.

    activation_mean: mean activation at the hook [1]
    activation_std: standard deviation of the activations at the hook, over examples and features [1]
    activation_sparsity: share of the activations at the hook that are zero [1]
    dead_share: share of the hook's features that are the same on every example [1]
    activation_effective_rank: exponential of the entropy of the centered activations' normalized singular values [1]
    spectral_entropy: entropy of the normalized eigenvalues of the features' covariance, 1 if all are equal [1]
    """

    activation_mean: Float[Tensor, "hook"]
    activation_std: Float[Tensor, "hook"]
    activation_sparsity: Float[Tensor, "hook"]
    dead_share: Float[Tensor, "hook"]
    activation_effective_rank: Float[Tensor, "hook"]
    spectral_entropy: Float[Tensor, "hook"]


def activation_statistics(checkpoint: Checkpoint, *, hooks: Sequence[str] | None = None) -> ActivationStatistics:
    """Return mean, spread, sparsity, dead share, effective rank and spectral entropy of the activations at every hook.

    Of the activations x [example, feature], with rms² the mean of x²: an entry is zero when |x| ≤ 1e-6 rms; a feature
    is dead when its largest and smallest value differ by no more: a ReLU that never fires, or anything else that does
    not depend on the question. With σ the singular values of x less its mean over examples, the effective rank is
    exp(-Σ q log q), q = σ / Σσ, as that of the weights; the spectral entropy is -Σ λ log λ / log r of the covariance's
    eigenvalues λ = σ² / Σσ², with r = min(features, examples - 1), the largest rank there can be. Both are NaN where
    nothing varies, the entropy also for a single feature.

    Args:
        checkpoint: of any task and model.
        hooks: where to look (default: ``model.feature_hooks``).

    Source: Roy and Vetterli 2007 (effective rank); docs/formulas.md, Geometry.

    Raises:
        KeyError: no hook of that name, or one that has no vector at a position.
    """
    found = checkpoint.features(*(hooks or checkpoint.model.feature_hooks))
    return ActivationStatistics(*torch.stack([statistics_of(x) for x in found], 1).unbind(0))


def statistics_of(x: Float[Tensor, "example feature"]) -> Float[Tensor, "6"]:
    """The statistics of one hook, in the order of the fields.

    >>> x = torch.tensor([[0.0, 7.0, 1.0], [0.0, 7.0, -1.0]])
    >>> [round(value, 3) for value in statistics_of(x).tolist()]
    [2.333, 3.35, 0.333, 0.667, 1.0, nan]
    """
    silent = SILENT * x.square().mean().sqrt()
    sparsity = (x.abs() <= silent).to(x.dtype).mean()
    dead = (x.amax(0) - x.amin(0) <= silent).to(x.dtype).mean()
    return torch.stack([x.mean(), x.std(correction=0), sparsity, dead, *spread_over_directions(x)])


def spread_over_directions(x: Float[Tensor, "example feature"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Effective rank and spectral entropy of centered activations.

    >>> [round(value.item(), 3) for value in spread_over_directions(torch.eye(3).double())]
    [2.0, 1.0]
    """
    centered = x - x.mean(0)
    sigma = singular(centered)
    total = sigma.square().sum()
    most = math.log(max(1, min(x.shape[1], x.shape[0] - 1)))
    varies = total > ROUNDING**2 * x.square().sum()
    entropy = torch.special.entr(sigma.square() / total).sum() / most
    return torch.where(varies, effective_rank(sigma), torch.nan), torch.where(varies, entropy, torch.nan)
