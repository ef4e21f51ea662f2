"""The chapter on the inside of the network: representations, attribution, ablation, patching, grafts, and pruning."""

import xarray as xr

from grokinterp import figures
from grokinterp.numbers import number, whole
from grokinterp.report.plate import Plate, View

LEAD = "This chapter shows where the network represents the answer and which parts produce it."


def representations_caption(data: xr.Dataset, _view: View) -> str:
    """Return the caption of the separation of the classes and, if fitted, of the frequency probes."""
    text = "Share of the variance at each hook that lies between the classes"
    probes = ", and share of the variance of the answer's cosines and sines at the key frequencies that a linear probe "
    return f"{text}{probes}explains." if "frequency_probe_r2" in data else f"{text}."


def probe_caption(data: xr.Dataset, view: View) -> str:
    """Return the caption of the class probes, with the accuracies of chance and of shuffled labels."""
    text = f"Share of held-out {view.vocabulary.examples} whose class a linear probe at each hook predicts"
    known = []
    if "class_probe_chance" in data:
        known.append(f"chance: {number(float(data['class_probe_chance'][-1]))}")
    if "class_probe_control" in data:
        known.append(f"fitted on shuffled labels: at most {number(float(data['class_probe_control'].max()))}")
    return f"{text} ({'; '.join(known)})." if known else f"{text}."


def ablation_caption(data: xr.Dataset, _view: View) -> str:
    """Return the caption of the ablations that were measured."""
    names = {"head_ablation_loss": "one head", "neuron_ablation_loss": "one neuron of the last layer"}
    ablated = " or ".join(text for name, text in names.items() if name in data)
    return f"Increase in loss when {ablated} is held at its mean, at step {whole(int(data['step'][-1]))}."


PLATES = (
    Plate(
        lambda data, _: figures.representations(data),
        ("class_similarity", "frequency_probes"),
        "Representations of the answer at every hook",
        representations_caption,
    ),
    Plate(
        lambda data, _: figures.class_probes(data),
        ("linear_probes",),
        "Linear probes for the class",
        probe_caption,
    ),
    Plate(
        lambda data, _: figures.activation_statistics(data),
        ("activation_statistics",),
        "Activations at every hook",
        "Effective number of directions in the activations at each hook, and share of the features that are constant "
        "over all examples.",
    ),
    Plate(
        lambda data, view: figures.class_cosine(data, view.phases),
        ("class_cosine",),
        "Cosines within and between classes",
        "Mean cosine, over pairs of examples, of the vectors that the unembedding reads.",
    ),
    Plate(
        lambda data, _: figures.class_matrix(data),
        ("class_matrix",),
        "Cosines between classes",
        "Mean cosine, between the examples of two classes, of the vectors that the unembedding reads, and cosine "
        "between the classes' centered means, at step {step}.",
    ),
    Plate(
        lambda data, view: figures.logit_attribution(data, unit=view.vocabulary.logit_unit),
        ("logit_attribution",),
        "Direct logit attribution",
        "Contribution of each component to the correct logit minus the mean logit; the contributions sum to it.",
    ),
    Plate(
        lambda data, view: figures.token_attribution(data, view.phases, unit=view.vocabulary.logit_unit),
        ("integrated_gradients",),
        "Integrated gradients",
        "Integrated gradients of the correct logit minus the mean logit, by the position of the token.",
    ),
    Plate(
        lambda data, _: figures.patching(data),
        ("activation_patching",),
        "Activation patching",
        "Share of the logit difference between two inputs that patching a single activation restores, at step {step}.",
    ),
    Plate(
        lambda data, view: figures.ablation(data, unit=view.vocabulary.unit),
        ("head_ablation", "neuron_ablation"),
        "Ablation of heads and neurons",
        ablation_caption,
    ),
    Plate(
        lambda data, view: figures.grafts(data, unit=view.vocabulary.unit),
        ("grafts",),
        "Grafts",
        "Left: loss of each checkpoint with one part taken from the final network. Right: loss of the final network "
        "with that part taken from the checkpoint.",
    ),
    Plate(
        lambda data, view: figures.neuron_pruning(data, unit=view.vocabulary.unit),
        ("neuron_pruning",),
        "Pruning of neurons",
        "Accuracy and loss on the test {examples} (solid) and training {examples} (dotted) as neurons are removed by "
        "their inverse participation ratio, and in random order (mean of three orders), at step {step}.",
    ),
    Plate(
        lambda data, view: figures.faithful_subnetwork(data, view.phases),
        ("faithful_subnetwork",),
        "Smallest faithful subnetwork",
        "Smallest number of neurons, those with the largest norms, that reaches the accuracy of the whole network "
        "within 1 %, and that reproduces 99 % of its answers. If the test accuracy is at chance, no neuron is needed.",
    ),
)
