"""The key numbers at the top of the report."""

from typing import Any, NamedTuple

import numpy as np

from grokinterp.numbers import ABSENT, number, percent, whole
from grokinterp.phases import GENERALIZED, SUSTAINED, History
from grokinterp.report.vocabulary import Vocabulary
from grokinterp.runs.results import Results

OF_SOME = {
    "validation_accuracy": "validation accuracy",
    "noisy_accuracy": "mislabeled, as labeled",
    "restored_accuracy": "mislabeled, true answer",
}
"""Metrics that only some runs have."""


CHECKED = "last checkpoint"
"""The source of a number, unless only the metrics contain it."""

MOST_NAMED = 4
"""Maximum number of representations that a tile lists by name."""


class Tile(NamedTuple):
    """A key number."""

    label: str
    value: str
    note: str


def tiles(results: Results, history: History | None, vocabulary: Vocabulary) -> list[Tile]:
    """Return tiles on memorization, generalization, accuracy, loss, and the structure of the logits."""
    measured, unit = results.measures(), vocabulary.loss if vocabulary.unit == "1" else vocabulary.unit
    row = last_row(results) if vocabulary.is_recorded else {}
    at = {name: "last evaluation" for name in row if name not in measured}
    measured = row | measured
    if vocabulary.has_frequencies:
        made_of = structure(results, measured, unit, vocabulary.examples)
    else:
        made_of = separation(measured, vocabulary, unit, at)
        if "key_irreps" in measured:
            made_of = [*representations(measured), made_of[0], made_of[-1]]
    if vocabulary.is_recorded:
        made_of = [tile for tile in made_of if tile.value != ABSENT]
    return [
        Tile("memorized at", _step(history, "memorized_step"), f"train accuracy ≥ {SUSTAINED.memorized:g}"),
        Tile("generalized at", _step(history, "generalized_step"), _lasting(history)),
        Tile("test accuracy", percent(measured.get("test_accuracy")), at.get("test_accuracy", CHECKED)),
        *computes_with(measured),
        *made_of,
        Tile("test loss", number(measured.get("test_loss")), f"{unit}, {at.get('test_loss', CHECKED)}"),
        *(Tile(OF_SOME[name], _last(results, name), "last evaluation") for name in OF_SOME if name in results.metrics),
    ]


def last_row(results: Results) -> dict[str, Any]:
    """Return the finite metrics of the last evaluation that replace measures without an analysis."""
    names = ("train_loss", "test_loss", "test_accuracy", "weight_norm")
    columns = {name: results.metrics[name].values for name in names if name in results.metrics}
    return {name: float(values[-1]) for name, values in columns.items() if values.size and np.isfinite(values[-1])}


def computes_with(measured: dict[str, Any]) -> list[Tile]:
    """Return a tile with the circuit of the last checkpoint, if one was found."""
    if measured.get("circuit") in (None, "none"):
        return []
    score, other = measured.get("causal_score"), measured.get("circuit_close_to")
    known = [*([f"close to {other}"] if other else []), *([] if score is None else [f"causal score {number(score)}"])]
    return [Tile("circuit", measured["circuit"], ", ".join(known) or "last checkpoint")]


def structure(results: Results, measured: dict[str, Any], unit: str, examples: str) -> list[Tile]:
    """Return tiles on the key frequencies and how much of the logits they explain."""
    keys = results.key_frequencies
    shown = "not measured" if keys is None else ", ".join(map(str, keys)) or "none"
    return [
        Tile("key frequencies", shown, nearly(measured, "key_frequencies")),
        Tile("logits explained", percent(measured.get("logit_fve")), "by the key frequencies"),
        Tile("restricted loss", number(measured.get("restricted_loss")), f"{unit}, all {examples}"),
        Tile("excluded loss", number(measured.get("excluded_loss")), f"{unit}, train {examples}"),
    ]


def representations(measured: dict[str, Any]) -> list[Tile]:
    """Return tiles on the key representations of a non-cyclic group and how much of the logits they explain."""
    keys, similarity = measured["key_irreps"], measured["irrep_similarity"]
    shown = ", ".join(sorted(keys, key=lambda name: -(similarity[name] or 0))) or "none"
    if len(keys) > MOST_NAMED:
        shown = f"{len(keys)} of {len(similarity)}"
    return [
        Tile("key representations", shown, nearly(measured, "key_irreps")),
        Tile("logits explained", percent(measured.get("irreps_explained")), "by the characters"),
    ]


def nearly(measured: dict[str, Any], kind: str) -> str:
    """Return the nearly key entries with their similarity on held-out pairs and their threshold."""
    found = measured.get(f"nearly_{kind}") or {}
    named = [f"{label} ({number(of['similarity'])} of {number(of['threshold'])})" for label, of in found.items()]
    return f"nearly key: {', '.join(named[:MOST_NAMED])}" if named else CHECKED


def separation(measured: dict[str, Any], vocabulary: Vocabulary, unit: str, at: dict[str, str]) -> list[Tile]:
    """Return tiles on how clearly the correct answers stand out, for tasks without frequencies."""
    margin = (measured.get("logit_margin") or {}).get("test")
    apart = number(measured.get("class_cosine_between"))
    return [
        Tile("logit margin", number(margin), f"test {vocabulary.examples} [{vocabulary.logit_unit}]"),
        Tile("cosine in a class", number(measured.get("class_cosine_within_mean")), f"between classes: {apart}"),
        Tile("weight norm", number(measured.get("weight_norm")), f"sum of squares, {at.get('weight_norm', CHECKED)}"),
        Tile("train loss", number(measured.get("train_loss")), f"{unit}, {at.get('train_loss', CHECKED)}"),
    ]


def _lasting(history: History | None) -> str:
    """Return the rule that dates generalization, with a note if the run did not sustain it."""
    rule = f"sustained test accuracy ≥ {SUSTAINED.threshold:g}"
    kept = history is None or history.generalized_step is None or history.verdict in GENERALIZED
    return rule if kept else f"{rule}, later lost"


def _last(results: Results, name: str) -> str:
    return percent(float(results.metrics[name][-1]))


def _step(history: History | None, name: str) -> str:
    if history is None:
        return "unknown"
    step: int | None = getattr(history, name)
    return "never" if step is None else f"step {whole(step)}"
