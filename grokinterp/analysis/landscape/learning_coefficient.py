"""The local learning coefficient: the effective number of weight directions on which the training loss depends."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.analysis.engine.coordinates import Setting
from grokinterp.analysis.landscape.loss_surface import LossSurface, require_true_gradient
from grokinterp.errors import ConfigError, NotDefined, require_choice
from grokinterp.maths.langevin import Loss, Sampling, learning_coefficient, sgld, trace, tuned_step
from grokinterp.models import Model
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.torch_settings import computing

BATCH_SIZE = 128

TRACE = 50
"""Number of intervals of a chain whose mean loss increase is stored."""

BATCH_SEED = 2**32
"""Offset added to the index of a chain for the seed of its batches, which differs from the seed of its noise."""

AXES = {
    "chain": lambda setting: range(chains_of(setting)),
    "stretch": [(i + 0.5) / TRACE for i in range(TRACE)],
}


class LocalLearningCoefficient(NamedTuple):
    """Degeneracy of the training loss around the weights.

    llc: local learning coefficient, the mean over chains; NaN if they diverged [1]
    llc_of_chain: local learning coefficient estimated from one chain [1]
    llc_spread: standard deviation of the local learning coefficient over chains [1]
    llc_rhat: split R-hat of the loss over chains [1]
    llc_equilibrium: share of the sampled distribution's virial that the chains reach [1]
    llc_step_error: part of the local learning coefficient due to the finite step size [1]
    llc_held: half the squared distance from the weights times the localization [1]
    llc_diverged: whether the chains diverged, so that there is no estimate [1]
    llc_converged: whether the chains agree and are long enough, and their steps small enough [1]
    llc_trace: n beta times the increase of the loss, over fiftieths of a chain [1]
    llc_inverse_temperature: inverse temperature n beta [1]
    llc_localization: localization gamma [1]
    llc_step_size: step size epsilon [1]
    llc_burn_in: initial steps of a chain that are discarded [1]
    llc_draws: steps of a chain that are used [1]
    llc_batch_size: number of training examples per step [1]
    """

    llc: Float[Tensor, ""]
    llc_of_chain: Float[Tensor, "chain"]
    llc_spread: Float[Tensor, ""]
    llc_rhat: Float[Tensor, ""]
    llc_equilibrium: Float[Tensor, ""]
    llc_step_error: Float[Tensor, ""]
    llc_held: Float[Tensor, ""]
    llc_diverged: Bool[Tensor, ""]
    llc_converged: Bool[Tensor, ""]
    llc_trace: Float[Tensor, "chain stretch"]
    llc_inverse_temperature: Float[Tensor, ""]
    llc_localization: Float[Tensor, ""]
    llc_step_size: Float[Tensor, ""]
    llc_burn_in: Int[Tensor, ""]
    llc_draws: Int[Tensor, ""]
    llc_batch_size: Int[Tensor, ""]


class Regime(NamedTuple):
    """Defaults for a ratio of weights to training examples.

    ``tunes``: whether pilot chains reduce the step size and batches grow with nβ, which is cheap for small networks.
    """

    localization: float
    step_size: float
    chains: int
    burn_in: int
    draws: int
    tunes: bool
    dtype: torch.dtype


FEW = Regime(1.0, 2e-3, 3, 300, 1000, tunes=True, dtype=torch.float64)
"""No more weights than training examples: the loss alone can constrain every direction."""

MANY = Regime(100.0, 1e-4, 2, 150, 100, tunes=False, dtype=torch.float32)
"""More weights than training examples: most directions are flat, and the localization must constrain them."""


def regime(weights: int, examples: int) -> Regime:
    """Return the defaults for a number of sampled weights and of training examples.

    >>> regime(32, 1000).localization, regime(145_152, 1_685).localization
    (1.0, 100.0)
    """
    return FEW if weights <= examples else MANY


def chains_of(setting: Setting) -> int:
    """Return the number of chains of an analysis in a setting."""
    weights = size_of(setting.model, setting.arguments.get("components"))
    examples = int(setting.problem.is_train.sum())
    return setting.arguments.get("chains") or regime(weights, examples).chains


def local_learning_coefficient(
    checkpoint: Checkpoint,
    *,
    inverse_temperature: float | None = None,
    localization: float | None = None,
    step_size: float | None = None,
    chains: int | None = None,
    burn_in: int | None = None,
    draws: int | None = None,
    batch_size: int | None = None,
    components: Sequence[str] | None = None,
) -> LocalLearningCoefficient:
    """Estimate the local learning coefficient λ̂ = nβ (E[L(w)] - L(w₀)) around the weights w₀.

    The weights w are drawn by stochastic gradient Langevin dynamics:

        w ← w - ε/2 (nβ ∇L_B(w) + γ (w - w₀)) + N(0, ε)

    on random batches B of the training examples, where L is the training loss. L_B(w₀) of the same batch is subtracted
    from every L_B(w), which removes most of the batch noise. At a regular minimum, λ̂ tends to half the number of
    weights as n → ∞ and γ → 0; at a degenerate minimum it is smaller. For a Hessian with eigenvalues h, λ̂ is about
    ½ Σ nβh / (nβh + γ): only curvatures above γ / nβ count, so values are comparable only at equal γ, nβ and n. A
    negative value means that the weights are not at a minimum of the loss.

    There are two sets of defaults. With no more weights than training examples: γ = 1; ε = 0.002, which pilot
    chains reduce until the finite step size accounts for at most a twentieth of λ̂; 3 chains of 300 + 1,000 steps;
    batches of max(128, nβ). With more weights than examples: γ = 100, ε = 0.0001, 2 chains of 150 + 100 steps in single
    precision, batches of 128. docs/formulas.md compares both with known values and with long chains.

    The chains diverged (λ̂ is NaN) if the loss is not finite or if more than half of the sampled energy is due to the
    finite step size; smaller steps may help. They have not converged if they disagree, are too short, or have too large
    steps; ``maths.langevin.learning_coefficient`` defines the thresholds. Batches and noise are the same at every
    checkpoint.

    Args:
        checkpoint: the checkpoint with the weights w₀.
        inverse_temperature: nβ (default: n / log n for n training examples).
        localization: γ.
        step_size: ε.
        chains: number of independent chains.
        burn_in: initial steps of each chain that are discarded.
        draws: steps of each chain that are used.
        batch_size: training examples per step; if there are no more examples than this, each step uses all once.
        components: parts of the model, or parameters, to sample, with all others fixed (default: all). The coefficient
            is that of the chosen weights.

    Source: Lau et al. 2023, §4 and appendix (estimator, localized SGLD); docs/formulas.md, Learning coefficient.

    Raises:
        NotDefined: the training examples are unknown, or the gradient stops between the steps of a recursive model.
        ConfigError: an argument that must be positive is not, or the model does not have a given component.
    """
    require_true_gradient(checkpoint, "local_learning_coefficient")
    given: dict[str, Any] = {
        "inverse_temperature": inverse_temperature,
        "localization": localization,
        "step_size": step_size,
    }
    given |= {"chains": chains, "draws": draws}
    require_positive(given | {"batch_size": batch_size})
    if burn_in is not None and burn_in < 0:
        raise ConfigError("burn_in", burn_in, "must be 0 or more")
    default = regime(size_of(checkpoint.model, components), int(checkpoint.problem.is_train.sum()))
    with computing(checkpoint.problem.tokens.device):
        surface = LossSurface(checkpoint, "local_learning_coefficient", dtype=default.dtype)
        chosen = {name: value for name, value in (given | {"burn_in": burn_in}).items() if value is not None}
        sampling = default_sampling(checkpoint, components)._replace(**chosen)
        batch_size = batch_size or default_batch_size(surface, sampling.inverse_temperature, default)
        place = surface.indices(weights_of(checkpoint.model, components))
        start = surface.start[place]

        def loss() -> Loss:
            return rise_on_batches(surface, place, sampling.chains, batch_size)

        if step_size is None and default.tunes:
            sampling = sampling._replace(step_size=tuned_step(loss(), start, sampling))
        seen = sgld(loss(), start, sampling)
        found = learning_coefficient(seen, sampling, len(start))
        return LocalLearningCoefficient(
            found.value.where(~found.diverged, torch.nan),
            found.of_chain,
            found.spread,
            found.rhat,
            found.equilibrium,
            found.step_error,
            found.held,
            found.diverged,
            found.converged,
            trace(seen.rise, TRACE),
            *(start.new_tensor(value, dtype=torch.float64) for value in sampling[:3]),
            *(start.new_tensor(value, dtype=torch.int64) for value in sampling[4:]),
            start.new_tensor(min(batch_size, surface.n_train), dtype=torch.int64),
        )


def default_sampling(checkpoint: Checkpoint, components: Sequence[str] | None = None) -> Sampling:
    """Return the default sampling of a checkpoint, before pilot chains reduce the step size."""
    n = int(checkpoint.problem.is_train.sum())
    if n == 0:
        raise NotDefined("local_learning_coefficient", "the training examples are unknown")
    default = regime(size_of(checkpoint.model, components), n)
    heat = n / max(math.log(n), 1.0)
    return Sampling(heat, default.localization, default.step_size, default.chains, default.burn_in, default.draws)


def require_positive(arguments: dict[str, float | None]) -> None:
    """Raise ConfigError for the first given argument that is not above 0."""
    for name, value in arguments.items():
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(name, value, "must be above 0")


def weights_of(model: Model, components: Sequence[str] | None) -> tuple[str, ...]:
    """Return the parameters in the given parts or parameters, in the order of the model; all for None."""
    names = [name for name, _ in model.named_parameters()]
    if components is None:
        return tuple(names)
    known = model.parts | {name: (name,) for name in names}
    for component in components:
        require_choice("components", component, known)
    chosen = {name for component in components for name in known[component]}
    if not chosen:
        raise ConfigError("components", "", f"must be one of {', '.join(known)}")
    return tuple(name for name in names if name in chosen)


def size_of(model: Model, components: Sequence[str] | None) -> int:
    """Return the number of weights in the given parts or parameters; of all for None."""
    weights = dict(model.named_parameters())
    return sum(weights[name].numel() for name in weights_of(model, components))


def default_batch_size(surface: LossSurface, heat: float, default: Regime) -> int:
    """Return a batch size of at least nβ if this is cheap, so that batch noise is no larger than the step error."""
    wanted = max(BATCH_SIZE, math.ceil(heat)) if default.tunes else BATCH_SIZE
    return min(wanted, surface.most_at_once)


def rise_on_batches(surface: LossSurface, place: Int[Tensor, "sampled"], chains: int, batch_size: int) -> Loss:
    """Return the increase of the loss above its value at the start, on a random batch for each chain.

    Batches are drawn with replacement, unless a batch holds all training examples.

    Args:
        surface: the training loss.
        place: indices of the sampled weights among all weights.
        chains: number of chains, each with its own batches.
        batch_size: number of examples in a batch.
    """
    n, device, samples_all = surface.n_train, surface.start.device, len(place) == len(surface.start)
    draws = [torch.Generator().manual_seed(BATCH_SEED + chain) for chain in range(chains)]
    with torch.no_grad():
        before = torch.cat([surface.train_losses(surface.start, batch) for batch in surface.batches()])

    def rise(sampled: Float[Tensor, "sampled"], batch: Int[Tensor, "example"]) -> Float[Tensor, ""]:
        weights = sampled if samples_all else surface.start.index_copy(0, place, sampled)
        return (surface.train_losses(weights, batch) - before[batch]).mean()

    of_chains: Callable[[Tensor, Tensor], Tensor] = torch.vmap(rise) if surface.vectorizes else one_by_one(rise)

    def loss(weights: Float[Tensor, "chain sampled"]) -> Float[Tensor, "chain"]:
        if batch_size >= n:
            batches = torch.arange(n).expand(chains, n)
        else:
            batches = torch.stack([torch.randint(n, (batch_size,), generator=draw) for draw in draws])
        return of_chains(weights, batches.to(device))

    return loss


def one_by_one(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a loop over the rows of two tensors, for modules that do not support vmap."""
    return lambda first, second: torch.stack([function(*pair) for pair in zip(first, second, strict=True)])
