"""The four answers at the top of a report: what was learned, when, how this is known, and what is doubtful."""

from math import log
from typing import Any, NamedTuple

from grokinterp.numbers import listed, number, percent, whole
from grokinterp.phases import GENERALIZED, SUSTAINED, Curves
from grokinterp.phases.signals import read_signals
from grokinterp.report.circuit import CLOCK, MEANINGS, PIZZA
from grokinterp.report.doubts import doubts
from grokinterp.report.last_measures import last_measures, last_step
from grokinterp.report.plate import View

MOST_NAMED = 6
"""Maximum number of frequencies or representations that an answer lists by name."""

SINGULAR = {"key frequencies": "key frequency", "key representations": "key representation"}


class Answer(NamedTuple):
    """An answer to one of the four questions, in sentences.

    Attributes:
        name: its anchor.
        question: the heading.
        sentences: the answer; a list of doubts has an entry for each.
    """

    name: str
    question: str
    sentences: list[str]


def answers(view: View) -> list[Answer]:
    """Return the four answers of a run, each with its numbers."""
    return [
        Answer("learned", "What it learned", learned(view)),
        Answer("dated", "When", dated(view)),
        Answer("known", "How we know", known(view)),
        Answer("doubtful", "What is doubtful", doubts(view)),
    ]


def learned(view: View) -> list[str]:
    """Return sentences on the final accuracy, the circuit, and its key structure."""
    found = _all_answered(view) if "answer" in view.results.metrics.dims else _answered(view)
    circuit = view.results.circuit
    if circuit is not None:
        text = MEANINGS.get(circuit, circuit).format(examples=view.vocabulary.examples)
        found.append(f"It relies on {text}." if circuit != "none" else _no_circuit(view))
    if circuit != "memorizer" and (keys := structure(view)):
        found.append(keys)
    found = found or _losses(view)
    if circuit is None and not view.results.dataset.sizes["step"]:
        found.append("How it computes is unknown: no checkpoint has been analyzed.")
    return found or ["Nothing was measured: see Provenance."]


def _no_circuit(view: View) -> str:
    """Return a sentence on a network without a circuit verdict, with the reason if it has not generalized cleanly."""
    accuracy = last_measures(view).get("test_accuracy")
    if accuracy is None or accuracy >= SUSTAINED.memorized:
        return "No known circuit was identified."
    return (
        f"No circuit was identified: that requires {percent(SUSTAINED.memorized)} correct answers outside the training "
        "set."
    )


def _losses(view: View) -> list[str]:
    """Return a sentence on the last losses of a run without accuracies, compared with that of equal logits."""
    measured, unit = last_measures(view), "" if view.vocabulary.unit == "1" else f" {view.vocabulary.unit}"
    losses = {name: measured[f"{name}_loss"] for name in ("test", "train") if f"{name}_loss" in measured}
    if not losses:
        return []
    text = listed([f"its {name} loss is {number(loss)}{unit}" for name, loss in losses.items()])
    chance = view.results.chance if view.vocabulary.loss == "cross-entropy" else None
    guess = "" if chance is None else f" (guessing: {number(-log(chance))})"
    return [f"At the end, {text}{guess}."]


def _answered(view: View) -> list[str]:
    """Return sentences on the final accuracies."""
    measured, found = last_measures(view), []
    accuracy, trained = measured.get("test_accuracy"), measured.get("train_accuracy")
    if accuracy is not None:
        examples = f"test {view.vocabulary.examples}"
        found.append(
            f"At the end, it answers {percent(accuracy)} of the {examples} correctly{_chance(view)}{_leak(view)}."
        )
    elif (of_all := measured.get("all_accuracy")) is not None:
        found.append(f"It answers {percent(of_all)} of all {view.vocabulary.examples} correctly{_chance(view)}.")
    if trained is not None and (accuracy is None or accuracy < SUSTAINED.threshold):
        found.append(f"It answers {percent(trained)} of the training {view.vocabulary.examples} correctly.")
    return found


