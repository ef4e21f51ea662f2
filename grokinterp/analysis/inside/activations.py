"""Statistics of the activations at any hook: magnitude, sparsity, dead features, and effective rank."""

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
"""Activations, and ranges of a feature, up to this share of the root mean square of all activations count as zero."""

ROUNDING = 1e-10
"""Activations whose standard deviation is below this share of their root mean square count as constant."""


class ActivationStatistics(NamedTuple):
    """Statistics of the activations at each hook, over all examples and features.

    activation_mean: mean activation at the hook [1]
    activation_std: standard deviation of the activations at the hook, over examples and features [1]
    activation_sparsity: share of the activations at the hook that are zero [1]
    dead_share: share of the hook's features that are constant over the examples [1]
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

    Let x [example, feature] be the activations and rms² the mean of x². An entry counts as zero if |x| ≤ 1e-6 rms. A
    feature is dead if its largest and smallest values differ by at most this, such as a ReLU that never fires or any
    other feature that does not depend on the input. With σ the singular values of x minus its mean over the examples,
    the effective rank is exp(-Σ q log q), q = σ / Σσ, as for the weights: 1 if all activations lie on a line, r if they
    are spread equally over all directions. The spectral entropy is -Σ λ log λ / log r for the normalized eigenvalues
    λ = σ² / Σσ² of the covariance, with r = min(features, examples - 1) its largest possible rank. Both are NaN for
    constant activations, and the entropy also for a single feature.

    Args:
        checkpoint: a checkpoint of any task and model.
        hooks: names of hooks (default: ``model.feature_hooks``).

    Source: Roy and Vetterli 2007 (effective rank); docs/formulas.md, Geometry.

    Raises:
        KeyError: a hook does not exist, or has no vector per position.
    """
    found = checkpoint.features(*(hooks or checkpoint.model.feature_hooks))
    return ActivationStatistics(*torch.stack([statistics_of(x) for x in found], 1).unbind(0))


def statistics_of(x: Float[Tensor, "example feature"]) -> Float[Tensor, "6"]:
    """Return the statistics of one hook, in the order of the fields.

    >>> x = torch.tensor([[0.0, 7.0, 1.0], [0.0, 7.0, -1.0]])
    >>> [round(value, 3) for value in statistics_of(x).tolist()]
    [2.333, 3.35, 0.333, 0.667, 1.0, nan]
    """
    silent = SILENT * x.square().mean().sqrt()
    sparsity = (x.abs() <= silent).to(x.dtype).mean()
    dead = (x.amax(0) - x.amin(0) <= silent).to(x.dtype).mean()
    return torch.stack([x.mean(), x.std(correction=0), sparsity, dead, *spread_over_directions(x)])


def spread_over_directions(x: Float[Tensor, "example feature"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the effective rank and the spectral entropy of the centered activations.

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
