"""Figures of the families of modes, the key directions, and the phases of the neurons."""

import seaborn as sns
import xarray as xr
from matplotlib.figure import Figure

from grokinterp.figures.series import (
    Line,
    Phases,
    curves,
)
from grokinterp.figures.style import (
    BLUE,
    BROWN,
    GRAY,
    GREEN,
    ORANGE,
    QUIET,
)

__all__ = ["key_directions", "logit_modes", "neuron_modes", "phase_alignment"]

FAMILY_COLORS = {"(k, k)": BLUE, "(k, -k)": ORANGE, "a only": GREEN, "b only": BROWN, "generic": GRAY}

MOST_KEYS = 9


def neuron_modes(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the share of the last hidden layer's variance in every family of modes."""
    return _families(dataset, "neuron_mode_share", "Modes of the neurons", phases)


def logit_modes(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the share of the logits' variance in every family of modes."""
    return _families(dataset, "logit_mode_share", "Modes of the logits", phases)


def key_directions(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the share of variance along each key direction that is a wave in a + b, mean of cosine and sine."""
    if "direction_fve" not in dataset or not dataset.sizes["step"]:
        return None
    values = dataset["direction_fve"]
    mean = values.mean("axis")  # mean over finite values
    keys = values["key"].values[:MOST_KEYS]
    colors = sns.color_palette("colorblind", len(keys)).as_hex()
    lines = [Line(f"k = {key}", mean.sel(key=key), color) for key, color in zip(keys, colors, strict=True)]
    return curves("Neurons along the key directions", "share of variance [1]", lines, phases, shares=True)


def phase_alignment(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the phase alignment of the neurons and its expectation for independent phases."""
    names = {"phase_alignment": ("neurons", BLUE, "-"), "phase_alignment_control": ("independent phases", QUIET, ":")}
    lines = [Line(label, dataset[name], *look) for name, (label, *look) in names.items() if name in dataset]
    return curves("Phase alignment", "mean resultant length [1]", lines, phases, shares=True, marks=True)


def _families(dataset: xr.Dataset, name: str, title: str, phases: Phases) -> Figure | None:
    if name not in dataset or not dataset.sizes["step"]:
        return None
    families = [str(family) for family in dataset["mode_family"].values]
    lines = [
        Line(family, dataset[name].sel(mode_family=family), FAMILY_COLORS.get(family, QUIET)) for family in families
    ]
    return curves(title, "share of variance [1]", lines, phases, shares=True)