def _all_answered(view: View) -> list[str]:
    """Return sentences on the final accuracies of a run with several answers, and of the analyzed answer."""
    metrics, examples, analyzed = view.results.metrics, view.vocabulary.examples, view.results.answer
    test, train = (percent(float(metrics[f"{part}_accuracy"].values[-1])) for part in ("test", "train"))
    found = [
        f"At the end, all {metrics.sizes['answer']} answers are correct in {test} of the test {examples} and in "
        f"{train} of the training {examples}{_leak(view)}."
    ]
    accuracy = last_measures(view).get("test_accuracy")
    if analyzed is not None and accuracy is not None:
        correct = f"is correct in {percent(accuracy)} of the test {examples} that ask for it{_chance(view)}"
        found.append(f"Answer {analyzed}, counted from 0, to which the analyses refer, {correct}.")
    return found


def structure(view: View) -> str:
    """Return a sentence on the key frequencies or representations; "" if none were looked for."""
    measured = last_measures(view)
    if view.vocabulary.has_frequencies and view.results.key_frequencies is not None:
        return _keys("key frequencies", [str(key) for key in view.results.key_frequencies])
    if "key_irreps" in measured:
        similarity = measured["irrep_similarity"]
        return _keys("key representations", sorted(measured["key_irreps"], key=lambda name: -(similarity[name] or 0)))
    return ""


def _keys(kind: str, names: list[str]) -> str:
    if not names:
        return f"It has no {kind}."
    shown = listed(names) if len(names) <= MOST_NAMED else f"{', '.join(names[:MOST_NAMED])}, …"
    return f"Its {kind if len(names) > 1 else SINGULAR[kind]}: {shown}."


def dated(view: View) -> list[str]:
    """Return sentences on the steps of memorization and generalization, and on a run that did not generalize."""
    history, results = view.history, view.results
    if results.no_history is not None:
        return [f"Unknown: the run {results.no_history}."]
    if history is None:
        return ["Unknown: the run has no evaluations."]
    memorized, generalized, last = history.memorized_step, history.generalized_step, last_step(view)
    train, test = _criteria(view)
    found = [_not_memorized(view, last) if memorized is None else f"Its {train} at step {whole(memorized)}."]
    if generalized is None:
        found.append(_not_generalized(view, last))
    else:
        ratio = f", after {number(generalized / memorized)} times as many steps" if memorized else ""
        stays = "" if history.verdict in GENERALIZED else f" It does not stay there: {history.verdict}."
        found.append(f"Its {test} at step {whole(generalized)}{ratio}.{stays}")
    if len(history.phases) > 1:
        names = [f"{phase.name} to step {whole(phase.stop - 1)}" for phase in history.phases]
        found.append(f"Phases: {', '.join(names)}.")
    return found


def _criteria(view: View) -> tuple[str, str]:
    """Return what dates memorization and generalization: accuracies or, for curves without them, losses."""
    if "test_accuracy" not in view.results.metrics:
        falls = f"loss falls below {number(_fitted_loss(view))}"
        return f"train {falls} (accuracies were not recorded)", f"test {falls}"
    near = "" if view.results.n_test is None else ", to within one standard error,"
    train = f"train accuracy reaches {SUSTAINED.memorized:g}"
    return train, f"test accuracy reaches {SUSTAINED.threshold:g}{near}"


def _fitted_loss(view: View) -> float:
    """Return the loss below which a curve without accuracies counts as fitted."""
    return read_signals(Curves.from_dataset(view.results.metrics), SUSTAINED).levels.fitted


def _not_memorized(view: View, last: str) -> str:
    """Return a sentence on a run that did not reach the train accuracy of memorization, if it could memorize."""
    if view.results.directory.experiment.get("data") == "infinite":
        return f"Its train accuracy, on new {view.vocabulary.examples}, does not reach {SUSTAINED.memorized:g}."
    return f"It does not memorize its training {view.vocabulary.examples} within {last} steps."


