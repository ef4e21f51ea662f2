"""The methods of a league; each changes one thing in the same AdamW baseline."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from grokinterp.errors import ConfigError, require_choice
from grokinterp.experiment import Experiment, Optimization
from grokinterp.optim import (
    EGD,
    Cosine,
    Curriculum,
    Cyclic,
    Gap,
    GradientFilter,
    GrokfastDual,
    GrokfastEMA,
    GrokfastMA,
    Increasing,
    Mastery,
    OrthoGrad,
    Plateau,
)

BASELINE = "adamw"
"""The method with which all others are compared."""

SGD_RATE, SGD_MOMENTUM, EGD_RATE = 100.0, 0.9, 10.0
"""Learning-rate factors, and the momentum, of the methods whose update size differs from AdamW's."""

SMALL = 0.5
"""Factor by which ``small_init`` scales the initial weights."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A training method: its description, its source, and the change that it makes to the baseline experiment.

    ``apply`` raises ConfigError if the method does not apply to the task or the model.
    """

    about: str
    source: str
    apply: Callable[[Experiment], Experiment]


def plain(experiment: Experiment) -> Experiment:
    """Return the experiment with plain AdamW for the whole budget.

    Learning rate, weight decay, batch size, loss, precision, and initial weights are kept, and dropout and
    normalization with the model. Filters, schedules, other regularizers, and stopping early are removed.
    """
    before = experiment.optimization
    kept = ("lr", "weight_decay", "betas", "eps", "warmup_steps", "loss", "batch_size", "init_scale", "constrain_norm")
    optimization = Optimization(**{name: getattr(before, name) for name in (*kept, "precision")})
    return replace(experiment, optimization=optimization, patience=None)


def configured(name: str, experiment: Experiment) -> Experiment:
    """Return the experiment configured for a method.

    Raises:
        ConfigError: the method is unknown, does not apply to this experiment, or would not change it.
    """
    require_choice("methods", name, METHODS)
    base = plain(experiment)
    made = METHODS[name].apply(base)
    if name != BASELINE and made == base:
        raise ConfigError("methods", name, f"does not change this experiment: it equals {BASELINE}")
    return made


def optimized(**values: Any) -> Callable[[Experiment], Experiment]:
    """Return a function that changes optimization settings."""
    return lambda base: replace(base, optimization=replace(base.optimization, **values))


def scheduled(**schedules: Any) -> Callable[[Experiment], Experiment]:
    """Return a function that sets schedules, each built for the number of steps."""

    def apply(base: Experiment) -> Experiment:
        made = {name: schedule(base.budget) for name, schedule in schedules.items()}
        return optimized(schedules=replace(base.optimization.schedules, **made))(base)

    return apply


def rescaled(rate: float, decay: float, **values: Any) -> Callable[[Experiment], Experiment]:
    """Return a function that multiplies learning rate and weight decay by factors and changes other settings."""

    def apply(base: Experiment) -> Experiment:
        o = base.optimization
        lr, weight_decay = (float(f"{value:.12g}") for value in (o.lr * rate, o.weight_decay * decay))
        return optimized(lr=lr, weight_decay=weight_decay, **values)(base)

    return apply


def lr_matched(filter: GradientFilter) -> Method:
    """Return AdamW with the learning rate that a filter amounts to if its whole gain reaches the weights."""
    gain = filter.gain
    return Method(
        about=f"AdamW with the learning rate × {gain:g} = 1 + λ of {filter.kind} and the weight decay ÷ {gain:g}, so "
        "that the decay per step, lr · weight decay, is unchanged",
        source="control",
        apply=rescaled(gain, 1 / gain),
    )


def with_filters(*filters: GradientFilter, **values: Any) -> Callable[[Experiment], Experiment]:
    """Return a function that inserts filters between the gradient and AdamW."""
    return optimized(filters=filters, **values)


def stablemax_attention(base: Experiment) -> Experiment:
    """Return the experiment with StableMax instead of softmax in its attention."""
    return replace(base, model=base.model.with_stablemax())


