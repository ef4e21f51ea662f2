"""Localized Langevin dynamics around a point, and estimates of the local learning coefficient from its chains."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

COLDEST, HOTTEST = 0.8, 1.25
"""Range of ``equilibrium`` for chains that count as converged."""

MOST_LEEWAY = 0.2
"""Largest widening of that range by the uncertainty of ``equilibrium``; chains with more scatter are inconclusive."""

LARGEST_STEP_ERROR = 0.2
"""Largest share of the coefficient due to the finite step size in chains that count as converged."""

LARGEST_RHAT = 1.1
"""Source: Gelman et al. 2013, §11.4."""

PILOT, PILOTS = 300, 8
"""Number of steps of a pilot that tests a step size, and largest number of pilots."""

TARGET = 0.05
"""Share of the rise due to the finite step size at which a step size is accepted."""

MOST_LOWERED = 0.1
"""Largest factor by which a pilot lowers the step size, since diverging chains show only that it was too large."""

Loss = Callable[[Float[Tensor, "chain weight"]], Float[Tensor, "chain"]]
"""The loss of every chain at its weights; each call may draw a batch of examples."""


class Sampling(NamedTuple):
    """Parameters of the sampling.

    Args:
        inverse_temperature: nβ.
        localization: γ.
        step_size: ε.
        chains: number of independent chains; chain c draws its noise from a generator with seed c.
        burn_in: number of discarded steps per chain.
        draws: number of steps per chain that count.
    """

    inverse_temperature: float
    localization: float
    step_size: float
    chains: int
    burn_in: int
    draws: int


class Chains(NamedTuple):
    """Observations of each chain at each step, including burn-in, before it moves.

    With g = nβ∇L(w) + γ(w - w₀): the rise nβ(L(w) - L(w₀)) of the loss, the squared distance ‖w - w₀‖², the virial (w -
    w₀)·g, and (ε/8) nβ∇L(w)·g, the part of the rise due to the finite step size.
    """

    rise: Float[Tensor, "chain step"]
    distance: Float[Tensor, "chain step"]
    virial: Float[Tensor, "chain step"]
    step_error: Float[Tensor, "chain step"]

    def after(self, burn_in: int) -> "Chains":
        """Return the chains without burn-in."""
        return Chains(*(series[:, burn_in:] for series in self))


class Estimate(NamedTuple):
    """A local learning coefficient with its diagnostics; ``learning_coefficient`` defines the fields."""

    value: Float[Tensor, ""]
    of_chain: Float[Tensor, "chain"]
    spread: Float[Tensor, ""]
    rhat: Float[Tensor, ""]
    equilibrium: Float[Tensor, ""]
    step_error: Float[Tensor, ""]
    held: Float[Tensor, ""]
    diverged: Bool[Tensor, ""]
    converged: Bool[Tensor, ""]


def sgld(loss: Loss, start: Float[Tensor, "weight"], sampling: Sampling) -> Chains:
    """Run chains w ← w - ε/2 (nβ∇L(w) + γ(w - w₀)) + N(0, ε) from w₀.

    For small ε the distribution of a chain converges to exp(-nβ L(w) - γ/2 ‖w - w₀‖²).

    Source: Welling and Teh 2011; Lau et al. 2023, §4 (localization).
    """
    heat, gamma, step = sampling.inverse_temperature, sampling.localization, sampling.step_size
    draws = [torch.Generator().manual_seed(chain) for chain in range(sampling.chains)]
    away = start.new_zeros(sampling.chains, len(start))
    with torch.no_grad():
        at_start = loss(start + away)
    seen = []
    for _ in range(sampling.burn_in + sampling.draws):
        weights = (start + away).requires_grad_()
        losses = loss(weights)
        slope = heat * torch.autograd.grad(losses.sum(), weights)[0]
        drift = slope + gamma * away
        rise = heat * (losses.detach() - at_start)
        seen.append((rise, away.square().sum(1), (away * drift).sum(1), step / 8 * (slope * drift).sum(1)))
        noise = torch.stack([torch.randn(start.shape, dtype=start.dtype, generator=draw) for draw in draws])
        away = away - step / 2 * drift + math.sqrt(step) * noise.to(start.device)
    return Chains(*(torch.stack(series, 1).double() for series in zip(*seen, strict=True)))


def tuned_step(loss: Loss, start: Float[Tensor, "weight"], sampling: Sampling) -> float:
    """Lower the step size until its finite size causes at most a twentieth of the rise, according to pilot chains.

    The share is proportional to ε: it is εa/4 for a quadratic loss of curvature a = nβh + γ. A constant loss does not
    lower ε.

    Source: docs/formulas.md, Learning coefficient.
    """
    for _ in range(PILOTS):
        seen = sgld(loss, start, sampling._replace(burn_in=0, draws=PILOT)).after(PILOT // 2)
        share = float(seen.step_error.sum() / seen.rise.abs().sum())
        if share <= TARGET or float(seen.rise.abs().max()) == 0:
            break
        lowered = max(TARGET / share, MOST_LOWERED) if math.isfinite(share) else MOST_LOWERED
        sampling = sampling._replace(step_size=sampling.step_size * lowered)
    return sampling.step_size


def learning_coefficient(chains: Chains, sampling: Sampling, size: int) -> Estimate:
    """Estimate λ̂ = nβ (E[L(w)] - L(w₀)) from chains over ``size`` weights, with convergence diagnostics.

    * spread: standard deviation over chains; NaN for a single chain.
    * rhat: split-R̂ of the rises.
    * equilibrium: E[(w - w₀)·(nβ∇L + γ(w - w₀))] / size. It is exactly 1 in the sampled distribution, for any loss (by
      partial integration); it starts at 0, and exceeds 1 if steps are too large.
    * step_error: the part of λ̂ due to the finite size of steps and batches; exact for a quadratic loss with curvatures
      h ≫ γ/nβ.
    * held: γ E‖w - w₀‖² / 2; for a quadratic loss the amount missing from λ̂ because γ is not 0.
    * diverged: a number is not finite; more than half of the rise, or of the temperature, is due to the finite step
      size; or equilibrium is below -1, so that the chains escape from w₀ down the loss.
    * converged: not diverged, R̂ ≤ 1.1, step error at most a fifth of λ̂, and equilibrium from 0.8 to 1.25, within two
      standard errors but at most 0.2.
    """
    rise, distance, virial, error = chains.after(sampling.burn_in)
    of_chain, step_error, rhat = rise.mean(1), error.mean(), split_rhat(rise)
    share = step_error / of_chain.abs().mean().clamp(min=torch.finfo(rise.dtype).tiny)
    equilibrium, doubt = mean_and_error(virial / size)
    finite = rise.isfinite().all() & virial.isfinite().all()
    diverged = ~finite | (share > 1 / 2) | (equilibrium - 2 * doubt > 2) | (equilibrium < -1)
    leeway = (2 * doubt).clamp(max=MOST_LEEWAY)
    in_range = (equilibrium + leeway >= COLDEST) & (equilibrium - leeway <= HOTTEST)
    converged = ~diverged & in_range & (share <= LARGEST_STEP_ERROR) & ~(rhat > LARGEST_RHAT)
    value = of_chain.mean()
    spread = of_chain.std() if len(of_chain) > 1 else torch.full_like(value, torch.nan)
    held = sampling.localization / 2 * distance.mean()
    return Estimate(value, of_chain, spread, rhat, equilibrium, step_error, held, diverged, converged)


def halves(series: Float[Tensor, "chain draw"]) -> Float[Tensor, "half half_draw"]:
    """Return the first and second half of every chain; the middle draw of an odd number is omitted."""
    n = max(1, series.shape[1] // 2)
    return torch.cat([series[:, :n], series[:, series.shape[1] - n :]])


def mean_and_error(series: Float[Tensor, "chain draw"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the mean of all chains, and its standard error from the spread of the means of half-chains."""
    means = halves(series).mean(1)
    return series.mean(), means.std() / math.sqrt(len(means))


def split_rhat(series: Float[Tensor, "chain draw"]) -> Float[Tensor, ""]:
    """Return split-R̂ = √(((n - 1)/n W + B/n) / W) over half-chains of n draws.

    W is the mean variance within half-chains, B/n the variance of their means. It is near 1 if they agree, and NaN for
    fewer than four draws or without any variance.

    Source: Gelman et al. 2013, §11.4.

    >>> split_rhat(torch.tensor([[0.0, 1.0, 4.0, 5.0]]))  # W = 1/2, B/n = 8, n = 2
    tensor(4.0620)
    """
    parts = halves(series)
    n = parts.shape[1]
    if n < 2:
        return series.new_full((), torch.nan)
    within, between = parts.var(1).mean(), parts.mean(1).var()
    return (((n - 1) / n * within + between) / within).sqrt()


def trace(series: Float[Tensor, "chain step"], points: int) -> Float[Tensor, "chain point"]:
    """Return the means of every chain over equal stretches of its steps; short chains repeat values.

    >>> trace(torch.tensor([[0.0, 2.0, 4.0, 6.0]]), 2)
    tensor([[1., 5.]])
    """
    return torch.nn.functional.adaptive_avg_pool1d(series, points)
