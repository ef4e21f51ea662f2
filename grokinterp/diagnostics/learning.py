"""Rules on the training examples: the loss is no longer finite, or the examples were never memorized."""

from grokinterp.diagnostics.facts import Diagnosis, Facts, times

FALLING = 0.1
"""A loss is still falling if its median drops by this share from the third to the last quarter of the run."""

SHRUNK = 0.1
"""The weights have shrunk if Σθ² is below this share of its first value: less than a third of the norm remains."""

RAMP = 2
"""A run shorter than this many times its warm-up was hardly trained at the full learning rate."""


def diverged(run: Facts) -> Diagnosis | None:
    """Diagnose a loss or gradient that is not finite."""
    if run.status != "diverged" and not _ends_without_a_loss(run):
        return None
    found = []
    if run.status == "diverged":
        found.append(f"the loss or its gradient was not finite at step {run.results.directory.status.get('step')}")
    found += _before(run)
    why = "a smaller step"
    if run.amplifies():
        why += "; Grokfast multiplies a steady gradient by 1 + λ, which optimization.lr_normalize=true compensates"
    return Diagnosis("The loss is no longer finite", "; ".join(found), f"Lower the learning rate: {why}.",
                     run.lower("optimization.lr", 10))  # fmt: skip


def _ends_without_a_loss(run: Facts) -> bool:
    """Return whether the train loss was finite earlier but is not at the last evaluation."""
    loss = run.curve("train_loss")
    return loss is not None and bool(loss.steps[-1] != run.results.metrics["step"].values[-1])


def _before(run: Facts) -> list[str]:
    """Describe the last finite loss and gradient norm."""
    found, loss, gradient = [], run.curve("train_loss"), run.curve("gradient_norm")
    if loss is not None:
        found.append(f"the last finite train loss was {loss.last:.3g} at step {loss.steps[-1]}")
    if gradient is not None:
        first = f", {gradient.values[0]:.3g} at step {gradient.steps[0]}" if len(gradient.steps) > 1 else ""
        found.append(f"the last gradient norm was {gradient.last:.3g} at step {gradient.steps[-1]}{first}")
    return found


def unlearned(run: Facts) -> Diagnosis | None:
    """Diagnose training examples that were not memorized, by the first reason that the numbers support."""
    if run.verdict != "never memorized" or diverged(run) is not None:
        return None
    return _shrunk(run) or _warming_up(run) or _still_learning(run) or _flat(run)


def _shrunk(run: Facts) -> Diagnosis | None:
    norm, decay = run.curve("weight_norm"), run.number("optimization.weight_decay")
    if norm is None or decay == 0 or not norm.last < SHRUNK * norm.values[0]:
        return None
    left = times(norm.last / norm.values[0])
    evidence = f"Σθ² fell from {norm.values[0]:.3g} to {norm.last:.3g} ({left}) by step {norm.steps[-1]}; {best(run)}"
    return Diagnosis("The weights shrink and nothing is memorized", evidence,
                     "Lower the weight decay: it shrinks the weights faster than the loss grows them.",
                     run.lower("optimization.weight_decay", 10))  # fmt: skip


def _warming_up(run: Facts) -> Diagnosis | None:
    loss, warm_up = run.curve("train_loss"), run.number("optimization.warmup_steps")
    if loss is None or not warm_up or loss.steps[-1] >= RAMP * warm_up:
        return None
    evidence = f"the last evaluation is at step {loss.steps[-1]}; warm-up takes {warm_up:.0f} steps; {best(run)}"
    return Diagnosis("The run ends during or soon after warm-up", evidence, "Shorten the warm-up, or train for longer.",
                     run.override("optimization.warmup_steps", max(1, int(loss.steps[-1]) // 20)))  # fmt: skip


def _still_learning(run: Facts) -> Diagnosis | None:
    evidence = falling(run, "train_loss")
    if not evidence:
        return None
    symptom = "Not learned yet, and improving" if run.draws_anew else "Not memorized yet, and still learning"
    return Diagnosis(symptom, f"{evidence}; {best(run)}", *longer(run))


def _flat(run: Facts) -> Diagnosis | None:
    loss = run.curve("train_loss")
    quarters = None if loss is None else loss.quarters()
    if run.cut_short or loss is None or quarters is None:
        return None
    evidence = (
        f"the median train loss was {quarters[0]:.3g} in the third quarter of the run and {quarters[1]:.3g} in the "
        f"last, to step {loss.steps[-1]}; {best(run)}"
    )
    if run.setting("optimization.loss") == "mse":
        return Diagnosis("The squared error hardly falls, and nothing is memorized", evidence,
                         "Train with cross-entropy, which raises the correct class however small its share of the "
                         "squared error is.", "" if run.is_recorded else "optimization.loss=softplus")  # fmt: skip
    rate, decay = run.number("optimization.lr"), run.number("optimization.weight_decay") or 0.0
    by = 3 if loss.last < (1 - FALLING) * loss.values[0] else 10
    setting = run.override("optimization.lr", by * rate) if rate and by * rate * max(decay, 0.1) < 1 else ""
    return Diagnosis("The train loss hardly falls, and nothing is memorized", evidence,
                     "Raise the learning rate; if that does not help, make the model larger.", setting)  # fmt: skip


def falling(run: Facts, name: str) -> str:
    """Describe how a loss fell from the third to the last quarter of the run; "" if it hardly fell."""
    loss = run.curve(name)
    quarters = None if loss is None else loss.quarters()
    if loss is None or quarters is None or not 0 <= quarters[1] < (1 - FALLING) * quarters[0]:
        return ""
    return (
        f"the median {name.replace('_', ' ')} fell from {quarters[0]:.3g} in the third quarter of the run to "
        f"{quarters[1]:.3g} in the last, to step {loss.steps[-1]}"
    )


def longer(run: Facts) -> tuple[str, str]:
    """Return the remedy and setting for a run that is still improving."""
    if run.cut_short:
        planned = run.number("steps")
        how = "" if run.is_recorded else ": grokinterp train --resume"
        return f"Continue training{f' to step {planned:.0f}' if planned else ''}{how}.", ""
    steps = run.number("steps")
    remedy = "Train for more steps; these numbers do not show how many."
    return remedy, f"steps={2 * int(steps)}" if steps else ""


def best(run: Facts) -> str:
    """Describe the best train accuracy, or train loss."""
    accuracy, loss = run.curve("train_accuracy"), run.curve("train_loss")
    if accuracy is not None:
        at = accuracy.steps[accuracy.values.argmax()]
        return f"train accuracy reached {accuracy.values.max():.3g} at best, at step {at}"
    return "no train accuracy" if loss is None else f"train loss reached {loss.values.min():.3g} at best"