def _not_generalized(view: View, last: str) -> str:
    """Return a sentence on the test accuracy of a run that did not generalize."""
    metrics = view.results.metrics
    if "test_accuracy" not in metrics:
        return f"Its test loss does not stay below {number(_fitted_loss(view))} within {last} steps."
    reached = bool((metrics["test_accuracy"] >= SUSTAINED.threshold).any())
    how = "does not stay at" if reached else "never reaches"
    return f"It {how} a test accuracy of {SUSTAINED.threshold:g} within {last} steps."


def known(view: View) -> list[str]:
    """Return sentences on necessity, sufficiency and their controls, or the reason why they are unknown."""
    measured = last_measures(view)
    if "necessity" not in measured:
        analyzed = bool(view.results.dataset.sizes["step"])
        why = "causal_evidence was not analyzed" if analyzed else "no checkpoint has been analyzed"
        why = view.results.not_defined.get("causal_evidence", why)
        return [*_tested(view), *_fit(view), f"No causal evidence: {why}."]
    if measured["necessity"] is None:
        return [*_tested(view), *_fit(view), "No causal evidence: its value is not finite."]
    name, kind, control = (
        ("key_frequencies", "key frequencies", "random other frequencies")
        if view.vocabulary.has_frequencies
        else ("key_irreps", "key representations", "random other parts")
    )
    if measured.get(name) == []:
        return [*_tested(view), *_fit(view), f"No causal evidence: the network has no {kind} to remove."]
    if not measured["necessity"] and not measured.get("sufficiency"):
        apart = ", mirror images excluded," if view.results.leaked_share else ""
        return [
            "Neither necessity nor sufficiency can be measured: "
            f"on held-out {view.vocabulary.examples}{apart} the loss is no lower than that of guessing."
        ]
    need, enough, without, alone = (
        percent(measured.get(name)) for name in ("necessity", "sufficiency", "necessity_control", "sufficiency_control")
    )
    held_out = f"held-out {view.vocabulary.examples}"
    return [
        f"Necessity: without the {kind}, the loss on {held_out} rises by {need} of the chance loss, its cap here. "
        f"Control: without {control}, {without}.",
        f"Sufficiency: the {kind} alone bring that loss {enough} of the way from chance to zero. Control: {alone}.",
        *_symmetricity(measured),
    ]


def _symmetricity(measured: dict[str, Any]) -> list[str]:
    """Return a sentence on the evidence for the kind of circuit and its distance to the nearest threshold."""
    value, error = measured.get("gradient_symmetricity"), measured.get("gradient_symmetricity_error")
    if value is None or measured.get("circuit") not in ("clock", "pizza", "mixed"):
        return []
    uncertain = "" if error is None else f" ± {number(error)}"
    return [
        f"Circuit: the gradient symmetricity is {number(value)}{uncertain}; a clock has at most {CLOCK:g}, "
        f"a pizza at least {PIZZA:g}."
    ]


def _tested(view: View) -> list[str]:
    n = view.results.n_test
    if n is None:
        return []
    tested = "answers were tested" if "test_accuracy" in view.results.metrics else "loss was measured"
    return [f"Its {tested} on {whole(n)} {view.vocabulary.examples} that it never trained on."]


def _fit(view: View) -> list[str]:
    """Return a sentence on how much of the logits the circuit explains, for a circuit without causal evidence."""
    by_group = view.results.circuit == "irrep-based"
    share = last_measures(view).get("irreps_explained" if by_group else "logit_fve")
    if share is None or view.results.circuit in ("memorizer", "none", None):
        return []
    parts = "characters of the group" if by_group else "key frequencies"
    return [f"The {parts} explain {percent(share)} of the variance of the logits."]


def _leak(view: View) -> str:
    """Return a clause on test examples that symmetry answers; "" if there are none."""
    leaked, examples = view.results.leaked_share, view.vocabulary.examples
    return f"; {percent(leaked)} of the test {examples} are mirror images of training {examples}" if leaked else ""


def _chance(view: View) -> str:
    chance = view.results.chance
    return "" if chance is None else f" (chance: {percent(chance)})"
