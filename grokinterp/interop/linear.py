"""Import of the networks without attention of Zhong et al. 2023: ReLU layers on the embeddings of both operands."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from grokinterp.errors import short
from grokinterp.experiment import Experiment
from grokinterp.interop.files import ForeignFileError, given, listed
from grokinterp.interop.fitting import fitted
from grokinterp.interop.layout import State, layout
from grokinterp.interop.release import loaded
from grokinterp.interop.scores import score
from grokinterp.models import MLPSpec
from grokinterp.tasks import ModularAddition, Task

RIGHT = 0.5
"""Accuracy below which the assumed forward pass is not the network's."""


class Linear(NamedTuple):
    """A network without attention, with the same fields as ``pizza.Network``."""

    task: Task
    model: MLPSpec
    state: State
    notes: dict[str, str]


def network(config: Mapping[str, Any], weights: State, beside: Path, path: Path) -> Linear:
    """Read a network W_U relu(L_2 relu(L_1 x)), with x the sum or the concatenation of two embeddings.

    The release has several values of ``model_type``; their forward passes are code that is not in its files. So a
    network is accepted in this form if its weights have this form and it then computes a + b, and refused otherwise.
    p71frej8t7, of type B, has it: 97 % of the outputs of its second layer are positive, for every neuron, which would
    not happen without a ReLU.

    Source: Zhong et al. 2023, appendix on linear models.

    Raises:
        ForeignFileError: if the network has another, named type.
    """
    kind, p = short(config["model_type"])[:20], given(config, "C", 0, beside, least=3)
    names = {"embed.weight", "unembed.weight", "l1.weight", "l1.bias"}
    if not names <= weights.keys() <= names | {"l2.weight", "l2.bias"}:
        raise ForeignFileError(path, f"{unsupported(kind)}: it holds {listed(weights)}")
    mapped = layout("pizza-linear").read(weights, path)
    sizes = mapped.sizes
    hidden = tuple(sizes[name] for name in ("first", "second") if name in sizes)
    reads, width = sizes["d_read"], sizes["d_embed"]
    if reads not in (width, 2 * width) or sizes["last"] != hidden[-1]:
        raise ForeignFileError(path, f"{unsupported(kind)}: its layers have {reads} and {sizes['last']} inputs")
    for key, found in (("n_vocab", sizes["token"]), ("d_model", width), ("d_hidden", hidden[0])):
        if key in config and config[key] != found:
            raise ForeignFileError(beside, f"{key}={short(config[key])}, but the weights in {path.name} have {found}")
    task = ModularAddition(p=p)
    spec = MLPSpec(
        d_embed=width,
        combine="sum" if reads == width else "concatenate",
        hidden=hidden,
        act_fn="relu",
        biases=True,
        initialization="pytorch",
    )
    experiment = Experiment(task=task, model=spec)
    state = fitted(mapped.state, experiment, path)
    right = score(loaded(experiment, state), experiment.tokens(), task.label()).accuracy
    if right < RIGHT:
        why = f"with a ReLU after each layer it computes a + b with accuracy {right:.1%}"
        raise ForeignFileError(path, f"{unsupported(kind)}: {why}")
    return Linear(
        task,
        spec,
        state,
        {"model": f"linear model of type {kind}; a ReLU after each layer is inferred, not stated in the files"},
    )


def unsupported(kind: str) -> str:
    """Return the beginning of the error message for an unsupported type."""
    return f"linear models of type {kind} of this release are not supported"
