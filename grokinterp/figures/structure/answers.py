"""Figures of the spectra of answers and operands for operands that do not form a group."""

import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from grokinterp.figures.groups import character_similarity
from grokinterp.figures.series import (
    Phases,
    curves,
    legend_below,
    lines_of,
    small,
)
from grokinterp.figures.style import (
    BLUE,
    BROWN,
    ORANGE,
    styled,
)

__all__ = ["answer_similarity", "answers_explained", "operand_power"]


def answer_similarity(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the similarity of the logits with the key characters of the answer's group, and the threshold."""
    return character_similarity(
        dataset, phases, "answer_similarity", "is_key_answer", "answer_threshold", "Key representations of the answers"
    )


def answers_explained(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the share of the logits' variance explained by the characters of the answer's group."""
    lines = lines_of(dataset, {"answer_fve": ("logits, by characters", BROWN)})
    title = "Explained by characters of the answer"
    return curves(title, "share of variance [1]", lines, phases, shares=True, marks=True)


@styled()
def operand_power(dataset: xr.Dataset) -> Figure | None:
    """Draw the share of each operand's variance at every additive frequency, at the last checkpoint."""
    if "operand_power" not in dataset or not dataset.sizes["step"]:
        return None
    last = dataset["operand_power"].isel(step=-1)
    figure, axes = small([str(name) for name in last["operand"].values])
    frequencies = last["residue_frequency"].values
    for i, (name, color) in enumerate(zip(last["operand"].values, (BLUE, ORANGE), strict=False)):
        axes.bar(frequencies + 0.4 * i - 0.2, last.sel(operand=name).values, width=0.38, color=color, label=str(name),
                 linewidth=0)  # fmt: skip
    axes.set(title="Operand representation", xlabel="additive frequency of the residues", ylim=(0, None))
    axes.set_ylabel("share of variance [1]")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    legend_below(figure, axes)
    return figure
