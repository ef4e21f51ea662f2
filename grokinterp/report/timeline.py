"""The timeline of a run: losses, accuracies, progress measures, and the settings that changed during training."""

import xarray as xr
from matplotlib.figure import Figure

from grokinterp import figures
from grokinterp.figures.settings import unchanged
from grokinterp.numbers import listed, number
from grokinterp.report.plate import Plate, View
from grokinterp.runs.parent import joined

ANALYSES = (
    "performance", "label_noise", "logit_spectrum", "progress_measures", "embedding_circles", "embedding_spectrum",
    "neuron_logit_spectrum", "weight_norms",
)  # fmt: skip
"""The analyses that the timeline draws."""


def draw_timeline(_data: xr.Dataset, view: View) -> Figure | None:
    """Draw the training metrics together with the analyses of the timeline."""
    loss = f"{view.vocabulary.loss} [{view.vocabulary.unit}]"
    metrics, (parent, _) = view.results.metrics, view.results.parent
    if parent is not None:
        metrics = joined(parent.metrics, metrics)
    return figures.timeline(metrics, view.results.joined(*ANALYSES), view.history, loss=loss)


def timeline_caption(_data: xr.Dataset, view: View) -> str:
    """Return the caption of the curves of the run."""
    metrics = view.results.metrics
    curves = "Losses and accuracies" if "test_accuracy" in metrics or "train_accuracy" in metrics else "Losses"
    text = f"{curves} over training. Bands are the phases; dotted vertical lines mark events such as loss spikes."
    if "restricted_loss" in view.results.joined(*ANALYSES):
        text = (
            "Losses, accuracies and progress measures over training. Bands are the phases; dotted vertical lines mark "
            "events such as loss spikes. Dotted curves are controls with an equal number of random frequencies instead "
            "of key frequencies."
        )
        if view.vocabulary.loss.startswith("StableMax"):
            text += " Progress measures are cross-entropies of the softmax, which training did not minimize."
    if view.results.answer is not None:
        text += (
            " The losses and accuracies are those of all answers together; analyses, and numbers beside the slider, "
            f"refer to answer {view.results.answer}, counted from 0."
        )
    if "noisy_accuracy" in metrics:
        text += (
            " For training examples with an incorrect label, the curves show the share answered as labeled and the "
            "share answered correctly."
        )
    if any(str(name).startswith("average_") for name in metrics):
        text += " Dashed curves of the same color show the averaged weights."
    parent, why = view.results.parent
    if parent is not None:
        text += f" The run is a branch: steps below 0 are those of its parent, {parent.name}, up to step {parent.step}."
    elif why:
        text += f" The run is a branch; the curves of its parent are not shown, since {why}."
    return text


def answers_caption(_data: xr.Dataset, view: View) -> str:
    """Return the caption of the accuracies of several answers."""
    analyzed = view.results.answer
    text = "Accuracy of each answer, counted from 0. An example counts as correct only if all of its answers are."
    return text if analyzed is None else f"{text} The analyses are those of answer {analyzed}."


def settings_caption(_data: xr.Dataset, view: View) -> str:
    """Return the caption of the settings, with those that training did not change."""
    metrics = view.results.metrics
    constant = [f"{name.replace('_', ' ')} {number(float(metrics[name][-1]))}" for name in unchanged(metrics)]
    text = "Settings that changed during training."
    return f"{text} Unchanged: {listed(constant)}." if constant else text


PLATES = (
    Plate(
        draw_timeline,
        (),
        "Curves over the optimizer steps",
        timeline_caption,
    ),
    Plate(
        lambda _, view: figures.accuracy_of_answers(view.results.metrics),
        (),
        "Accuracy of each answer",
        answers_caption,
    ),
    Plate(
        lambda _, view: figures.training_settings(view.results.metrics, view.history),
        (),
        "Settings over the optimizer steps",
        settings_caption,
    ),
)
"""Plates drawn from the training metrics, with or without analyses."""
