"""What happens when a part of one checkpoint is replaced by that of another: activation patching in the weights."""

import copy
from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.analysis.engine.examples import BATCH
from grokinterp.analysis.landscape.parts import depth_of, part_of, parts, submodule_of
from grokinterp.errors import GrokinterpError
from grokinterp.experiment.problem import Problem
from grokinterp.losses import exact, example_losses
from grokinterp.models import Model, ReadoutInputs, RecordedModel
from grokinterp.runs.checkpoint import Checkpoint

AXES = {"part": lambda setting: list(parts(setting.model))}


class Grafts(NamedTuple):
    """Performance of this checkpoint with a part of the last one, and of the last one with a part of this one.

    graft_loss: mean test loss of this checkpoint with the part of the last one [nats]
    graft_accuracy: test accuracy of this checkpoint with the part of the last one [1]
    graft_back_loss: mean test loss of the last checkpoint with the part of this one [nats]
    graft_back_accuracy: test accuracy of the last checkpoint with the part of this one [1]
    """

    graft_loss: Float[Tensor, "part"]
    graft_accuracy: Float[Tensor, "part"]
    graft_back_loss: Float[Tensor, "part"]
    graft_back_accuracy: Float[Tensor, "part"]


def grafts(checkpoint: Checkpoint, *, final_weights: Mapping[str, Tensor]) -> Grafts:
    """Loss and accuracy of two hybrids for every part of the model (``parts``): sufficiency and necessity over time.

    Graft: this checkpoint's weights but for the part, which is the last checkpoint's: does the finished part do its
    work in the unfinished network? Back: the last checkpoint's weights but for the part, which is this one's: can
    the finished network do without what the part has yet to learn? At the last checkpoint all hybrids are the
    network itself; in a model of one part they are the two networks. Over the test examples; over all, as they are
    labeled, where there are none.

    Source: Meng et al. 2022, §2.1 (activation patching), with a second checkpoint in place of a second input.
    """
    model, of = checkpoint.model, checkpoint.problem
    donor = copy.deepcopy(model)
    donor.load_state_dict(model.state_dict() | dict(final_weights))
    there = [fares(graft(model, donor, part), of) for part in parts(model)]
    back = [fares(graft(donor, model, part), of) for part in parts(model)]
    return Grafts(*torch.stack(there).unbind(-1), *torch.stack(back).unbind(-1))


def graft(model: Model, donor: Model, part: str) -> Model:
    """A copy of a model in which one part, its untrained numbers included, is the donor's.

    ``parts(model)`` lists the parts: ``embed``, ``blocks.0.mlp``, ….

    Raises:
        GrokinterpError: no such part, or a donor of other shapes.
    """
    if part not in parts(model):
        raise GrokinterpError(f"part={part}: must be among {', '.join(parts(model))}")
    own, other = model.state_dict(), donor.state_dict()
    names = tensors_of(model, part)
    for name in names:
        if name not in other or other[name].shape != own[name].shape:
            raise GrokinterpError(f"donor: has no {name} of shape {tuple(own[name].shape)}")
    grafted = copy.deepcopy(model)
    grafted.load_state_dict(own | {name: other[name] for name in names})
    return grafted


def tensors_of(model: Model, part: str) -> list[str]:
    """The tensors of a part, its untrained numbers included."""
    if not isinstance(model, RecordedModel):
        return [name for name in model.state_dict() if part_of(name) == part]
    depth = depth_of([name for name, _ in model.named_parameters()])
    return [name for name in model.state_dict() if submodule_of(name, depth) == part]


@torch.no_grad()
def fares(model: Model, problem: Problem) -> Float[Tensor, "2"]:
    """Mean loss and accuracy of a model on the test examples, or on all."""
    tested = bool(problem.is_test.any())
    inputs = problem.test_inputs if tested else problem.inputs
    labels = problem.test_labels if tested else problem.trained_labels
    rows = torch.arange(len(labels), device=labels.device).split(BATCH)
    return torch.cat([scores(model, inputs.at(part), labels[part], problem) for part in rows]).mean(0)


def scores(
    model: Model, inputs: ReadoutInputs, labels: Int[Tensor, "example"], problem: Problem
) -> Float[Tensor, "example 2"]:
    """Loss of every example, and whether it is answered as labeled."""
    readout = model.readout(inputs)
    losses = example_losses(readout.logits, labels, form=exact(problem.loss), supervised=readout.supervised)
    return torch.stack([losses, (readout.logits.argmax(-1) == labels).to(losses)], -1).double()
