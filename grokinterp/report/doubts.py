"""The doubts about a run: margins of its verdicts, unexplained shares, and missing data, each with its number."""

from grokinterp.numbers import listed, percent, whole
from grokinterp.report.last_measures import last_measures, last_step
from grokinterp.report.plate import View

MOST_NAMED = 6
"""Maximum number of frequencies or representations that a doubt lists by name."""

NEARLY = {"key_frequencies": "key frequencies", "key_irreps": "key representations"}
"""Measures of key structure, with their names in sentences."""

UNEXPLAINED = 0.05
"""Unexplained share of the logits' variance above which the report raises a doubt, unless the network memorized."""

COLLAPSED = 0.01
"""Share of training examples without a usable gradient above which the report raises a doubt."""


def doubts(view: View) -> list[str]:
    """Return what a reader should doubt, each with its number: margins, unexplained shares, and missing data."""
    found = [*_doubts_of_circuit(view), *_doubts_of_dates(view), *_doubts_of_data(view)]
    imported = "release" in view.results.directory.environment
    seed = None if imported else view.results.directory.experiment.get("seed")
    one = "This is one run" if seed is None else f"This is one run, with seed {seed}"
    return [*found, f"{one}: it does not show how often other seeds behave the same way."]


def _doubts_of_circuit(view: View) -> list[str]:
    results, measured, found = view.results, last_measures(view), []
    if results.circuit_close_to:
        found.append(f"The evidence is almost as strong for the circuit “{results.circuit_close_to}”.")
    by_group = not view.vocabulary.has_frequencies
    share = measured.get("irreps_explained" if by_group else "logit_fve")
    if share is not None and 1 - share > UNEXPLAINED and measured.get("circuit") != "memorizer":
        parts = "characters of the group" if by_group else "key frequencies"
        found.append(f"{percent(1 - share)} of the variance of the logits is not explained by the {parts}.")
    for kind in NEARLY:
        if nearly := measured.get(f"nearly_{kind}"):
            names = listed([str(name) for name in nearly][:MOST_NAMED])
            found.append(f"Just below the threshold for {NEARLY[kind]}: {names}.")
            break
    if measured.get("llc_converged") is False:
        found.append("The estimate of the learning coefficient has not converged.")
    collapsed = (measured.get("collapsed_share") or {}).get("float32")
    if collapsed is not None and collapsed > COLLAPSED:
        share_of = f"{percent(collapsed)} of the training {view.vocabulary.examples}"
        found.append(f"In float32, the softmax of {share_of} has collapsed to 1, where a softmax loss stops learning.")
    return found


def _doubts_of_dates(view: View) -> list[str]:
    history, results, found = view.history, view.results, []
    if history is None:
        return ["No phases: their dates need the curves of training."]
    if history.generalized_step is None and history.verdict not in ("grokked", "generalized"):
        found.append(f"A longer run might generalize: this one ends at step {last_step(view)}.")
    steps = results.metrics["step"].values
    if len(steps) > 1:
        near = history.generalized_step if history.generalized_step is not None else int(steps[-1])
        at = min(max(int((steps < near).sum()), 1), len(steps) - 1)
        apart = int(steps[at] - steps[at - 1])
        unit = "step" if apart == 1 else "steps"
        found.append(f"Dates are accurate to within the interval between evaluations, {whole(apart)} {unit}.")
    if history.events:
        count = len(history.events)
        found.append(f"{count} instabilit{'y' if count == 1 else 'ies'} within the phases; see All curves.")
    return found


def _doubts_of_data(view: View) -> list[str]:
    results, found = view.results, []
    if leaked := results.leaked_share:
        found.append(
            f"{percent(leaked)} of the test {view.vocabulary.examples} follow by symmetry from training "
            f"{view.vocabulary.examples}."
        )
    if results.skipped:
        count = len(results.skipped)
        found.append(f"{count} damaged checkpoint{' was' if count == 1 else 's were'} skipped.")
    if results.left_out:
        count = len(results.left_out)
        found.append(f"{count} result file{' was' if count == 1 else 's were'} left out.")
    if results.log_check.faults:
        found.append(f"The log of the metrics is damaged: {results.log_check.faults}.")
    if not results.dataset.sizes["step"]:
        found.append("No checkpoint has been analyzed: nothing is known about the network's internals.")
    return found
