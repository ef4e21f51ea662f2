"""The local learning coefficient: how many directions of the weights the training loss really depends on."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from grokinterp.analysis.landscape import LossSurface, require_true_gradient
from grokinterp.checkpoint import Checkpoint
from grokinterp.errors import GrokinterpError

CHAINS, BURN_IN, DRAWS = 2, 30, 20
BATCH_SIZE = 128

STEP_SIZE, LOCALIZATION = 0.02, 5.0
"""ε nβ and γ / nβ: a chain forgets its start in 20 steps, and only what is curved by more than 5 counts."""

TOLERANCE = 2.0
"""Times the mean squared distance that localization alone allows, and times the half of the number of weights that no
coefficient can exceed: a chain beyond is unstable."""


class LocalLearningCoefficient(NamedTuple):
    """How degenerate the training loss is around the weights.

    llc: local learning coefficient, the mean over chains [1]
    llc_of_chain: local learning coefficient that one chain gives [1]
    llc_spread: standard deviation of the local learning coefficient over chains [1]
    llc_diverged: whether any chain left the surroundings of the weights [1]
    """

    llc: Float[Tensor, ""]
    llc_of_chain: Float[Tensor, "chain"]
    llc_spread: Float[Tensor, ""]
    llc_diverged: Bool[Tensor, ""]


class Chain(NamedTuple):
    """What a chain saw after burning in: the mean rise of the loss, and the mean squared distance from the start."""

    rise: Float[Tensor, ""]
    distance: Float[Tensor, ""]


RiseAndGradient = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor]]
"""At some weights, on a random batch: how far the loss is above that of the start on it, and its gradient."""


def local_learning_coefficient(
    checkpoint: Checkpoint,
    *,
    inverse_temperature: float | None = None,
    step_size: float | None = None,
    localization: float | None = None,
    chains: int = CHAINS,
    burn_in: int = BURN_IN,
    draws: int = DRAWS,
    batch_size: int = BATCH_SIZE,
) -> LocalLearningCoefficient:
    """λ̂ = nβ (E[L(w)] - L(w₀)), w drawn around the weights w₀ by stochastic gradient Langevin dynamics.

        w ← w - ε/2 (nβ ∇L_B(w) + γ (w - w₀)) + N(0, ε)

    on random batches B of the training examples; the loss L is the one trained with. L_B(w₀) of the same batch is
    subtracted from every L_B(w), which removes most of the batches' noise. Around a regular minimum λ̂ tends to half the
    number of weights as γ → 0; a degenerate one has less. With a Hessian of eigenvalues h it is about
    ½ Σ nβh / (nβh + γ): only what is curved by more than γ / nβ counts, and numbers can be compared only at equal
    ε, γ, nβ, draws and n. Steps of finite size overestimate each term by 1 / (1 - ε (nβh + γ) / 4): 15 % at h = 20
    with the defaults. Negative values say that the weights are at no minimum of the loss.

    The defaults are coarse so that a checkpoint takes a second: curvatures below 5 count as ½h/5, so that at a flat
    minimum, such as that of a grokked network, λ̂ is a tenth of the Hessian's trace and far below the coefficient. For
    that take a smaller localization and step size and more draws, until it does not change any more.

    Diverged: a loss that is not finite, a chain's λ̂ or mean ‖w - w₀‖² above twice its bound for d weights, d/2 and the
    d/γ that localization alone allows. Then the number means nothing; smaller steps may help. One chain has no
    spread (NaN). Every checkpoint sees the same batches and noise.

    Args:
        checkpoint: w₀.
        inverse_temperature: nβ, by default n / log n for n training examples.
        step_size: ε, by default 0.02 / nβ.
        localization: γ, by default 5 nβ.
        chains: independent ones.
        burn_in: steps of each chain that are not counted.
        draws: steps of each chain that are.
        batch_size: training examples of a step, all of them where there are no more.

    Source: Lau et al. 2023, §4 and appendix (estimator, localized SGLD); FORMULAS, geometry.

    Raises:
        NotDefined: the training examples are unknown; a recursive model whose gradient stops on its way.
        GrokinterpError: an argument that must be positive and is not.
    """
    require_true_gradient(checkpoint, "local_learning_coefficient")
    surface = LossSurface(checkpoint, "local_learning_coefficient")
    n, heat = surface.n_train, inverse_temperature
    heat = n / max(math.log(n), 1.0) if heat is None else heat
    step_size = STEP_SIZE / heat if step_size is None else step_size
    localization = LOCALIZATION * heat if localization is None else localization
    require_positive(inverse_temperature=heat, step_size=step_size, localization=localization)
    require_positive(chains=chains, draws=draws, batch_size=batch_size)
    rise = rise_on_batches(surface, batch_size)
    sample = partial(
        sample_chain,
        rise,
        surface.start,
        step_size=step_size,
        localization=localization,
        inverse_temperature=heat,
        burn_in=burn_in,
        draws=draws,
    )
    found = [sample(generator=torch.Generator().manual_seed(chain)) for chain in range(chains)]
    each = heat * torch.stack([chain.rise for chain in found])
    distance = torch.stack([chain.distance for chain in found])
    d = len(surface.start)
    stable = each.isfinite() & (each < TOLERANCE * d / 2) & (distance < TOLERANCE * d / localization)
    spread = each.std() if chains > 1 else torch.full_like(each[0], torch.nan)
    return LocalLearningCoefficient(each.mean(), each, spread, ~stable.all())


def require_positive(**arguments: float | int) -> None:
    """Raise GrokinterpError for the first that is not above 0."""
    for name, value in arguments.items():
        if not value > 0:
            raise GrokinterpError(f"{name}={value}: must be above 0")


def rise_on_batches(surface: LossSurface, batch_size: int) -> RiseAndGradient:
    """On random training examples, with replacement, or on all where a batch holds them."""
    everything = torch.arange(surface.n_train, device=surface.start.device)
    with torch.no_grad():
        before = torch.cat([surface.train_losses(surface.start, batch) for batch in surface.batches()])

    def rise(weights: Float[Tensor, "weight"], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        batch = everything
        if batch_size < surface.n_train:
            batch = torch.randint(surface.n_train, (batch_size,), generator=generator).to(everything.device)
        weights = weights.detach().requires_grad_()
        mean = (surface.train_losses(weights, batch) - before[batch]).mean()
        return mean.detach(), torch.autograd.grad(mean, weights)[0]

    return rise


def sample_chain(
    rise: RiseAndGradient,
    start: Float[Tensor, "weight"],
    *,
    step_size: float,
    localization: float,
    inverse_temperature: float,
    burn_in: int,
    draws: int,
    generator: torch.Generator,
) -> Chain:
    """One chain of localized Langevin dynamics; a rise is that of the weights before the step.

    In one dimension, for the rise h w² / 2, the weights end up normal with variance 1 / (a (1 - εa/4)), a = nβh + γ.
    """
    away, rises, distances = torch.zeros_like(start), [], []
    for step in range(burn_in + draws):
        value, gradient = rise(start + away, generator)
        if step >= burn_in:
            rises.append(value)
            distances.append(away.square().sum())
        noise = torch.randn(start.shape, dtype=start.dtype, generator=generator).to(start.device)
        drift = inverse_temperature * gradient + localization * away
        away = away - step_size / 2 * drift + math.sqrt(step_size) * noise
    return Chain(torch.stack(rises).mean(), torch.stack(distances).mean())
