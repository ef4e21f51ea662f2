"""Rules on the training examples: the loss left the finite numbers, or they were never memorized."""

from grokinterp.diagnostics.facts import Diagnosis, Facts, times

FALLING = 0.1
"""A loss still falls that lost a tenth of its median from the third to the last quarter of the run."""

SHRUNK = 0.1
"""The weights have shrunk when Σθ² is below this share of its first value: less than a third of the norm is left."""

RAMP = 2
"""A run that is not this many times as long as its warm-up was hardly trained at the full learning rate."""


def diverged(run: Facts) -> Diagnosis | None:
    """The loss or its gradient is not finite."""
    if run.status != "diverged" and not _ends_without_a_loss(run):
        return None
    found = []
    if run.status == "diverged":
        found.append(f"the loss or its gradient was not finite at step {run.results.directory.status.get('step')}")
    found += _before(run)
    why = "a smaller step"
    if run.amplifies():
        why += "; Grokfast multiplies a steady gradient by 1 + λ, which optimization.lr_normalize=true takes back"
    return Diagnosis("The loss left the finite numbers", "; ".join(found), f"Lower the learning rate: {why}.",
                     run.lower("optimization.lr", 10))  # fmt: skip


def _ends_without_a_loss(run: Facts) -> bool:
    """Whether the train loss was a number, and is none at the last evaluation."""
    loss = run.curve("train_loss")
    return loss is not None and bool(loss.steps[-1] != run.results.metrics["step"].values[-1])


def _before(run: Facts) -> list[str]:
    """The last finite loss, and the gradient before it."""
    found, loss, gradient = [], run.curve("train_loss"), run.curve("gradient_norm")
    if loss is not None:
        found.append(f"the last finite train loss was {loss.last:.3g} at step {loss.steps[-1]}")
    if gradient is not None:
        first = f", {gradient.values[0]:.3g} at step {gradient.steps[0]}" if len(gradient.steps) > 1 else ""
        found.append(f"the gradient's norm {gradient.last:.3g} at step {gradient.steps[-1]}{first}")
    return found


def unlearned(run: Facts) -> Diagnosis | None:
    """The first of the reasons why the training examples were not memorized that the numbers support."""
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
                     "Lower the weight decay: it takes the weights away faster than the loss builds them up.",
                     run.lower("optimization.weight_decay", 10))  # fmt: skip


def _warming_up(run: Facts) -> Diagnosis | None:
    loss, warm_up = run.curve("train_loss"), run.number("optimization.warmup_steps")
    if loss is None or not warm_up or loss.steps[-1] >= RAMP * warm_up:
        return None
    evidence = f"the last evaluation is at step {loss.steps[-1]}, the warm-up lasts {warm_up:.0f} steps; {best(run)}"
    return Diagnosis("The run ends with its warm-up", evidence, "Warm up for a shorter time, or train on.",
                     run.override("optimization.warmup_steps", max(1, int(loss.steps[-1]) // 20)))  # fmt: skip


def _still_learning(run: Facts) -> Diagnosis | None:
    evidence = falling(run, "train_loss")
    if not evidence:
        return None
    return Diagnosis("Not memorized yet, and still learning", f"{evidence}; {best(run)}", *longer(run))


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
                         "Train with cross-entropy, which pushes the right class up however small its share of the "
                         "squared error is.", "" if run.is_theirs else "optimization.loss=softplus")  # fmt: skip
    rate, decay = run.number("optimization.lr"), run.number("optimization.weight_decay") or 0.0
    by = 3 if loss.last < (1 - FALLING) * loss.values[0] else 10
    setting = run.override("optimization.lr", by * rate) if rate and by * rate * max(decay, 0.1) < 1 else ""
    return Diagnosis("The train loss hardly falls, and nothing is memorized", evidence,
                     "Raise the learning rate; if that does not help, make the model larger.", setting)  # fmt: skip


def falling(run: Facts, name: str) -> str:
    """How a loss fell from the third to the last quarter of the run; "" where it hardly did."""
    loss = run.curve(name)
    quarters = None if loss is None else loss.quarters()
    if loss is None or quarters is None or not 0 <= quarters[1] < (1 - FALLING) * quarters[0]:
        return ""
    return (
        f"the median {name.replace('_', ' ')} fell from {quarters[0]:.3g} in the third quarter of the run to "
        f"{quarters[1]:.3g} in the last, to step {loss.steps[-1]}"
    )


def longer(run: Facts) -> tuple[str, str]:
    """Remedy and setting of a run that is on its way."""
    if run.cut_short:
        planned = run.number("steps")
        how = "" if run.is_theirs else ": grokinterp train --resume"
        return f"Let it go on{f' to step {planned:.0f}' if planned else ''}{how}.", ""
    steps = run.number("steps")
    remedy = "Train for more steps; how many more, these numbers do not say."
    return remedy, f"steps={2 * int(steps)}" if steps else ""


def best(run: Facts) -> str:
    """The best train accuracy, or loss."""
    accuracy, loss = run.curve("train_accuracy"), run.curve("train_loss")
    if accuracy is not None:
        at = accuracy.steps[accuracy.values.argmax()]
        return f"train accuracy came to {accuracy.values.max():.3g} at best, at step {at}"
    return "no train accuracy" if loss is None else f"train loss came to {loss.values.min():.3g} at best"
