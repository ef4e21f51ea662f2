"""Describe the course of each phase in sentences that assert only what was measured in the run."""

import numpy as np
import xarray as xr

from grokinterp.numbers import number
from grokinterp.phases import History, Phase
from grokinterp.report.vocabulary import Vocabulary
from grokinterp.runs.results import Results

BUILT = {
    "logit_fve": "the share of the logits that the key frequencies explain",
    "irreps_explained": "the share of the logits that the characters explain",
    "restricted_loss": "the restricted loss",
    "excluded_loss": "the excluded loss",
}
"""Measures of the generalizing circuit; the characters of a cyclic group repeat its frequencies and are omitted."""


def meaning(phase: Phase, history: History, results: Results, vocabulary: Vocabulary) -> str:
    """Return a description of the phase in a few sentences, with numbers from its start and end."""
    metrics, learned = results.metrics, f"training {vocabulary.examples}"
    found = {
        "memorization": [_memorized(history, learned), _moves(metrics, phase, "train_accuracy", "test_accuracy")],
        "circuit formation": [
            f"The {learned} have been learned; the test {vocabulary.examples} have not.",
            _moves(metrics, phase, "test_accuracy", "test_loss"),
            _circuit(results.dataset, phase),
        ],
        "cleanup": [
            "The test loss has left its plateau.",
            _moves(metrics, phase, "test_loss", "weight_norm"),
            _circuit(results.dataset, phase),
        ],
        "generalization": [_generalized(history), _moves(metrics, phase, "test_accuracy", "test_loss")],
        "decline": [
            "The network loses what it learned and does not recover by the end of the run.",
            _moves(metrics, phase, "train_accuracy", "test_accuracy"),
        ],
    }[phase.name]
    return " ".join(sentence for sentence in found if sentence)


def _memorized(history: History, learned: str) -> str:
    if history.memorized_step is None:
        return f"The {learned} are not memorized."
    return f"The network learns the {learned}."


def _generalized(history: History) -> str:
    if history.verdict == "unstable":
        return "The network generalizes repeatedly but does not stay generalized."
    return "The network generalizes."


NAMES = {
    "train_accuracy": "train accuracy",
    "test_accuracy": "test accuracy",
    "test_loss": "test loss",
    "weight_norm": "Σθ²",
}


def _moves(metrics: xr.Dataset, phase: Phase, *names: str) -> str:
    """Return how metrics changed from the first evaluation of a phase to the first evaluation after it."""
    steps = metrics["step"].values
    ends = [min(int(np.searchsorted(steps, step)), len(steps) - 1) for step in (phase.start, phase.stop)]
    known = [(NAMES[name], *metrics[name].values[ends]) for name in names if name in metrics]
    return _sentence(known)


def _circuit(dataset: xr.Dataset, phase: Phase) -> str:
    """Return how the measures of the circuit changed between the checkpoints inside the phase."""
    steps = dataset["step"].values
    inside = np.flatnonzero((steps >= phase.start) & (steps < phase.stop))
    if len(inside) < 2:
        return ""
    names = [name for name in BUILT if name in dataset and not (name == "irreps_explained" and "logit_fve" in dataset)]
    return _sentence([(BUILT[name], *dataset[name].values[inside[[0, -1]]]) for name in names])


def _sentence(moves: list[tuple[str, float, float]]) -> str:
    texts = [
        f"{name} from {number(float(first))} to {number(float(last))}"
        for name, first, last in moves
        if np.isfinite(first) and np.isfinite(last)
    ]
    if not texts:
        return ""
    texts[0] = texts[0].replace(" from ", " went from ", 1)
    joined = f"{', '.join(texts[:-1])} and {texts[-1]}" if len(texts) > 1 else texts[0]
    return f"{joined[0].upper()}{joined[1:]}."
