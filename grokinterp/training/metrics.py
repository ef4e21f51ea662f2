"""The metrics of an evaluation, computed on the device and read in a single transfer."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.experiment.problem import Problem
from grokinterp.losses import LossForm, close_answers, exact_losses, mean_of_answers, right_answers
from grokinterp.models import Answers
from grokinterp.tasks.task import Labels
from grokinterp.training.run_step import RunStep

NOISE = ("noisy_accuracy", "restored_accuracy", "clean_accuracy")
"""The metrics of label noise."""

NORM_OF = "weight_norm_of/"
"""The prefix of the sums of squares of single parameters."""

OF_ANSWER = "_of_answer/"
"""Between the name of a metric and the index of the answer that it is measured at."""


class Answered(NamedTuple):
    """Some examples of a part, with a leading run axis if there are several runs.

    Args:
        logits: the logits of every answer.
        supervised: the logits of every supervision step; None if there is only the answer.
        labels: the labels of training.
        correct: the correct answers.
    """

    logits: Float[Tensor, "*run example answer class"]
    supervised: Float[Tensor, "*run supervision example answer class"] | None
    labels: Int[Tensor, "*run example answer"]
    correct: Int[Tensor, "*run example answer"]


@runtime_checkable
class Evaluated(Protocol):
    """One run, or several with a leading run axis, at the weights for which the gradients were just computed."""

    form: LossForm
    held_out: list[str]
    has_noise: bool
    gradient_norm: Float[Tensor, "*run"]
    applied: Float[Tensor, "*run"]

    @property
    def is_averaged(self) -> bool:
        """Whether there is a moving average of the weights."""
        ...

    def parameters_by_name(self) -> Mapping[str, Tensor]:
        """Return the parameters."""
        ...

    def each(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of the tensors of one run as a function of the tensors of all."""
        ...

    def answered(self, part: str, *, averaged: bool = False) -> Iterator[Answered]:
        """Yield the examples of a part, as many at a time as fit into memory, at the weights or at their average."""
        ...


@torch.no_grad()
def measure(of: Evaluated) -> dict[str, Float[Tensor, "*run"]]:
    """Return metrics as scalars, or one per run, at the weights for which the gradients were just computed.

    An example is answered correctly if all of its answers are correct, and its loss is the mean over its answers. If
    there are several answers, losses and accuracies are also measured for each.

    Losses are means of the training loss, evaluated in float64 on the float32 logits. All values on training examples,
    including logit statistics, use the labels of training. The weight norm is the sum of squares; the gradient is the
    gradient of the step's batch. Only as many examples are evaluated at a time as fit into memory.
    """
    squares = {name: of.each(sum_of_squares)(weight) for name, weight in of.parameters_by_name().items()}
    train = joined(of, of.answered("train"), training_values)
    noise = answers_to_noise(train) if of.has_noise else {}
    scores = {"train": train} | {name: joined(of, of.answered(name), score) for name in of.held_out}
    if of.is_averaged:
        parts = ("train", *of.held_out)
        scores |= {f"average_{name}": joined(of, of.answered(name, averaged=True), score) for name in parts}
    return {
        **{f"{part}_loss": found["loss"] for part, found in scores.items()},
        **{f"{part}_accuracy": found["accuracy"] for part, found in scores.items()},
        **{name: value for part, found in scores.items() for name, value in of_answers(part, found).items()},
        **noise,
        "gradient_norm": of.gradient_norm.double(),
        "weight_norm": torch.stack(list(squares.values())).sum(0),
        **{name: value for name, value in train.items() if name.startswith("logit_")},
        "applied": of.applied.double(),
        **{f"{NORM_OF}{name}": value for name, value in squares.items()},
    }


def held_out(problem: Problem) -> list[str]:
    """Return the names of the parts that are not trained on."""
    return [name for name in problem.parts if name in ("test", "validation")]


