"""How well checkpoints perform with a part of another checkpoint: activation patching in the weights."""

import copy
from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.analysis.engine.examples import BATCH
from grokinterp.interventions.graft import graft
from grokinterp.losses import exact, example_losses
from grokinterp.models import ReadoutInputs
from grokinterp.runs.checkpoint import Checkpoint

AXES = {"part": lambda setting: list(setting.model.parts)}


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
    """Return loss and accuracy of two hybrids of this and the last checkpoint for every part of the model.

    The parts are those of ``Model.parts``. Graft: this checkpoint's weights, except for the part, which is taken from
    the last checkpoint: does the finished part do its work in the unfinished network? Back: the last checkpoint's
    weights, except for the part, which is taken from this checkpoint: can the finished network do without what the
    part has yet to learn? At the last checkpoint all hybrids are the network itself; in a model of one part they are
    the two networks. Over the test examples; over all, as they are labeled, where there are none.

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
    """Return mean loss and accuracy on the test examples, or on all."""
    parts = checkpoint.problem.parts
    inputs, labels, _ = parts.get("test", parts["all"])
    rows = torch.arange(len(labels), device=labels.device).split(BATCH)
    return torch.cat([scores(checkpoint, inputs.at(part), labels[part]) for part in rows]).mean(0)


def scores(checkpoint: Checkpoint, inputs: ReadoutInputs, labels: Int[Tensor, "example"]) -> Float[Tensor, "example 2"]:
    """Return the loss of every example, and whether it is answered as labeled."""
    readout = checkpoint.model.readout(inputs)
    form = exact(checkpoint.problem.loss)
    losses = example_losses(readout.logits, labels, form=form, supervised=readout.supervised)
    return torch.stack([losses, (readout.logits.argmax(-1) == labels).to(losses)], -1).double()
