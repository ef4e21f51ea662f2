"""Read the reduced landscape L(‖θ‖) from the runs of a study that were trained at a constrained norm."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from grokinterp.figures.sweeps.networks import Landscape
from grokinterp.numbers import number
from grokinterp.sweep_report.study import Study

CONSTRAINED, SCALE = "optimization.constrain_norm", "optimization.init_scale"
MEASURES = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")

MOST = 4
"""Largest number of settings that are drawn."""

GENERALIZED = 0.95
"""Test accuracy from which a norm counts as one at which networks generalize."""


def finding(of: Landscape) -> str:
    """Return a sentence on the norm with the lowest test loss, and on the norms at which the networks generalize."""
    scales = np.unique(of.scale)
    norm, loss, accuracy = (
        np.array([np.nanmedian(values[of.scale == scale]) for scale in scales])
        for values in (of.norm, of.test_loss, of.test_accuracy)
    )
    lowest = int(np.nanargmin(loss))
    where = f"‖θ‖ = {number(norm[lowest])}, {number(scales[lowest])} times the usual initial norm"
    subject = f"At a constrained norm{f' ({of.name})' if of.name else ''}, the median test loss is lowest at {where}"
    return f"{subject}; the median test accuracy reaches 95 % {at_norms(norm[accuracy >= GENERALIZED])}."


def at_norms(norms: Float[np.ndarray, "norm"]) -> str:
    """Return the norms at which networks generalize as the end of a sentence.

    >>> at_norms(np.array([])), at_norms(np.array([2.5])), at_norms(np.array([2.0, 3.0, 4.0]))
    ('at no norm', 'at ‖θ‖ = 2.5 only', 'at norms from 2 to 4')
    """
    if not len(norms):
        return "at no norm"
    low, high = number(float(norms.min())), number(float(norms.max()))
    return f"at ‖θ‖ = {low} only" if len(norms) == 1 else f"at norms from {low} to {high}"


class Landscapes(NamedTuple):
    """The landscapes of a study, those with most runs first, and the unit of the losses."""

    settings: list[Landscape]
    unit: str

    @property
    def drawn(self) -> list[Landscape]:
        """The landscapes that are drawn."""
        return self.settings[:MOST]

    @property
    def not_drawn(self) -> int:
        """The number of further landscapes."""
        return len(self.settings) - len(self.drawn)


def landscapes_of(study: Study) -> Landscapes | str:
    """Return the landscape of every setting with runs at two norms or more, or the reason why there is none."""
    axes = [axis for axis in (study.x, *study.others) if axis is not None]
    norm_axis = next((axis for axis in axes if SCALE in axis.keys), None)
    kept = np.array([one.get(CONSTRAINED) is True for one in study.runs["settings"]], dtype=bool)
    if not kept.any():
        return "no run kept its norm, see optimization.constrain_norm"
    if norm_axis is None:
        return "the runs were kept at one norm; optimization.init_scale varies it"
    groups: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    ended = kept & (study.runs["status"] == "finished").to_numpy() & study.runs["final_weight_norm"].notna().to_numpy()
    for i in np.flatnonzero(ended):
        groups[tuple(axis.codes[i] for axis in axes if axis is not norm_axis)].append(int(i))
    settings = []
    for codes, rows in sorted(groups.items(), key=lambda item: -len(item[1])):
        named = zip((axis for axis in axes if axis is not norm_axis), codes, strict=True)
        name = ", ".join(f"{axis.name} {axis.texts[code]}" for axis, code in named)
        found = landscape_of(name, study.runs.iloc[rows])
        if len(np.unique(found.scale)) > 1:
            settings.append(found)
    losses = {one.get("optimization.loss") for one in study.runs["settings"]}
    return (
        Landscapes(settings, "1" if "mse" in losses else "nats") if settings else "fewer than two norms have ended runs"
    )


def landscape_of(name: str, runs: pd.DataFrame) -> Landscape:
    """Return the final measures of some runs over the norm of their weights."""
    scale = np.array([float(one[SCALE]) for one in runs["settings"]])
    norm = np.sqrt(runs["final_weight_norm"].to_numpy(float))
    return Landscape(name, norm, scale, *(runs[f"final_{measure}"].to_numpy(float) for measure in MEASURES))
