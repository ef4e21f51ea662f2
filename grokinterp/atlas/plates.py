"""Figures that are written as files only: large maps over all pairs of operands, and over all neurons."""

from grokinterp import figures
from grokinterp.report.plate import Plate

AT_STEPS = (
    Plate(
        lambda data, view: figures.pair_losses(data, view.steps, unit=view.vocabulary.unit),
        ("pair_answers",),
        "Loss of every pair",
        "Loss of every training and held-out pair (a, b).",
    ),
    Plate(
        lambda data, view: figures.pair_waves(data, view.steps, unit=view.vocabulary.logit_unit),
        ("pair_waves",),
        "Two-dimensional Fourier components",
        "Norms of the Fourier components over both operands of the neurons and of the logits, without the mean.",
    ),
)
"""Figures of several checkpoints; a new figure for files joins this table or the next."""

AT_LAST = (
    Plate(
        lambda data, view: figures.correct_logit_surface(data, view.steps[-1], unit=view.vocabulary.logit_unit),
        ("pair_answers",),
        "Correct logit of every pair",
        "Logit of the correct answer minus the mean logit, over all pairs (a, b).",
    ),
    Plate(
        lambda data, view: figures.neuron_grids(data, view.steps[-1]),
        ("neuron_grids", "neuron_frequencies"),
        "Neurons over all pairs",
        "Activations of evenly spaced neurons of the last hidden layer over all pairs (a, b). Each title "
        "names the neuron, its frequency, and the share of its variance that the frequency explains.",
    ),
    Plate(
        lambda data, view: figures.neuron_logit_map(data, view.steps[-1]),
        ("neuron_logit_map", "neuron_logit_waves"),
        "Neuron-to-logit map",
        "Weights from the last hidden layer to the logits, and the norms of their frequencies.",
    ),
)
"""Figures of the last of the chosen checkpoints."""
