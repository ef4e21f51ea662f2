"""Modules of a user's own for all pairs modulo 7, recorded with their task."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from grokinterp.custom.recorder import Recorder
from grokinterp.runs.trajectory import Trajectory
from grokinterp.tasks import ModularAddition

P, WIDTH = 7, 8
TASK = ModularAddition(p=P)
PAIRS = torch.cartesian_prod(torch.arange(P), torch.arange(P))
SUMS = PAIRS.sum(1) % P
WITH_EQUALS = torch.cat([PAIRS, torch.full((P * P, 1), P)], 1)


def take(inputs: Any, of: Tensor) -> Any:
    """Some examples of a tensor, a tuple or a dict of tensors."""
    if isinstance(inputs, tuple):
        return tuple(x[of] for x in inputs)
    return {name: x[of] for name, x in inputs.items()} if isinstance(inputs, dict) else inputs[of]


def record(path, module: nn.Module, inputs: Any = PAIRS, labels: Tensor = SUMS, **options: Any) -> Trajectory:
    """A recording of one step on all pairs, of which every third is trained on."""
    third = torch.arange(len(labels)) % 3 == 0
    train, test = ((take(inputs, of), labels[of]) for of in (third, ~third))
    with Recorder(path, module, **({"train": train, "test": test, "task": TASK} | options)) as recorder:
        recorder.record(0)
    return Trajectory.open(path, module, logits=options.get("logits"))


class Net(nn.Module):
    """A module made of a function and its parts."""

    def __init__(self, forward: Any, **parts: Any) -> None:
        super().__init__()
        self.function = forward
        for name, part in parts.items():
            setattr(self, name, nn.Parameter(part) if isinstance(part, Tensor) else part)

    def forward(self, *inputs: Tensor, **named: Tensor) -> Tensor:
        return self.function(self, *inputs, **named)


def summed(module: Any, tokens: Tensor) -> Tensor:
    return module.out(functional.relu(module.emb(tokens).sum(1)))


def net(**parts: Any) -> Net:
    torch.manual_seed(0)
    return Net(summed, **({"emb": nn.Embedding(P, WIDTH), "out": nn.Linear(WIDTH, P)} | parts))
