"""Grafts: performance of a checkpoint with a part of another checkpoint, the weight analog of activation patching."""

import copy
from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.analysis.engine.examples import BATCH
from grokinterp.interventions.graft import graft
from grokinterp.losses import exact, example_losses
from grokinterp.models import ReadoutInputs
from grokinterp.runs.checkpoint import Checkpoint

AXES = {"part": lambda setting: list(setting.model.parts)}


class Grafts(NamedTuple):
    """Performance of this checkpoint with a part of the last checkpoint, and vice versa.

    graft_loss: mean test loss of this checkpoint with the part of the last checkpoint [nats]
    graft_accuracy: test accuracy of this checkpoint with the part of the last checkpoint [1]
    graft_back_loss: mean test loss of the last checkpoint with the part of this checkpoint [nats]
    graft_back_accuracy: test accuracy of the last checkpoint with the part of this checkpoint [1]
    """

    graft_loss: Float[Tensor, "part"]
    graft_accuracy: Float[Tensor, "part"]
    graft_back_loss: Float[Tensor, "part"]
    graft_back_accuracy: Float[Tensor, "part"]


def grafts(checkpoint: Checkpoint, *, final_weights: Mapping[str, Tensor]) -> Grafts:
    """Return loss and accuracy of two hybrids of this and the last checkpoint for every part of the model.

    A graft has the weights of this checkpoint, except for one part of ``Model.parts``, which comes from the last
    checkpoint; it performs well if the trained part already works in the unfinished network. A graft back has the
    weights of the last checkpoint, except for the part, which comes from this checkpoint; it performs well if the
    finished network does not need what the part has yet to learn. At the last checkpoint all hybrids are the network
    itself; in a model with a single part they are the two networks. Loss and accuracy are over the test examples or,
    without test examples, over all examples as labeled.

    Source: Meng et al. 2022, §2.1 (activation patching), with a second checkpoint in place of a second input.
    """
    last = copy.deepcopy(checkpoint.model)
    last.load_state_dict(checkpoint.model.state_dict() | dict(final_weights))
    donor = Checkpoint(checkpoint.step, last, checkpoint.problem)
    there = [performance_on_test(graft(checkpoint, donor, part)) for part in last.parts]
    back = [performance_on_test(graft(donor, checkpoint, part)) for part in last.parts]
    return Grafts(*torch.stack(there).unbind(-1), *torch.stack(back).unbind(-1))


@torch.no_grad()
def performance_on_test(checkpoint: Checkpoint) -> Float[Tensor, "2"]:
    """Return mean loss and accuracy on the test examples, or on all examples if there are none."""
    parts = checkpoint.problem.parts
    part = parts.get("test", parts["all"])
    inputs, labels = part.inputs, part.target
    rows = torch.arange(len(labels), device=labels.device).split(BATCH)
    return torch.cat([scores(checkpoint, inputs.at(part), labels[part]) for part in rows]).mean(0)


def scores(checkpoint: Checkpoint, inputs: ReadoutInputs, labels: Tensor) -> Float[Tensor, "example 2"]:
    """Return the loss of every example, and whether its answer matches its label."""
    readout = checkpoint.model.readout(inputs)
    form = exact(checkpoint.problem.loss)
    losses = example_losses(readout.logits, labels, form=form, supervised=readout.supervised)
    return torch.stack([losses, checkpoint.problem.right(readout.logits, labels).to(losses)], -1).double()