def cross_entropy(apply: Callable[[Experiment], Experiment]) -> Callable[[Experiment], Experiment]:
    """Return the same change, restricted to losses with a softmax, that is, to cross-entropies."""

    def checked(base: Experiment) -> Experiment:
        if base.optimization.loss == "mse":
            raise ConfigError("optimization.loss", "mse", "is not a cross-entropy: there is no softmax to replace")
        return apply(base)

    return checked


def batched(schedule: Callable[[int], Any]) -> Callable[[Experiment], Experiment]:
    """Return a function that sets mini-batches growing to the configured size, by default to all training examples."""

    def apply(base: Experiment) -> Experiment:
        largest = base.optimization.batch_size or base.split.sizes(base.task).train
        schedules = replace(base.optimization.schedules, batch_size=schedule(base.budget))
        return optimized(batch_size=largest, schedules=schedules)(base)

    return apply


def curriculum(**values: Any) -> Callable[[Experiment], Experiment]:
    """Return a function that sets a curriculum: 30 % of the training examples first, all after a fifth of the run."""
    return lambda base: optimized(curriculum=Curriculum(start=0.3, over=max(base.budget // 5, 1), **values))(base)


def small_init(base: Experiment) -> Experiment:
    """Return the experiment with smaller initial weights."""
    return optimized(init_scale=base.optimization.init_scale * SMALL)(base)


EMA, MA, DUAL = GrokfastEMA(), GrokfastMA(), GrokfastDual()
GROKFAST = "Lee et al. 2024"
PRIETO = "Prieto et al. 2025"
OMNIGROK = "Liu et al. 2022 (Omnigrok)"

METHODS: dict[str, Method] = {
    BASELINE: Method(
        about="the baseline: AdamW as configured, with no other technique", source="Loshchilov and Hutter 2017",
        apply=lambda base: base,
    ),
    "adamw_lr_matched": lr_matched(EMA),
    "adamw_lr_matched_ma": lr_matched(MA),
    "adamw_lr_matched_dual": lr_matched(DUAL),
    "adamw_wd_matched": Method(
        about=f"AdamW with the weight decay × {EMA.gain:g} = 1 + λ of grokfast_ema: the effect of stronger decay alone",
        source="control", apply=rescaled(1.0, EMA.gain),
    ),
    "no_weight_decay": Method(
        about="AdamW with weight decay 0", source="control", apply=optimized(weight_decay=0.0),
    ),
    "grokfast_ema": Method(
        about=f"AdamW on g + λ · the moving average of g (α {EMA.alpha:g}, λ {EMA.lamb:g})", source=GROKFAST,
        apply=with_filters(EMA),
    ),
    "grokfast_ma": Method(
        about=f"AdamW on g + λ · the mean of the last {MA.window} gradients (λ {MA.lamb:g}, applied once the "
        "window is full)", source=GROKFAST, apply=with_filters(MA),
    ),
    "grokfast_dual": Method(
        about=f"both Grokfast filters on the raw gradient (λ {DUAL.ema.lamb:g} and {DUAL.ma.lamb:g})", source=GROKFAST,
        apply=with_filters(DUAL),
    ),
    "grokfast_ema_normalized": Method(
        about="grokfast_ema with the learning rate ÷ (1 + λ)", source=GROKFAST,
        apply=with_filters(EMA, lr_normalize=True),
    ),
    "orthograd": Method(
        about="AdamW on the component of each gradient orthogonal to its weights, rescaled; no weight decay, as "
        "published: no gradient component would counteract it",
        source=PRIETO,
        apply=with_filters(OrthoGrad(), weight_decay=0.0),
    ),
    "stablemax": Method(
        about="StableMax cross-entropy as the training loss", source=PRIETO,
        apply=cross_entropy(optimized(loss="stablemax")),
    ),
    "orthograd_stablemax": Method(
        about="orthograd and stablemax together", source=PRIETO,
        apply=cross_entropy(with_filters(OrthoGrad(), loss="stablemax", weight_decay=0.0)),
    ),
    "stablemax_attention": Method(
        about="StableMax instead of softmax in the attention", source=PRIETO, apply=stablemax_attention,
    ),
    "egd": Method(
        about="SGD without momentum on gradients whose singular values are all set to 1; learning rate × "
        f"{EGD_RATE:g}, weight decay ÷ {EGD_RATE:g} (an update of a 128 × 128 matrix is then about as large as "
        "AdamW's; not tuned)",
        source="Pasand and Dohmatob 2025",
        apply=rescaled(EGD_RATE, 1 / EGD_RATE, optimizer="sgd", momentum=0.0, filters=(EGD(),)),
    ),
    "muon": Method(
        about="Muon (momentum .95) on matrices and AdamW on the rest, with the same learning rate and weight decay; "
        "updates are scaled to the size of AdamW's", source="Jordan et al. 2024; Liu et al. 2025",
        apply=optimized(optimizer="muon", momentum=0.95),
    ),
    "sgd": Method(
        about=f"SGD with momentum {SGD_MOMENTUM:g}, learning rate × {SGD_RATE:g}, and a weight decay that shrinks "
        "the weights as much per step as the baseline's (not tuned)", source="control",
        apply=rescaled(SGD_RATE, (1 - SGD_MOMENTUM) / SGD_RATE, optimizer="sgd", momentum=SGD_MOMENTUM),
    ),
    "average": Method(
        about="the baseline, evaluated with the moving average of its weights (decay .999 per step)",
        source="Polyak and Juditsky 1992", apply=optimized(average=0.999),
    ),
    "lr_cosine": Method(
        about="learning rate decays to 0 along a cosine over the run", source="Loshchilov and Hutter 2016",
        apply=scheduled(lr=lambda steps: Cosine()),
    ),
    "lr_cyclic": Method(
        about="learning rate follows a triangle wave of ten periods, starting at a tenth", source="Smith 2017",
        apply=scheduled(lr=lambda steps: Cyclic(period=max(steps // 10, 2))),
    ),
    "lr_adaptive": Method(
        about="learning rate halves whenever the training loss plateaus for a tenth of the run", source="torch.optim",
        apply=scheduled(lr=lambda steps: Plateau(patience=max(steps // 10, 1))),
    ),
    "weight_decay_increasing": Method(
        about="weight decay rises from a tenth to its full value over the first half of the run", source="control",
        apply=scheduled(weight_decay=lambda steps: Increasing(over=max(steps // 2, 1))),
    ),
    "weight_decay_adaptive": Method(
        about="weight decay doubles every tenth of the run while the network has memorized but not generalized, up to "
        "tenfold; it uses the held-out accuracy", source=f"after {OMNIGROK}",
        apply=scheduled(weight_decay=lambda steps: Gap(doubling=max(steps // 10, 1))),
    ),
    "batch_increasing": Method(
        about="batch size grows from a tenth to its full value over the first half of the run",
        source="Smith et al. 2018",
        apply=batched(lambda steps: Increasing(over=max(steps // 2, 1))),
    ),
    "batch_curriculum": Method(
        about="batch size starts at an eighth and doubles each time the training examples are mastered",
        source="Smith et al. 2018",
        apply=batched(lambda steps: Mastery(hold=max(steps // 20, 1))),
    ),
    "curriculum": Method(
        about="30 % of the training examples at first, those with the smallest operands; all after a fifth of the run",
        source="Bengio et al. 2009", apply=curriculum(),
    ),
    "curriculum_random": Method(
        about="like curriculum, with the examples in random order", source="control", apply=curriculum(by="random"),
    ),
    "small_init": Method(
        about=f"initial weights × {SMALL:g}", source=OMNIGROK, apply=small_init,
    ),
    "constrained_norm": Method(
        about="the norm of all weights is held at its initial value", source=OMNIGROK,
        apply=optimized(constrain_norm=True),
    ),
}  # fmt: skip
"""All methods by name; the controls follow the baseline and the methods that they control for."""

CHOSEN = (
    BASELINE, "adamw_lr_matched", "adamw_wd_matched", "grokfast_ema", "grokfast_ma", "grokfast_dual", "orthograd",
    "stablemax", "orthograd_stablemax", "egd", "muon",
)  # fmt: skip
"""The default methods of a league."""


def listing() -> list[str]:
    """Return one line per method: its name, description, and source."""
    width = max(map(len, METHODS))
    return [f"{name:{width}}  {method.about} ({method.source})" for name, method in METHODS.items()]
