"""The page of a run in training, which refreshes itself until the run ends; it runs no script."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from grokinterp.numbers import number, percent, whole
from grokinterp.page import asset, environment, policy
from grokinterp.page.html import STYLE
from grokinterp.page.plot_axes import step_axis, value_axis
from grokinterp.page.plots import Curve, Plot, css_of, line_plot
from grokinterp.watch.look import Look, duration

ASSETS = Path(__file__).parents[1] / "report" / "templates"

PARTS = ("train", "test", "validation")
MEASURES = {"loss": "Loss", "accuracy": "Accuracy"}
SINGLE = {"weight_norm": "Weight norm Σθ²", "gradient_norm": "Gradient norm", "logit_margin": "Logit margin",
          "learning_rate": "Learning rate"}  # fmt: skip
"""Metrics that have a plot of their own."""


def page(look: Look, *, every: int | None, written: float) -> str:
    """Return the page.

    Args:
        look: the run.
        every: seconds after which the page refreshes itself; None for a page that does not.
        written: the time of writing, in seconds since the epoch.
    """
    style = asset(STYLE) + asset(ASSETS / "many.css")
    return environment("grokinterp.watch").get_template("watch.html").render(
        **content(look, every=every, written=written),
        style=Markup(style),
        policy=policy(style=style, script=None),
    )  # fmt: skip


def content(look: Look, *, every: int | None, written: float) -> dict[str, Any]:
    """Return all values that the template shows."""
    left = look.seconds_left
    return {
        "look": look,
        "every": None if look.is_over else every,
        "written": time.strftime("%H:%M:%S", time.localtime(written)),
        "facts": facts(look),
        "left": None if left is None else duration(left),
        "legend": [(css_of(i), part) for i, part in enumerate(PARTS) if f"{part}_loss" in look.columns],
        "plots": plots(look),
        "phases": [(p.name, whole(p.start), whole(p.stop - 1)) for p in look.history.phases] if look.history else [],
    }


def facts(look: Look) -> list[tuple[str, str]]:
    """Return the last values of the metrics, and the number of checkpoints."""
    found = []
    for part in PARTS:
        for measure in MEASURES:
            value = look.last(f"{part}_{measure}")
            if value is not None:
                found.append((f"{part} {measure}", percent(value) if measure == "accuracy" else number(value)))
    return [*found, ("checkpoints", whole(look.checkpoints))]


def plots(look: Look) -> list[Plot]:
    """Return plots of losses, accuracies, and other metrics over the steps so far."""
    found = [plot(look, title, [f"{part}_{measure}" for part in PARTS]) for measure, title in MEASURES.items()]
    found += [plot(look, title, [name]) for name, title in SINGLE.items()]
    return [one for one in found if one is not None]


def plot(look: Look, title: str, names: list[str]) -> Plot | None:
    """Return the plot of some metrics; None without two finite values of one."""
    steps = look.steps.astype(float)
    curves = [
        Curve(name.replace("_", " "), "", i, steps, look.columns[name])
        for i, name in enumerate(names)
        if name in look.columns and np.isfinite(look.columns[name]).sum() > 1
    ]
    if not curves:
        return None
    y = value_axis([curve.y for curve in curves], "", is_share=title == "Accuracy")
    return line_plot(title, curves, step_axis([steps]), y, description=f"{title} up to step {whole(int(steps[-1]))}")
