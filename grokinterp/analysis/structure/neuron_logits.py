"""The map from the neurons to the logits, over the classes and over the frequencies."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from grokinterp.analysis.structure.cyclic_answers import cyclic_answers, frequencies
from grokinterp.analysis.structure.logit_map import require_few_classes
from grokinterp.errors import NotDefined
from grokinterp.maths.fourier import by_frequency, real_fourier
from grokinterp.runs.checkpoint import Checkpoint

AXES = {"frequency": frequencies}


class NeuronLogitMap(NamedTuple):
    """Weights from the last hidden layer to the logits.

    neuron_logit_weight: weight of the neuron for the class, minus its mean over the classes [1]
    """

    neuron_logit_weight: Float[Tensor, "neuron class"]


class NeuronLogitWaves(NamedTuple):
    """Frequencies of each neuron's weights to the logits.

    neuron_logit_amplitude: norm of the cosine and sine components of the neuron's weights to the logits [1]
    """

    neuron_logit_amplitude: Float[Tensor, "neuron frequency"]


def neuron_logit_map(checkpoint: Checkpoint) -> NeuronLogitMap:
    """Return the neuron-to-logit map W_L, with the mean over the classes subtracted from each row.

    W_L is the map from the last hidden layer to the logits: W_out W_U in a transformer, W_U in an MLP. A constant row
    changes no probability. In a Fourier circuit, each row is a wave over the classes, with the frequency of its neuron.

    Source: Nanda et al. 2023, §4.3.

    Raises:
        NotDefined: the model has no known hidden layer, or the task has more than 2,048 classes.
    """
    require_neurons(checkpoint, "neuron_logit_map")
    require_few_classes(checkpoint, "neuron_logit_map")
    weights = checkpoint.model.W_L.double()
    return NeuronLogitMap(weights - weights.mean(1, keepdim=True))


def neuron_logit_waves(checkpoint: Checkpoint) -> NeuronLogitWaves:
    """Return the norm of each frequency of every neuron's row of the neuron-to-logit map.

    Classes are represented by their exponents in the cyclic group of the task.

    Source: Nanda et al. 2023, §4.3.

    Raises:
        NotDefined: the labels are not products in a cyclic group, or the model has no known hidden layer.
    """
    require_neurons(checkpoint, "neuron_logit_waves")
    classes = cyclic_answers(checkpoint, "neuron_logit_waves").class_of
    components = real_fourier(checkpoint.model.W_L[:, classes].double().mT)
    return NeuronLogitWaves(by_frequency(components.square()).sqrt().mT)


def require_neurons(checkpoint: Checkpoint, analysis: str) -> None:
    """Raise NotDefined for a model without a known hidden layer."""
    if not checkpoint.model.n_neurons:
        raise NotDefined(analysis, checkpoint.model.lacks("the last hidden layer"))
