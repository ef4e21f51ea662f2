"""Named sweeps: the boundaries of grokking over weight decay, width, prime, and their ratio; the loss at fixed norms.

Every sweep exists at two scales with the same number of runs. At full scale the model is that of the preset
``boundaries`` (two layers, four heads, mean-pooled), and for ``omnigrok_norm`` that of the preset ``demo``, because
LayerNorm would make the network insensitive to the norm of most of its weights. At small scale its sizes, learning
rate, and budget are chosen so that the runs end within minutes on two cores, and they stop twenty evaluations after
grokking was detected; those of ``omnigrok_norm`` do not stop, so that all losses are measured at the same step.

Source: Liu et al. 2022, Omnigrok, §2 (training at a constrained norm).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from grokinterp.errors import require_choice
from grokinterp.experiment import Experiment
from grokinterp.presets import BOUNDARIES, DEMO
from grokinterp.sweeps.grid import RATIO, Grid

SCALES = ("full", "small")

RATIOS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Ratios of width to prime."""

EXTENDED = (*RATIOS, 8.0, 16.0)

WIDTH = "model.d_model,model.d_mlp"
"""The axis of widths d with MLPs of 4 · d neurons."""


def base_of(steps: int, **settings: Any) -> Experiment:
    """Return the experiment of full scale with some steps, ten checkpoints, and further settings."""
    thinned = {"steps": steps, "save.every": steps // 10, "save.resume_every": 2_000}
    return BOUNDARIES.changed({**thinned, **settings})


SMALL = replace(
    BOUNDARIES.changed(
        {"task.p": 23, "model.d_model": 32, "model.d_mlp": 128, "optimization.lr": 0.002, "save.resume_every": 1_000}
    ),
    name="boundaries_small",
    patience=20,
)


def small_of(steps: int, **settings: Any) -> Experiment:
    """Return the experiment of small scale with some steps, ten checkpoints, and further settings."""
    return SMALL.changed({"steps": steps, "save.every": steps // 10, **settings})


def small_and_fast(steps: int, **settings: Any) -> Experiment:
    """Return the experiment of small scale at five times the learning rate, for low weight decay."""
    return small_of(steps, **{"optimization.lr": 0.01, **settings})


def widths(*sizes: int) -> list[tuple[int, int]]:
    """Return the values of the axis ``WIDTH``."""
    return [(d, 4 * d) for d in sizes]


def matched(*primes: int) -> list[tuple[int, int, int]]:
    """Return primes p, each with the width p, rounded down to a multiple of four heads, and its MLP."""
    return [(p, p // 4 * 4, 4 * (p // 4 * 4)) for p in primes]


def ratios_at(weight_decay: float, base: Callable[..., Experiment], steps: int, values: Sequence[float]) -> Grid:
    """Return the sweep of ratios, with five seeds each, at a weight decay."""
    about = f"ratio of width to prime ({len(values)} ratios × 5 seeds) at weight decay {weight_decay:g}"
    decayed = base(steps, **{"optimization.weight_decay": weight_decay})
    return Grid(decayed, {RATIO: values, "seed": range(5)}, about)


NORMS = (0.35, 0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 2.0, 2.8, 4.0)
"""The norms of ``omnigrok_norm``, as multiples of the usual initial norm."""


def at_norms(about: str, **sizes: Any) -> Grid:
    """Return the sweep of constrained norms, with three seeds each, without weight decay."""
    constrained = {"optimization.weight_decay": 0.0, "optimization.constrain_norm": True}
    few = {"save.every": 1_500, "save.dense_until": 0, "save.resume_every": 1_000}
    base = DEMO.changed({"steps": 3_000, "evaluate_every": 20, **constrained, **few, **sizes})
    base = replace(base, name="constrained_norm")
    return Grid(base, {"optimization.init_scale": NORMS, "seed": range(3)}, about)


DECAYS, PRIMES = (0.1, 0.5, 1.0, 3.0, 10.0), (23, 47, 59, 97)
MATCHED = "task.p,model.d_model,model.d_mlp"

FULL_SCALE = {
    "exp1_weight_decay": Grid(
        base_of(50_000), {"optimization.weight_decay": DECAYS}, "weight decay .1 to 10, p = 97, d = 128"
    ),
    "exp2_hidden_dim": Grid(
        base_of(50_000), {WIDTH: widths(32, 64, 128, 256)}, "width d = 32 to 256, p = 97, weight decay 1"
    ),
    "exp3_prime": Grid(base_of(50_000), {"task.p": PRIMES}, "p = 23 to 97, d = 128, weight decay 1"),
    "exp4_matched": Grid(
        base_of(20_000), {MATCHED: matched(*PRIMES)}, "p = 23 to 97 with widths d = p, weight decay 1"
    ),
    "prime53_ratio": Grid(
        base_of(20_000, **{"task.p": 53}),
        {WIDTH: widths(8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)},
        "11 widths d = 8 to 256 at p = 53, weight decay 1",
    ),
    "exp5_ratio_wd1": ratios_at(1.0, base_of, 20_000, RATIOS),
    "exp5_ratio_wd0p1": ratios_at(0.1, base_of, 100_000, RATIOS),
    "exp5_ratio_wd0p01": ratios_at(0.01, base_of, 200_000, RATIOS),
    "exp5_ratio_wd1_extended": ratios_at(1.0, base_of, 20_000, EXTENDED),
    "exp5_ratio_wd0p1_extended": ratios_at(0.1, base_of, 100_000, EXTENDED),
    "exp5_ratio_wd0p01_extended": ratios_at(0.01, base_of, 200_000, EXTENDED),
    "omnigrok_norm": at_norms("norm kept at .35 to 4 times the initial one (10 norms × 3 seeds), p = 53, d = 128"),
}

SMALL_PRIMES = (19, 23, 29, 31)

SMALL_SCALE = {
    "exp1_weight_decay": Grid(
        small_of(4_000), {"optimization.weight_decay": DECAYS}, "weight decay .1 to 10, p = 23, d = 32"
    ),
    "exp2_hidden_dim": Grid(
        small_of(4_000), {WIDTH: widths(16, 32, 64, 128)}, "width d = 16 to 128, p = 23, weight decay 1"
    ),
    "exp3_prime": Grid(small_of(4_000), {"task.p": SMALL_PRIMES}, "p = 19 to 31, d = 32, weight decay 1"),
    "exp4_matched": Grid(
        small_of(4_000), {MATCHED: matched(*SMALL_PRIMES)}, "p = 19 to 31 with widths d = p, weight decay 1"
    ),
    "prime53_ratio": Grid(
        small_of(3_000),
        {WIDTH: widths(4, 8, 12, 16, 20, 24, 32, 44, 56, 68, 96)},
        "11 widths d = 4 to 96 at p = 23, weight decay 1",
    ),
    "exp5_ratio_wd1": ratios_at(1.0, small_of, 4_000, RATIOS),
    "exp5_ratio_wd0p1": ratios_at(0.1, small_and_fast, 4_000, RATIOS),
    "exp5_ratio_wd0p01": ratios_at(0.01, small_and_fast, 5_000, RATIOS),
    "exp5_ratio_wd1_extended": ratios_at(1.0, small_of, 4_000, EXTENDED),
    "exp5_ratio_wd0p1_extended": ratios_at(0.1, small_and_fast, 4_000, EXTENDED),
    "exp5_ratio_wd0p01_extended": ratios_at(0.01, small_and_fast, 5_000, EXTENDED),
    "omnigrok_norm": at_norms(
        "norm kept at .35 to 4 times the initial one (10 norms × 3 seeds), p = 23, d = 32",
        **{"task.p": 23, "model.d_model": 32, "model.d_mlp": 64, "optimization.lr": 0.003},
    ),
}

SWEEPS = {"full": FULL_SCALE, "small": SMALL_SCALE}
"""The named sweeps of each scale."""


def named(name: str, scale: str = "full") -> Grid:
    """Return a named sweep. Raises ConfigError naming the sweeps, or the scales."""
    require_choice("scale", scale, SCALES)
    require_choice("sweep", name, SWEEPS[scale])
    return SWEEPS[scale][name]
