"""StableMax: a softmax that does not underflow."""

from jaxtyping import Float

from grokinterp.lazy import Tensor, torch


def stable_scale(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return s(x) = x + 1 for x ≥ 0 and 1 / (1 - x) for x < 0: positive, monotone, and linear instead of exponential.

    s(-∞) = 0. Each branch is evaluated only on its half line, so that no gradient is NaN (unlike the published form at
    x = 1).

    Source: Prieto et al. 2025, §4.1.

    >>> stable_scale(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([0.5000, 1.0000, 2.0000])
    """
    return torch.where(x >= 0, x.clamp(min=0) + 1, 1 / (1 - x.clamp(max=0)))


def stablemax(x: Float[Tensor, "*shape"], dim: int = -1) -> Float[Tensor, "*shape"]:
    """Return s(x) / Σ s(x) along a dimension, in place of exp(x) / Σ exp(x).

    Source: Prieto et al. 2025, §4.1.

    >>> stablemax(torch.tensor([-1.0, 0.0, 0.5]))
    tensor([0.1667, 0.3333, 0.5000])
    """
    scale = stable_scale(x)
    return scale / scale.sum(dim, keepdim=True)


def log_stable_scale(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return the logarithm of s: sign(x) log(1 + |x|), with derivative 1 / (1 + |x|).

    >>> log_stable_scale(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.6931,  0.0000,  0.6931])
    """
    return torch.where(x >= 0, x.clamp(min=0).log1p(), -(-x.clamp(max=0)).log1p())


def log_stablemax(x: Float[Tensor, "*shape"], dim: int = -1) -> Float[Tensor, "*shape"]:
    """Return the logarithm of ``stablemax``: log s(x) - log Σ s(x).

    >>> log_stablemax(torch.tensor([-1.0, 0.0, 0.5])).exp()
    tensor([0.1667, 0.3333, 0.5000])
    """
    return log_stable_scale(x) - stable_scale(x).sum(dim, keepdim=True).log()
