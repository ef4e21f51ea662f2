"""Rules on runs that memorized and do not generalize."""

import math

from grokinterp.diagnostics.facts import Curve, Diagnosis, Facts, times
from grokinterp.diagnostics.learning import falling, longer

PRECISIONS = {"float32": 2.0**-24, "float64": 2.0**-53, "float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Forms of the loss that collapse, with the cross-entropy up to which 1 + Σ exp(z_j - z_y) rounds to 1."""

RADIAL = -math.sqrt(0.5)
"""Cosine with the weights below which more than half of the squared gradient only scales the weights."""

OFTEN = 0.25
"""Share of the checkpoints since memorization that must have such a cosine, which no longer occurs after a collapse."""

GROWN = 1.1
"""Logits or squared norm have grown if they are a tenth above their value at memorization."""

MOVED = 0.9
"""A restricted loss is falling if it is below this share of its value at memorization."""

RISEN = 2.0
"""The excluded loss has risen if it is twice its minimum since memorization, as in phase dating."""

MOST = 0.6
"""Largest share of the examples that can be increased by half and still leave a test set."""

FEW = 0.3
"""Smallest share of the examples in the published runs among the presets (Nanda et al. 2023)."""


def collapsed(run: Facts) -> Diagnosis | None:
    """Diagnose softmax collapse: examples whose loss is exactly 0 in the precision in which it is computed."""
    form = run.setting("optimization.loss")
    if run.verdict == "" or run.generalizes or form not in PRECISIONS:
        return None
    evidence = _collapsed_share(run, form) or _vanished_loss(run, form)
    if not evidence:
        return None
    return Diagnosis(
        f"Softmax collapse: the {form} loss of training examples is exactly 0",
        f"{evidence}; {run.outcome()}",
        "Use the softplus form of the same loss, which does not collapse; or stablemax, or "
        f"{'weight decay' if form == 'float64' else 'float64, which collapses later'} (Prieto et al. 2025).",
        "" if run.is_recorded else "optimization.loss=softplus",
    )  # fmt: skip


def _collapsed_share(run: Facts, form: str) -> str:
    share = run.measured("collapsed_share", precision=form)
    if share is None or share.last <= 0:
        return ""
    first = share.steps[share.values > 0][0]
    return (
        f"{times(share.last)} of the training examples collapsed at step {share.steps[-1]}, the first by step {first}"
    )


def _vanished_loss(run: Facts, form: str) -> str:
    """Return evidence from the mean loss: if it is that small, the sum of exponentials rounds to 1 for some example."""
    loss = run.curve("train_loss")
    if loss is None or not loss.last <= PRECISIONS[form]:
        return ""
    return (
        f"the mean train loss, computed exactly, was {loss.last:.2g} at step {loss.steps[-1]}; up to "
        f"{PRECISIONS[form]:.1g} the loss is 0 in {form}"
    )


def scaling(run: Facts) -> Diagnosis | None:
    """Diagnose naive loss minimization: the gradient points along the weights, and the logits grow."""
    cosine, logits = run.measured("gradient_weight_cosine_total"), run.curve("logit_mean_abs")
    if not run.stuck or cosine is None or logits is None or run.has_filter("orthograd"):
        return None
    before, after = logits.at(run.memorized or 0), cosine.since(run.memorized or 0)
    radial = after.values < RADIAL
    if radial.mean() < OFTEN or logits.last < GROWN * before:
        return None
    return Diagnosis(
        "Naive loss minimization: training mostly scales up the logits",
        f"the cosine of gradient and weights was below {RADIAL:.2g} at {radial.sum()} of {len(radial)} checkpoints "
        f"since memorization, with minimum {after.values.min():.3g} at step {after.steps[after.values.argmin()]}; the "
        f"mean |logit| rose from {before:.3g} at step {run.memorized} to {logits.last:.3g} at step {logits.steps[-1]}",
        "Remove that part of the gradient with OrthoGrad (Prieto et al. 2025, §5).",
        _orthograd(run),
    )


def _orthograd(run: Facts) -> str:
    return "" if run.is_recorded else """optimization.filters='[{kind="orthograd"}]'"""


def undecayed(run: Facts) -> Diagnosis | None:
    """Diagnose that nothing removes the memorized solution: no weight decay, or an unknown one and a growing norm."""
    decay, norm = run.number("optimization.weight_decay"), run.curve("weight_norm")
    if (
        not run.stuck
        or norm is None
        or decay
        or run.has_filter("orthograd")
        or run.setting("optimization.constrain_norm")
    ):
        return None
    before = norm.at(run.memorized or 0)
    grown = norm.last >= GROWN * before
    if not grown and decay is None:
        return None
    return Diagnosis(
        "Memorized, and nothing removes the memorized solution" if decay == 0 else "Memorized, and the weights grow",
        f"{'weight decay is 0; ' if decay == 0 else ''}Σθ² changed from {before:.3g} at step {run.memorized} to "
        f"{norm.last:.3g} at step {norm.steps[-1]}; {run.outcome()}",
        "Use weight decay (Power et al. 2022), or OrthoGrad without it (Prieto et al. 2025).",
        run.decayed(1) if _allowed(run, 1.0) else _orthograd(run),
    )


def on_its_way(run: Facts) -> Diagnosis | None:
    """Diagnose a run that fails on the test set while its test loss or progress measures improve."""
    if not run.stuck or collapsed(run) is not None:
        return None
    evidence = falling(run, "test_loss") or _moving(run)
    return (
        Diagnosis("Not generalizing yet, but in progress", f"{evidence}; {run.outcome()}", *longer(run))
        if evidence
        else None
    )


def _moving(run: Facts) -> str:
    since = run.memorized or 0
    restricted, excluded = (
        None if curve is None else curve.since(since)
        for curve in (run.measured("restricted_loss"), run.measured("excluded_loss"))
    )
    found = []
    if restricted is not None and restricted.last < MOVED * restricted.values[0]:
        found.append(_way("restricted", restricted))
    if excluded is not None and excluded.last > RISEN * excluded.values.min() > 0:
        found.append(_way("excluded", excluded))
    return " and ".join(found)


def _way(name: str, curve: Curve) -> str:
    first, last = curve.steps[0], curve.steps[-1]
    return f"the {name} loss changed from {curve.values[0]:.3g} at step {first} to {curve.last:.3g} at step {last}"


def partly(run: Facts) -> Diagnosis | None:
    """Diagnose partial generalization."""
    if run.verdict != "partly generalized" or collapsed(run) is not None:
        return None
    evidence = falling(run, "test_loss")
    if evidence:
        return Diagnosis("Partly generalized, still improving", f"{evidence}; {run.outcome()}", *longer(run))
    if run.cut_short or run.draws_anew:
        return None
    fraction = run.number("split.fraction")
    larger = fraction is not None and fraction <= MOST and run.setting("split.trained_on") is None
    return Diagnosis(
        "Partly generalized, not improving",
        f"memorized at step {run.memorized}; {run.outcome()}",
        "Train on a larger share of the examples, which decides whether the network generalizes (Power et al. 2022).",
        run.override("split.fraction", (fraction or 0.0) * 1.5) if larger else "",
    )


def few_examples(run: Facts) -> Diagnosis | None:
    """Diagnose a flat plateau with a small training share."""
    fraction = run.number("split.fraction")
    drawn = fraction is not None and run.setting("split.trained_on") is None and not run.draws_anew
    if not _rests(run) or not run.is_analyzed or not drawn or fraction >= FEW:
        return None
    return Diagnosis(
        "Memorized, perhaps from too few examples",
        f"trained on {times(fraction)} of the examples; {run.outcome()}",
        "Train on more examples: with fewer examples a network generalizes later, if at all (Power et al. 2022).",
        "split.fraction=0.4",
    )


def unseen(run: Facts) -> Diagnosis | None:
    """Diagnose flat curves of a run without analyses."""
    if not _rests(run) or run.is_analyzed:
        return None
    return Diagnosis(
        "Memorized, with no sign of generalization in the curves",
        f"memorized at step {run.memorized}; {run.outcome()}",
        "Run grokinterp analyze to find out whether circuits form while the test loss is flat.",
    )


def resting(run: Facts) -> Diagnosis | None:
    """Diagnose a flat plateau that no other rule explains."""
    decay = run.number("optimization.weight_decay")
    if not _rests(run) or not run.is_analyzed or few_examples(run) is not None:
        return None
    raised = decay is None or (decay > 0 and _allowed(run, 3 * decay))
    evidence = f"memorized at step {run.memorized}; {run.outcome()}"
    if decay:
        evidence += f"; weight decay {decay:.3g}"
    return Diagnosis(
        "Memorized, with no sign of generalization so far", evidence,
        f"{'Raise the weight decay or train' if raised else 'Train'} for longer: the plateau may just be long.",
        run.decayed(3 * decay) if decay and raised else longer(run)[1],
    )  # fmt: skip


def _rests(run: Facts) -> bool:
    """Return whether a finished run stays on its plateau for no reason that another rule names."""
    if not run.stuck or run.cut_short or run.status == "diverged":
        return False
    return all(rule(run) is None for rule in (collapsed, scaling, undecayed, on_its_way))


def _allowed(run: Facts, decay: float) -> bool:
    """Return whether learning rate times weight decay is below 1, as the configuration requires."""
    return (run.number("optimization.lr") or 0.0) * decay < 1