def paired(
    answers: Iterator[Answers],
    labels: Int[Tensor, "*run example answer"],
    correct: Int[Tensor, "*run example answer"],
    at_once: int,
) -> Iterator[Answered]:
    """Yield answers in parts of ``at_once`` examples with their labels."""
    for answer, *two in zip(answers, labels.split(at_once, -2), correct.split(at_once, -2), strict=True):
        yield Answered(*answer, *two)


def joined(
    of: Evaluated, parts: Iterator[Answered], values: Callable[..., dict[str, Tensor]]
) -> dict[str, Float[Tensor, "*run"]]:
    """Return the values of all examples from those of its parts: means, but sums of ``*_count``, and a maximum."""
    found, counts = [], []
    for some in parts:
        found.append(of.each(lambda *tensors: values(*tensors, form=of.form))(*some))
        counts.append(some.labels.shape[-2])
    columns = {name: [each[name] for each in found] for name in found[0]}
    return {name: joined_value(name, column, counts) for name, column in columns.items()}


def joined_value(name: str, values: Sequence[Tensor], counts: Sequence[int]) -> Float[Tensor, "*run"]:
    """Return a value of all examples from those of parts of the given sizes."""
    if name == "logit_max_abs":
        return torch.stack(list(values)).amax(0)
    return torch.stack(list(values)).sum(0) if name.endswith("_count") else weighted_mean(values, counts)


def training_values(
    logits: Float[Tensor, "example answer class"],
    supervised: Float[Tensor, "supervision example answer class"] | None,
    labels: Int[Tensor, "example answer"],
    correct: Int[Tensor, "example answer"],
    *,
    form: LossForm,
) -> dict[str, Float[Tensor, ""]]:
    """Return loss, accuracy, logit statistics, and the numbers of mislabeled and other examples and their answers."""
    noisy, is_correct = (labels != correct).any(1), right_answers(logits, correct)
    counted = {
        "noisy_count": noisy,
        "noisy_as_labeled_count": noisy & right_answers(logits, labels),
        "noisy_correct_count": noisy & is_correct,
        "clean_count": ~noisy,
        "clean_correct_count": ~noisy & is_correct,
    }
    counts = {name: mask.sum().double() for name, mask in counted.items()}
    return score(logits, supervised, labels, correct, form=form) | logit_statistics(logits.double(), labels) | counts


def weighted_mean(values: Sequence[Float[Tensor, "*run"]], counts: Sequence[int]) -> Float[Tensor, "*run"]:
    """Return the mean over all examples from the means over parts; the mean of a single part is unchanged.

    >>> weighted_mean([torch.tensor(1.0), torch.tensor(4.0)], [2, 1])
    tensor(2.)
    """
    total = sum(counts)
    return torch.stack([value * (count / total) for value, count in zip(values, counts, strict=True)]).sum(0)


def score(
    logits: Float[Tensor, "example answer class"],
    supervised: Float[Tensor, "supervision example answer class"] | None,
    labels: Labels,
    correct: Labels | None = None,
    *,
    form: LossForm,
    tolerance: float | None = None,
) -> dict[str, Float[Tensor, ""]]:
    """Return mean loss and accuracy by the labels of training, and sums for each answer if there are several.

    In a regression, ``tolerance`` is the largest root mean squared error of a correct answer.
    """
    losses = exact_losses(logits, supervised, labels, form=form)
    close = None if tolerance is None else close_answers(logits, labels, tolerance=tolerance)
    found = {
        "loss": mean_of_answers(losses, labels).mean(),
        "accuracy": (right_answers(logits, labels) if close is None else close).double().mean(),
    }
    if labels.shape[1] == 1:
        return found
    each = {"losses": losses, "right": logits.argmax(-1) == labels, "asked": labels >= 0}
    sums = {name: value.double().sum(0) for name, value in each.items()}
    return found | {f"{name}_{i}_count": total[i] for name, total in sums.items() for i in range(labels.shape[1])}


