"""One plot for each measure, with a curve for each setting: the median over its runs, their range, and each run."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from grokinterp.page.plot_axes import Axis, ratio_axis, step_axis, value_axis
from grokinterp.page.plots import Curve, Plot, line_plot
from grokinterp.report.comparison.groups import Group
from grokinterp.report.comparison.run import Compared, Series

MOST_RUNS = 12
"""Largest number of runs of a setting that are drawn individually."""

ALIGNED = ("test_accuracy", "test_loss", "train_loss", "weight_norm", "restricted_loss", "excluded_loss", "logit_fve",
           "irreps_explained", "gini_embedding")  # fmt: skip
"""The measures that are also drawn over the step in units of the step of generalization."""

RELATIVE = "step ÷ step of generalization"


class Overlay(NamedTuple):
    """The curves of one measure, by group: the place of the group, and the curves of its runs with their names."""

    key: str
    label: str
    unit: str
    is_chosen: bool
    parts: list[tuple[int, list[tuple[str, np.ndarray, np.ndarray]]]]


def overlays(groups: Sequence[Group]) -> list[Overlay]:
    """Return every measure that at least one run has over steps, first those that reports follow."""
    names = dict.fromkeys(key for group in groups for run in group.runs for key in run.curves)
    found = [overlay(key, groups) for key in names]
    return sorted(found, key=lambda one: not one.is_chosen)


def overlay(key: str, groups: Sequence[Group]) -> Overlay:
    """Return the curves of a measure."""
    parts = [(i, [curve for run in group.runs if (curve := curve_of(run, key))]) for i, group in enumerate(groups)]
    has = [run.curves[key] for group in groups for run in group.runs if key in run.curves]
    label, unit = (
        " or ".join(dict.fromkeys(texts)) for texts in zip(*((one.label, one.unit) for one in has), strict=True)
    )
    return Overlay(key, label, unit, has[0].is_chosen, [(i, curves) for i, curves in parts if curves])


def curve_of(run: Compared, key: str) -> tuple[str, np.ndarray, np.ndarray] | None:
    """Return the name of a run and its curve of a measure; None without one."""
    found: Series | None = run.curves.get(key)
    return None if found is None else (run.name, found.steps.astype(float), found.values)


def aligned(one: Overlay, groups: Sequence[Group]) -> Overlay | None:
    """Return the curves of the runs that generalized, over the step in units of that of generalization."""
    scale = {run.name: float(run.generalized) for group in groups for run in group.runs if run.generalized}
    parts = [(i, [(name, x / scale[name], y) for name, x, y in curves if name in scale]) for i, curves in one.parts]
    parts = [(i, curves) for i, curves in parts if curves]
    return one._replace(parts=parts) if sum(len(curves) for _, curves in parts) > 1 else None


def drawn(one: Overlay, groups: Sequence[Group], *, is_relative: bool = False) -> Plot:
    """Return the plot of a measure."""
    curves = [curve for i, runs in one.parts for curve in group_curves(groups[i], i, runs, is_alone=len(groups) == 1)]
    steps = [x for _, runs in one.parts for _, x, _ in runs]
    x = ratio_axis(steps, RELATIVE) if is_relative else step_axis(steps)
    return line_plot(one.label, curves, x, y_axis(one), description=described(one, groups))


def y_axis(one: Overlay) -> Axis:
    """Return the axis of the values of a measure."""
    values = [y for _, runs in one.parts for _, _, y in runs]
    is_share = one.unit == "1" and any(word in one.label for word in ("accuracy", "share", "explained", "Gini"))
    return value_axis(values, f"[{one.unit}]" if one.unit not in ("1", "") else "", is_share=is_share)


def group_curves(
    group: Group, look: int, runs: Sequence[tuple[str, np.ndarray, np.ndarray]], *, is_alone: bool
) -> list[Curve]:
    """Return the curves of a setting: each run if there are few, and their median with the range around it."""
    mark = "" if is_alone else group.letter
    if len(runs) == 1:
        name, x, y = runs[0]
        return [Curve(f"{group.title}: {name}", mark, look, x, y)]
    faint = [Curve(f"{group.title}: {name}", "", look, x, y, is_faint=True) for name, x, y in runs]
    x, values = on_common_steps([(x, y) for _, x, y in runs])
    label = f"{group.title}: median of {len(runs)} runs"
    if not x.size:
        return faint
    middle = Curve(label, mark, look, x, np.median(values, axis=0), values.min(axis=0), values.max(axis=0))
    return [*(faint if len(runs) <= MOST_RUNS else []), middle]


def on_common_steps(curves: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps that all curves cover, and their values there [curve, step], linear between evaluations.

    >>> x, values = on_common_steps([(np.array([0.0, 2.0]), np.array([0.0, 4.0])), (np.array([1.0]), np.array([5.0]))])
    >>> x.tolist(), values.tolist()
    ([1.0], [[2.0], [5.0]])
    """
    curves = list(curves)
    first, last = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    steps = np.unique(np.concatenate([x for x, _ in curves]))
    steps = steps[(steps >= first) & (steps <= last)]
    return steps, np.stack([np.interp(steps, x, y) for x, y in curves])


def described(one: Overlay, groups: Sequence[Group]) -> str:
    """Return the alternative text of a plot: the last value of every setting."""
    ends = (f"{groups[i].title}: {np.median([y[-1] for _, _, y in runs]):.3g} at the end" for i, runs in one.parts)
    return f"{one.label} over training. {'; '.join(ends)}."
