"""Figures of the modes, the key directions and the phases of neurons, with what their captions say."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from grokinterp import figures
from grokinterp.numbers import number, percent
from grokinterp.phases import Phase
from grokinterp.report.absence import Part
from grokinterp.runs.results import Results

MODES = (
    Part("mode families", "neuron_mode_share", "mode_families"),
    Part("neurons along the key directions", "direction_fve", "key_directions"),
    Part("phase alignment", "phase_alignment", "phase_alignment"),
)


def modes(results: Results, phases: Sequence[Phase]) -> list[tuple[Figure | None, str, tuple[str, ...]]]:
    """Figure, caption and analyses of each that there is."""
    families, directions, alignment = (
        results.analyses.get(name, xr.Dataset()) for name in ("mode_families", "key_directions", "phase_alignment")
    )
    drawn = []
    if families.sizes.get("step"):
        of_neurons = "Share of the last hidden layer's variance over all pairs that is a function of a + b, of a − b, "
        of_neurons += f"of one operand, or none of these.{_last(families, 'neuron_mode_share')}"
        of_logits = "The same of the logits: a clock's depend on a + b for every class, a pizza's also on a and on b."
        of_logits += _last(families, "logit_mode_share")
        drawn += [
            (figures.neuron_modes(families, phases), of_neurons, ("mode_families",)),
            (figures.logit_modes(families, phases), of_logits, ("mode_families",)),
        ]
    if directions.sizes.get("step"):
        caption = "How much of the neurons' variance along the directions that the logits read a key frequency from is "
        caption += "α cos w(a + b) + β sin w(a + b); mean of the cosine's and the sine's direction."
        drawn.append((figures.key_directions(directions, phases), caption, ("key_directions",)))
    if alignment.sizes.get("step"):
        drawn.append((figures.phase_alignment(alignment, phases), alignment_caption(alignment), ("phase_alignment",)))
    return drawn


def alignment_caption(alignment: xr.Dataset) -> str:
    """What 1 and the dotted line mean, and around which angle the mismatches of the last checkpoint gather."""
    text = "How closely φ_a + φ_b − φ_out gathers around one angle over the neurons, weighted by their amplitudes: "
    text += "1 if it is the same for all. Dotted: independent phases."
    angle = float(alignment["phase_alignment_angle"][-1])
    return f"{text} At the end the angle is {number(angle)} rad." if np.isfinite(angle) else text


def _last(families: xr.Dataset, name: str) -> str:
    """The largest share of the last checkpoint."""
    last = families[name].isel(step=-1)
    if not np.isfinite(last).all():
        return ""
    best = last.isel(mode_family=int(last.values.argmax()))
    return f" At the end {percent(float(best))} is {best['mode_family'].item()}."
