"""The metrics of an evaluation, computed on the device and read in a single transfer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import functional_call

from grokinterp.experiment.problem import Problem
from grokinterp.losses import exact_losses
from grokinterp.models import Model, Readout, ReadoutInputs, ReadoutProgram
from grokinterp.training.answers import answers_of
from grokinterp.training.run_step import RunStep

Score = tuple[Float[Tensor, ""], Float[Tensor, ""]]
"""Mean loss and accuracy."""


@torch.no_grad()
def measure(step: RunStep, model: Model, problem: Problem) -> dict[str, Tensor]:
    """Return metrics as scalars at the weights for which ``step.gradients()`` was just computed.

    Losses are means of the training loss, evaluated in float64 on the float32 logits. All values on training examples,
    including logit statistics, use the labels of training. The weight norm is the sum of squares; the gradient is the
    gradient of the step's batch. Only as many examples are evaluated at a time as fit into memory.
    """
    squares = {name: weight.double().square().sum() for name, weight in model.named_parameters()}
    train, answer = training_scores(step, problem)
    scores = {"train": (train.pop("loss"), train.pop("accuracy"))}
    for name in held_out(problem):
        scores[name] = part_score(model, model.readout, problem, name)
    if step.averaged is not None:
        scores |= averaged_scores(dict(zip(step.names, step.averaged, strict=True)), model, problem)
    return {
        **{f"{part}_loss": loss for part, (loss, _) in scores.items()},
        **{f"{part}_accuracy": accuracy for part, (_, accuracy) in scores.items()},
        **(answers_to_noise(answer, problem) if problem.has_noise else {}),
        "gradient_norm": step.gradient_norm.double(),
        "weight_norm": torch.stack(list(squares.values())).sum(),
        **train,
        "applied": step.applied.double(),
        **{f"weight_norm_of/{name}": value for name, value in squares.items()},
    }


def held_out(problem: Problem) -> list[str]:
    """Return the names of the parts that are not trained on."""
    return [name for name in problem.parts if name in ("test", "validation")]


def averaged_scores(weights: dict[str, Tensor], model: Model, problem: Problem) -> dict[str, Score]:
    """Return mean loss and accuracy of the averaged weights on every part."""
    program, named = ReadoutProgram(model), {f"model.{name}": weight for name, weight in weights.items()}

    def readout(inputs: ReadoutInputs) -> Readout:
        return functional_call(program, named, (inputs,))

    return {f"average_{name}": part_score(model, readout, problem, name) for name in ("train", *held_out(problem))}


def part_score(model: Model, readout: Callable[[ReadoutInputs], Readout], problem: Problem, name: str) -> Score:
    """Return mean loss and accuracy on a part."""
    (inputs, labels, _), many = problem.parts[name], model.evaluated_at_once
    answered = zip(answers_of(readout, inputs, many), labels.split(many), strict=True)
    found = [(len(some), score(*answer, some, problem)) for answer, some in answered]
    losses, accuracies = zip(*(each for _, each in found), strict=True)
    counts = [count for count, _ in found]
    return weighted_mean(losses, counts), weighted_mean(accuracies, counts)


def training_scores(step: RunStep, problem: Problem) -> tuple[dict[str, Tensor], Int[Tensor, "train"]]:
    """Return loss, accuracy and logit statistics on the training set, and the answers."""
    labels = problem.parts["train"].labels.split(step.model.evaluated_at_once)
    found, given = [], []
    for (logits, supervised), some in zip(step.train_answers(), labels, strict=True):
        loss, accuracy = score(logits, supervised, some, problem)
        found.append({"loss": loss, "accuracy": accuracy, **logit_statistics(logits.double(), some)})
        given.append(logits.argmax(1) if problem.has_noise else some)
    counts = [len(some) for some in labels]
    values = {name: [each[name] for each in found] for name in found[0]}
    largest = torch.stack(values["logit_max_abs"]).amax()
    means = {name: weighted_mean(of_parts, counts) for name, of_parts in values.items()}
    return means | {"logit_max_abs": largest}, torch.cat(given)


def weighted_mean(values: Sequence[Float[Tensor, ""]], counts: Sequence[int]) -> Float[Tensor, ""]:
    """Return the mean over all examples from the means over parts; the mean of a single part is unchanged.

    >>> weighted_mean([torch.tensor(1.0), torch.tensor(4.0)], [2, 1])
    tensor(2.)
    """
    total = sum(counts)
    return torch.stack([value * (count / total) for value, count in zip(values, counts, strict=True)]).sum()


def score(
    logits: Float[Tensor, "example class"],
    supervised: Float[Tensor, "supervision example class"] | None,
    labels: Int[Tensor, "example"],
    problem: Problem,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return mean loss and accuracy."""
    losses = exact_losses(logits, supervised, labels, form=problem.loss)
    return losses.mean(), (logits.argmax(1) == labels).double().mean()


def answers_to_noise(answer: Int[Tensor, "train"], problem: Problem) -> dict[str, Tensor]:
    """Return the shares of the mislabeled training examples answered as labeled and correctly, and of the others.

    ``clean_accuracy``, the share of the correctly labeled examples answered correctly, dates memorization; it is left
    out if every example is mislabeled.

    Source: Doshi et al. 2023 (memorized examples, and inverted ones).
    """
    _, given, correct = problem.parts["train"]
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


def settings(step: RunStep, at: int) -> dict[str, float | int]:
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
