"""Trainers of the cases in anyones_models, a training with each, and bitwise equality."""

from typing import Any

import torch
from torch import Tensor, nn

from grokinterp.custom import GrokkingAwareTrainer, StepScores
from tests.support.anyones_models import CASES


def trainer_of(name: str, **options: Any) -> GrokkingAwareTrainer:
    steps = {"max_supervision_steps": 3} if name == "recursive" else {}
    return GrokkingAwareTrainer(CASES[name].model(), **{"ema_decay": 0.9} | steps | options)


def train(trainer: GrokkingAwareTrainer, name: str, steps: int) -> list[StepScores]:
    """Steps through the batches again and again, from where the trainer is; an evaluation in between."""
    batches = CASES[name].batches()
    found = []
    for _ in range(steps):
        found.append(trainer.train_step(batches[trainer.step % len(batches)]))
        if trainer.step % 5 == 0:
            trainer.check_grokking(1.0, 0.96 if trainer.step >= 20 else 0.0)
    return found


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def equal(one: Any, other: Any) -> bool:
    """Whether two nested values are equal bit for bit."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(equal(a, b) for a, b in zip(one, other, strict=True))
    return one == other
