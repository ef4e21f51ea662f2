"""The metrics of one evaluation, gathered on the device and read in one transfer."""

from typing import Any

import torch
from torch import Tensor

from grokinterp.checkpoint import Problem
from grokinterp.losses import cross_entropy
from grokinterp.models import Model
from grokinterp.training.step import FullBatchStep


@torch.no_grad()
def measure(step: FullBatchStep, model: Model, problem: Problem) -> dict[str, Tensor]:
    """Scalars at the weights that ``step.gradients()`` was just computed at.

    Losses are mean cross-entropies in nats, evaluated in float64 on the float32 logits; the weight
    norm is the sum of squares; logit statistics are over the training examples.
    """
    train = step.logits.double()
    test = model.readout(problem.test_inputs).logits.double()
    labels, test_labels = problem.train_labels, problem.test_labels
    correct = train.gather(1, labels[:, None])
    runner_up = train.scatter(1, labels[:, None], -torch.inf).amax(1, keepdim=True)
    squares = {name: weight.double().square().sum() for name, weight in model.named_parameters()}
    return {
        "train_loss": cross_entropy(train, labels).mean(),
        "test_loss": cross_entropy(test, test_labels).mean(),
        "train_accuracy": (train.argmax(1) == labels).double().mean(),
        "test_accuracy": (test.argmax(1) == test_labels).double().mean(),
        "gradient_norm": step.gradient_norm.double(),
        "weight_norm": torch.stack(list(squares.values())).sum(),
        "logit_mean_abs": train.abs().mean(),
        "logit_max_abs": train.abs().amax(),
        "logit_margin": (correct - runner_up).mean(),
        "applied": step.applied.double(),
        **{f"weight_norm_of/{name}": value for name, value in squares.items()},
    }


def row(step: int, learning_rate: float, measured: dict[str, Tensor]) -> dict[str, Any]:
    """One line of metrics.jsonl; the only point where the host waits for the device."""
    values = dict(zip(measured, torch.stack(list(measured.values())).tolist(), strict=True))
    prefix = "weight_norm_of/"
    norms = {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
    scalars = {name: value for name, value in values.items() if not name.startswith(prefix)}
    return {"step": step, **scalars, "learning_rate": learning_rate, "weight_norm_of": norms}
