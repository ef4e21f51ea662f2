"""The measures that a report follows through the phases, with their values at the start and end of each phase."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from grokinterp.figures.circuit.verdict import verdicts
from grokinterp.numbers import change, number
from grokinterp.phases import Phase
from grokinterp.report.vocabulary import Vocabulary


class Measure(NamedTuple):
    """A scalar over the checkpoints, or one entry of a labeled axis.

    ``{examples}``, ``{unit}``, and ``{logit_unit}`` in the label and the unit stand for the names in the run's
    vocabulary.
    """

    name: str
    label: str
    unit: str
    at: dict[str, str] = {}  # noqa: RUF012  (never changed)
    ratio: bool = False


MEASURES = (
    Measure("train_loss", "train loss", "{unit}", ratio=True),
    Measure("test_loss", "test loss", "{unit}", ratio=True),
    Measure("train_accuracy", "train accuracy", "1"),
    Measure("test_accuracy", "test accuracy", "1"),
    Measure("noisy_accuracy", "mislabeled, as labeled", "1"),
    Measure("restored_accuracy", "mislabeled, true answer", "1"),
    Measure("restricted_loss", "restricted loss, all {examples}", "{unit}", ratio=True),
    Measure("excluded_loss", "excluded loss, all keys, train {examples}", "{unit}", ratio=True),
    Measure("trig_loss", "trig loss, test {examples}", "{unit}", {"split": "test"}, ratio=True),
    Measure("logit_fve", "logits explained by the key frequencies of the step", "1"),
    Measure("gini_embedding", "Gini of the embedding spectrum", "1"),
    Measure("gini_neuron_logit", "Gini of the neuron-to-logit spectrum", "1"),
    Measure("causal_score", "causal score of the key structure", "1"),
    Measure("gradient_symmetricity", "gradient symmetricity", "1"),
    Measure("distance_irrelevance", "distance irrelevance", "1"),
    Measure("circularity", "circularity of the embedding", "1"),
    Measure("irreps_explained", "logits explained by the group's characters", "1"),
    Measure("hidden_fve", "last hidden layer explained by the key representations", "1"),
    Measure("specialized_share", "specialized neurons", "1"),
    Measure("logit_margin", "logit margin, train {examples}", "{logit_unit}", {"split": "train"}),
    Measure("collapsed_share", "softmax collapse in float32, train {examples}", "1", {"precision": "float32"}),
    Measure("class_cosine_within_mean", "cosine within a class", "1"),
    Measure("class_cosine_between", "cosine between classes", "1"),
    Measure("effective_rank", "effective rank of W_E", "1", {"matrix": "W_E"}),
    Measure("weight_norm", "weight norm Σθ²", "1", ratio=True),
    Measure("distance_from_initial", "distance of the weights from the first checkpoint", "1", ratio=True),
    Measure("weight_decay_share", "share of weight decay in the update", "1"),
)


class Row(NamedTuple):
    """One measure at each of some checkpoints, and its change from the first to the last; "" for one checkpoint."""

    label: str
    unit: str
    values: tuple[str, ...]
    change: str


def series(dataset: xr.Dataset, measure: Measure) -> xr.DataArray | None:
    """Return the measure over the steps; None if it was not analyzed."""
    if measure.name not in dataset:
        return None
    values = dataset[measure.name]
    for axis, label in measure.at.items():
        if axis not in values.dims or label not in values[axis].values:
            return None
        values = values.sel({axis: label})
    return values


def rows(dataset: xr.Dataset, vocabulary: Vocabulary, steps: Sequence[int]) -> list[Row]:
    """Return the circuit and every measure with a finite value, at some steps of the dataset."""
    if not steps:
        return []
    found = [(measure, series(dataset, measure)) for measure in MEASURES]
    numbers = [
        _row(measure, vocabulary, values, steps)
        for measure, values in found
        if values is not None and np.isfinite(values).any()
    ]
    return [*_circuit_row(dataset, steps), *numbers]


def _circuit_row(dataset: xr.Dataset, steps: Sequence[int]) -> list[Row]:
    """Return the circuit at each step."""
    if "is_circuit" not in dataset:
        return []
    found = verdicts(dataset.sel(step=list(steps)))
    changed = "same" if found[0] == found[-1] else "changed"
    return [Row("circuit", "", tuple(found), changed if len(found) > 1 else "")]


def _row(measure: Measure, vocabulary: Vocabulary, values: xr.DataArray, steps: Sequence[int]) -> Row:
    found = [float(values.sel(step=step)) for step in steps]
    changed = change(found[0], found[-1], ratio=measure.ratio) if len(found) > 1 else ""
    label, unit = measure.label.format(examples=vocabulary.examples), measure.unit.format(**vocabulary._asdict())
    return Row(label, unit, tuple(map(number, found)), changed)


def checkpoints_of(phase: Phase, steps: np.ndarray) -> list[int]:
    """Return the checkpoints nearest to the start and end of a phase: one if they coincide, else two; none if empty.

    >>> checkpoints_of(Phase("cleanup", 120, 210), np.array([0, 100, 200, 300]))
    [100, 200]
    """
    if not len(steps):
        return []
    nearest = [int(steps[np.abs(steps - at).argmin()]) for at in (phase.start, phase.stop)]
    return sorted(set(nearest))
