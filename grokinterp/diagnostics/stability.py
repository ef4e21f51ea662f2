"""Rules on events after memorization: spikes, lost generalization, radial updates, persistent label noise."""

from grokinterp.diagnostics.facts import Diagnosis, Facts, times

MANY = 3
"""Number of spikes from which a run counts as unstable; one or two are common in successful runs."""

BROUGHT_BACK = 0.1
"""|cos(update, weights)| above which an optimizer has restored the radial part that OrthoGrad removed."""


def unstable(run: Facts) -> Diagnosis | None:
    """Diagnose many loss spikes or slingshots in a run that does not generalize at the end."""
    if run.history is None or run.generalizes:
        return None
    events = [event for event in run.history.events if event.kind in ("loss spike", "slingshot")]
    if len(events) < MANY:
        return None
    slingshots = sum(event.kind == "slingshot" for event in events)
    remedy, setting = "Lower the learning rate.", run.lower("optimization.lr", 3)
    if run.amplifies():
        remedy = "Divide the learning rate by 1 + λ, Grokfast's amplification of a steady gradient, or lower λ."
        setting = "optimization.lr_normalize=true" if run.setting("optimization.lr_normalize") is False else setting
    elif slingshots and run.setting("optimization.optimizer") in (None, "adamw"):
        remedy = "Lower the learning rate, or raise Adam's eps: both weaken slingshots (Thilak et al. 2022)."
    return Diagnosis(
        "Training is unstable",
        f"{len(events) - slingshots} loss spikes and {slingshots} slingshots from step {events[0].step} to step "
        f"{events[-1].step}; the first: {events[0].detail}",
        remedy,
        setting,
    )


NOT_KEPT = {
    "generalized and lost it again": "Generalized and lost it again",
    "unstable": "Generalization comes and goes",
    "collapsed": "Collapsed: the network no longer fits the training examples either",
}
"""Verdicts on runs that lose what they learned, and the symptom."""


def not_kept(run: Facts) -> Diagnosis | None:
    """Diagnose generalization that is lost, permanently or repeatedly."""
    if run.verdict not in NOT_KEPT or run.history is None:
        return None
    generalized, memorized = run.history.generalized_step, run.memorized
    since = f"memorized at step {memorized}" if generalized is None else f"generalized at step {generalized}"
    train = run.curve("train_accuracy")
    also = f"; train accuracy {train.last:.3g}" if train is not None and run.verdict == "collapsed" else ""
    return Diagnosis(
        NOT_KEPT[run.verdict],
        f"{since}; {run.outcome()}{also}",
        f"Lower the learning rate, or average the weights{'' if run.is_recorded else ' (optimization.average=0.999)'}.",
        run.lower("optimization.lr", 3),
    )


def radial_update(run: Facts) -> Diagnosis | None:
    """Diagnose a preconditioner that restores the radial part of the gradient that OrthoGrad removed."""
    gradient, update = run.measured("gradient_weight_cosine_total"), run.measured("update_weight_cosine_total")
    decays = run.number("optimization.weight_decay") != 0
    if not run.stuck or not run.has_filter("orthograd") or decays or gradient is None or update is None:
        return None
    if abs(update.last) <= BROUGHT_BACK:
        return None
    return Diagnosis(
        "The updates still scale the weights despite OrthoGrad",
        f"at step {update.steps[-1]} the cosine with the weights was {gradient.at(int(update.steps[-1])):.3g} for the "
        f"raw gradient and {update.last:.3g} for the update, with no weight decay",
        "Adam rescales each gradient entry separately, which rotates the gradient; sgd keeps it tangential.",
        "optimization.optimizer=sgd" if run.setting("optimization.optimizer") == "adamw" else "",
    )


def noise_stays(run: Facts) -> Diagnosis | None:
    """Diagnose mislabeled examples that are answered as labeled until the end."""
    noisy, restored = run.curve("noisy_accuracy"), run.curve("restored_accuracy")
    if run.memorized is None or noisy is None or restored is None or restored.last >= noisy.last:
        return None
    decay = run.number("optimization.weight_decay")
    setting = run.decayed(3 * decay if decay else 1)
    return Diagnosis(
        "The wrong labels stay memorized",
        f"at step {noisy.steps[-1]}, {times(noisy.last)} of the mislabeled examples are answered as labeled and "
        f"{times(restored.last)} correctly",
        "Increase weight decay: regularized networks correct wrong labels (Doshi et al. 2023).",
        setting,
    )
