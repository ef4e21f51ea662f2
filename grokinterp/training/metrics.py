"""The metrics of an evaluation, computed on the device and read in a single transfer."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import functional_call

from grokinterp.experiment.problem import Problem
from grokinterp.losses import exact, example_losses
from grokinterp.models import Model, ReadoutProgram
from grokinterp.training.step import Step


@torch.no_grad()
def measure(step: Step, model: Model, problem: Problem) -> dict[str, Tensor]:
    """Return metrics as scalars at the weights for which ``step.gradients()`` was just computed.

    Losses are means of the training loss, evaluated in float64 on the float32 logits. All values on training examples,
    including logit statistics, use the labels of training. The weight norm is the sum of squares; the gradient is the
    gradient of the step's batch.
    """
    train, supervised = step.train_logits()
    squares = {name: weight.double().square().sum() for name, weight in model.named_parameters()}
    scores = {"train": score(train, supervised, problem.parts["train"].labels, problem)}
    for name in held_out(problem):
        inputs, labels, _ = problem.parts[name]
        readout = model.readout(inputs)
        scores[name] = score(readout.logits, readout.supervised, labels, problem)
    if step.averaged is not None:
        scores |= averaged_scores(dict(zip(step.names, step.averaged, strict=True)), model, problem)
    return {
        **{f"{part}_loss": loss for part, (loss, _) in scores.items()},
        **{f"{part}_accuracy": accuracy for part, (_, accuracy) in scores.items()},
        **(answers_to_noise(train, problem) if problem.has_noise else {}),
        "gradient_norm": step.gradient_norm.double(),
        "weight_norm": torch.stack(list(squares.values())).sum(),
        **logit_statistics(train.double(), problem.parts["train"].labels),
        "applied": step.applied.double(),
        **{f"weight_norm_of/{name}": value for name, value in squares.items()},
    }


def held_out(problem: Problem) -> list[str]:
    """Return the names of the parts that are not trained on."""
    return [name for name in problem.parts if name in ("test", "validation")]


def averaged_scores(
    weights: dict[str, Tensor], model: Model, problem: Problem
) -> dict[str, tuple[Float[Tensor, ""], Float[Tensor, ""]]]:
    """Return mean loss and accuracy of the averaged weights on every part."""
    program, named = ReadoutProgram(model), {f"model.{name}": weight for name, weight in weights.items()}
    scores = {}
    for name in ("train", *held_out(problem)):
        inputs, labels, _ = problem.parts[name]
        readout = functional_call(program, named, (inputs,))
        scores[f"average_{name}"] = score(readout.logits, readout.supervised, labels, problem)
    return scores


def score(
    logits: Float[Tensor, "example class"],
    supervised: Float[Tensor, "supervision example class"] | None,
    labels: Int[Tensor, "example"],
    problem: Problem,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return mean loss and accuracy."""
    supervised = None if supervised is None else supervised.double()
    losses = example_losses(logits.double(), labels, form=exact(problem.loss), supervised=supervised)
    return losses.mean(), (logits.argmax(1) == labels).double().mean()


def answers_to_noise(logits: Float[Tensor, "train class"], problem: Problem) -> dict[str, Tensor]:
    """Return the shares of the mislabeled training examples answered as labeled and correctly, and of the others.

    ``clean_accuracy``, the share of the correctly labeled examples answered correctly, dates memorization; it is left
    out if every example is mislabeled.

    Source: Doshi et al. 2023 (memorized examples, and inverted ones).
    """
    (_, given, correct), answer = problem.parts["train"], logits.argmax(1)
    noisy = given != correct
    shares = {"noisy_accuracy": answer == given, "restored_accuracy": answer == correct}
    found = {name: (noisy & hit).sum().double() / noisy.sum() for name, hit in shares.items()}
    clean = len(noisy) - noisy.sum()
    return found | ({"clean_accuracy": (~noisy & (answer == correct)).sum().double() / clean} if clean else {})


def logit_statistics(
    logits: Float[Tensor, "train class"], labels: Int[Tensor, "train"]
) -> dict[str, Float[Tensor, ""]]:
    """Return the size of the logits, and the margin of the label's logit over the best other logit."""
    correct = logits.gather(1, labels[:, None])
    runner_up = logits.scatter(1, labels[:, None], -torch.inf).amax(1, keepdim=True)
    return {
        "logit_mean_abs": logits.abs().mean(),
        "logit_max_abs": logits.abs().amax(),
        "logit_margin": (correct - runner_up).mean(),
    }


def row(step: int, measured: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the numbers of a line of metrics.jsonl; the only point where the host waits for the device."""
    values = dict(zip(measured, torch.stack(list(measured.values())).tolist(), strict=True))
    prefix = "weight_norm_of/"
    norms = {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
    scalars = {name: value for name, value in values.items() if not name.startswith(prefix)}
    return {"step": step, **scalars, "weight_norm_of": norms}


def settings(step: Step, at: int) -> dict[str, float | int]:
    """Return the settings of the update from step ``at``."""
    rates = step.rates
    found: dict[str, float | int] = {
        "learning_rate": rates.learning_rate(at),
        "weight_decay": rates.weight_decay(at),
        "batch_size": len(step.labels if step.batch is None else step.batch),
    }
    if rates.gain > 1:
        found["lamb"] = rates.gain - 1
    return found | ({"examples": step.let_in(at)} if step.order is not None else {})