def of_answers(part: str, found: Mapping[str, Float[Tensor, "*run"]]) -> dict[str, Float[Tensor, "*run"]]:
    """Return the loss and the accuracy of each answer from the sums of a part; nothing for a single answer."""
    answers = range(sum(name.startswith("asked_") for name in found))
    losses = {f"{part}_loss{OF_ANSWER}{i}": found[f"losses_{i}_count"] / found[f"asked_{i}_count"] for i in answers}
    right = {f"{part}_accuracy{OF_ANSWER}{i}": found[f"right_{i}_count"] / found[f"asked_{i}_count"] for i in answers}
    return losses | right


def answers_to_noise(counts: Mapping[str, Float[Tensor, "*run"]]) -> dict[str, Float[Tensor, "*run"]]:
    """Return the shares of the mislabeled training examples answered as labeled and correctly, and of the others.

    ``clean_accuracy``, the share of the correctly labeled examples answered correctly, dates memorization.

    Source: Doshi et al. 2023 (memorized examples, and inverted ones).
    """
    return {
        "noisy_accuracy": counts["noisy_as_labeled_count"] / counts["noisy_count"],
        "restored_accuracy": counts["noisy_correct_count"] / counts["noisy_count"],
        "clean_accuracy": counts["clean_correct_count"] / counts["clean_count"],
    }


def sum_of_squares(weight: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Return the sum of the squares of a parameter, in float64."""
    return weight.double().square().sum()


def logit_statistics(logits: Float[Tensor, "train answer class"], labels: Labels) -> dict[str, Float[Tensor, ""]]:
    """Return the size of the logits, and the mean margin of the label's logit over the best other logit.

    The outputs of a regression have no margin.
    """
    size = {"logit_mean_abs": logits.abs().mean(), "logit_max_abs": logits.abs().amax()}
    if labels.is_floating_point():
        return size
    at, asked = labels.clamp(min=0).unsqueeze(-1), labels >= 0
    correct = logits.gather(-1, at).squeeze(-1)
    runner_up = logits.scatter(-1, at, -torch.inf).amax(-1)
    return size | {
        "logit_margin": (correct - runner_up).masked_fill(~asked, 0.0).sum() / asked.sum(),
    }


def joined_metrics(measured: Mapping[str, Float[Tensor, "*run"]]) -> Float[Tensor, "run metric"]:
    """Return all metrics as one tensor, which takes a single transfer."""
    return torch.stack([value.reshape(-1) for value in measured.values()], dim=1)


def rows(names: Sequence[str], metrics: Float[Tensor, "run metric"]) -> list[dict[str, Any]]:
    """Return the numbers of a line of metrics.jsonl, of every run; the only point where the host waits."""
    return [row(dict(zip(names, values, strict=True))) for values in metrics.tolist()]


def row(values: Mapping[str, float]) -> dict[str, Any]:
    """Return the numbers of a line of metrics.jsonl, with a table of those named ``metric/part``.

    Shares of no examples, 0 / 0, are left out.
    """
    unknown = {name for name in NOISE if math.isnan(values.get(name, math.nan))}
    left_out = set(NOISE) if NOISE[0] in unknown else unknown
    found: dict[str, Any] = {}
    for name, value in values.items():
        metric, slash, of = name.partition("/")
        if slash and not (OF_ANSWER in name and math.isnan(value)):  # no example of the part asks for the answer
            found.setdefault(metric, {})[of] = value
        elif not slash and name not in left_out:
            found[name] = value
    return found


def settings(step: RunStep, at: int) -> dict[str, float | int]:
    """Return the settings of the update from step ``at``."""
    rates, sampler = step.rates, step.sampler
    found: dict[str, float | int] = {
        "learning_rate": rates.learning_rate(at),
        "weight_decay": rates.weight_decay(at),
        "batch_size": sampler.size,
    }
    if rates.gain > 1:
        found["lamb"] = rates.gain - 1
    return found | ({"examples": sampler.let_in(at)} if sampler.order is not None else {})
