"""Figure of the verdict on the circuit at every checkpoint, with its evidence."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from grokinterp.figures.series import (
    STEP,
    Phases,
    curves,
    draw_lines,
    draw_phases,
    legend_beside,
    lines_of,
    step_limits,
    step_ticks,
    whole_shares,
)
from grokinterp.figures.style import (
    BLUE,
    BROWN,
    GRAY,
    GREEN,
    ORANGE,
    PINK,
    PURPLE,
    blank,
    place,
    styled,
)

__all__ = ["circuit_verdict"]

CIRCUIT_COLORS = {
    "clock": BLUE,
    "pizza": ORANGE,
    "mixed": PURPLE,
    "additive": BROWN,
    "irrep-based": GREEN,
    "memorizer": "#8a94a0",
    "none": "#e4e7eb",
}
"""Color of each circuit; figures also name every circuit."""

EVIDENCE = {
    "gradient_symmetricity": ("gradient symmetricity", BLUE, "-"),
    "distance_irrelevance": ("distance irrelevance", ORANGE, "-"),
    "distance_irrelevance_runner_up": ("irrelevance, runner-up", ORANGE, ":"),
    "circularity": ("circularity", GREEN, "-"),
}

TEMPLATES = {
    "clock_fve": ("clock template", BLUE, "-"),
    "pizza_fve": ("pizza template", ORANGE, "-"),
    "pizza_preference": ("pizza − clock, per circle", GREEN, ":"),
}

LEFT, PLOT_INCHES = 0.75, 7.2  # as in the timeline


@styled()
def circuit_verdict(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the verdict on the circuit at every checkpoint as a colored strip, above the curves of its evidence."""
    if "is_circuit" not in dataset or not dataset.sizes["step"]:
        return None
    panels = [
        (title, y_label, lines)
        for title, y_label, names in (
            ("Evidence", "share or cosine [1]", EVIDENCE),
            ("Fit of the logits", "variance explained [1]", TEMPLATES),
        )
        if (lines := lines_of(dataset, names))
    ]
    if dataset.sizes["step"] == 1:
        lines = [line for _, _, lines in panels for line in lines]
        return curves(f"Circuit: {verdicts(dataset)[0]}", "share or cosine [1]", lines, phases)
    figure = blank(10.0, 1.15 + 1.75 * len(panels))
    strip = place(figure, LEFT, 0.3, PLOT_INCHES, 0.32)
    rows = [place(figure, LEFT, 1.02 + 1.75 * i, PLOT_INCHES, 1.32) for i in range(len(panels))]
    draw_strip(strip, dataset["step"].values, verdicts(dataset))
    for axes, (title, y_label, lines) in zip(rows, panels, strict=True):
        draw_lines(axes, lines)
        draw_phases(axes, phases)
        whole_shares(axes)
        axes.axhline(0, color=GRAY, linewidth=0.8, zorder=0)
        axes.set(title=title, ylabel=y_label)
        axes.yaxis.set_label_coords(-0.52 / PLOT_INCHES, 0.5)
        legend_beside(axes)
    for axes in (strip, *rows):
        step_ticks(axes)
        step_limits(axes, dataset["step"].values)
        axes.tick_params(labelbottom=axes is [strip, *rows][-1])
    [strip, *rows][-1].set_xlabel(STEP)
    return figure


def verdicts(dataset: xr.Dataset) -> list[str]:
    """Return the name of the circuit at each checkpoint."""
    names, chosen = dataset["circuit"].values, dataset["is_circuit"].transpose("step", "circuit").values.astype(bool)
    return [str(names[row.argmax()]) if row.any() else "none" for row in chosen]


def draw_strip(axes: Axes, steps: np.ndarray, names: Sequence[str]) -> None:
    """Draw each verdict's color between the midpoints to the neighboring checkpoints."""
    middle = (steps[1:] + steps[:-1]) / 2
    borders = np.concatenate([steps[:1], middle, [max(steps[-1], steps[0] + 1)]])
    starts = [i for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
    for start, stop in zip(starts, [*starts[1:], len(names)], strict=True):
        axes.axvspan(borders[start], borders[stop], color=_color(names[start]), linewidth=0)
    axes.set(title="Circuit", yticks=[], ylim=(0, 1))
    axes.set_ylabel("verdict", labelpad=18)
    axes.spines[:].set_visible(False)
    shown = [name for name in CIRCUIT_COLORS if name in names]
    patches = [Patch(color=_color(name), label=name) for name in shown]
    axes.legend(handles=patches, loc="center left", bbox_to_anchor=(1.01, 0.5), borderaxespad=0.0,
                ncols=2 if len(shown) > 2 else 1, columnspacing=0.9, handlelength=1.0)  # fmt: skip


def _color(name: str) -> str:
    return CIRCUIT_COLORS.get(name, PINK)
