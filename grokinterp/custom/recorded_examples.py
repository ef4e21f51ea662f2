"""Read the examples that a recorder evaluates a module on: inputs and labels."""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from grokinterp.errors import ConfigError, require
from grokinterp.losses import LossForm
from grokinterp.models import RecordedInputs
from grokinterp.specification import require_type
from grokinterp.storage import encode_examples
from grokinterp.tasks import RecordedTask, Task
from grokinterp.tasks.task import Labels

IGNORED = -100
"""The label of a position of a sequence that is not asked for, as in ``torch.nn.CrossEntropyLoss``."""

LARGEST_FILE = 2**30
"""Maximum size of all inputs, in bytes."""


def examples_of(train: Any, test: Any) -> tuple[RecordedInputs, Labels, Bool[Tensor, "example"]]:
    """Return the inputs and labels of all examples, training examples first, and the training mask.

    Raises:
        ConfigError: the examples are invalid.
    """
    parts = [inputs_and_labels(key, part) for key, part in (("train", train), ("test", test))]
    (inputs, labels), (others, other_labels) = parts
    if labels.is_floating_point() != other_labels.is_floating_point():
        given = "numbers" if other_labels.is_floating_point() else "integers"
        raise ConfigError("test", f"labels are {given}", "must be integers in both train and test, or numbers in both")
    if labels.shape[1:] != other_labels.shape[1:]:
        counts = [each.shape[1] * (each.shape[2] if each.ndim > 2 else 1) for each in (labels, other_labels)]
        rule = f"must be as many per example as in train, {counts[0]}"
        raise ConfigError("test", f"{counts[1]} labels per example", rule)
    is_train = torch.arange(len(labels) + len(other_labels)) < len(labels)
    return inputs.followed_by(others, key="test"), torch.cat([labels, other_labels]), is_train


def inputs_and_labels(key: str, part: Any) -> tuple[RecordedInputs, Labels]:
    """Return the inputs and labels of training or test examples; labels that do not count become -1.

    Labels that are numbers are the targets of a regression, [example] or [example, output].

    Raises:
        ConfigError: the part is not a pair of inputs and labels.
    """
    if not isinstance(part, tuple | list) or len(part) != 2:
        raise ConfigError(key, type(part).__name__, "must be a pair: inputs and labels")
    inputs, labels = RecordedInputs.of(part[0], key=key), part[1]
    whole = isinstance(labels, Tensor) and labels.ndim in (1, 2)
    if not whole or labels.is_complex() or labels.dtype == torch.bool:
        rule = "must be a tensor of integers, one class per example or position of a sequence, or of targets"
        raise ConfigError(key, "labels", rule)
    if not len(labels) == len(inputs) > 0:
        rule = f"must be as many as the {len(inputs)} inputs, and at least one"
        raise ConfigError(key, f"{len(labels)} labels", rule)
    if labels.is_floating_point():
        return inputs, targets_of(key, labels)
    found = labels.detach().cpu().long().reshape(len(labels), -1)
    if labels.ndim == 2:
        found = found.masked_fill(found == IGNORED, -1)
        if not (found >= 0).any(1).all():
            raise ConfigError(key, "labels", f"must ask every example for an answer: some rows hold only {IGNORED}")
    return inputs, found


def targets_of(key: str, labels: Float[Tensor, "example *output"]) -> Float[Tensor, "example answer output"]:
    """Return the targets of a regression as those of a single answer.

    Raises:
        ConfigError: a target is not finite.
    """
    if not labels.isfinite().all():
        raise ConfigError(key, "labels", "must be finite numbers")
    return labels.detach().cpu().double().reshape(len(labels), 1, -1)


def require_regression(labels: Labels, *, loss: LossForm, tolerance: float | int | None, task: Task | None) -> None:
    """Raise ConfigError unless targets have the squared error, a tolerance, and no task, and classes no tolerance."""
    require_type("tolerance", tolerance, float | None)
    if not labels.is_floating_point():
        require(tolerance is None, "tolerance", tolerance, "is for labels that are numbers: give none with classes")
        return
    require(loss == "mse", "loss", loss, "must be mse: the labels are numbers")
    require(task is None, "task", "given", "has classes, but the labels are numbers")
    rule = "must be given with labels that are numbers: the largest root mean squared error of a correct answer"
    require(tolerance is not None, "tolerance", tolerance, rule)
    require(tolerance is None or 0 < tolerance < math.inf, "tolerance", tolerance, "must be a positive number")


def recorded_task(
    labels: Labels, *, classes: int, digest: str, same: tuple[int, ...] | None, data: str, tolerance: float | int | None
) -> RecordedTask:
    """Return the task of recorded examples, whose labels are classes or the targets of a regression.

    Raises:
        ConfigError: the labels are not classes, or do not fit the module's outputs or the tolerance.
    """
    if not labels.is_floating_point():
        several = labels.shape[1] > 1
        answers = tuple(map(tuple, labels.tolist())) if several else tuple(labels.squeeze(1).tolist())
        return RecordedTask(answers=answers, classes=classes, digest=digest, same=same, data=data)
    if labels.shape[2] != classes:
        rule = f"must be one for each of {labels.shape[2]} targets: pass logits=, a function of the output"
        raise ConfigError("model", f"{classes} outputs", rule)
    targets, tolerance = tuple(map(tuple, labels.squeeze(1).tolist())), None if tolerance is None else float(tolerance)
    return RecordedTask(
        answers=(), classes=classes, digest=digest, same=same, data=data, targets=targets, tolerance=tolerance
    )


def encoded(inputs: RecordedInputs) -> tuple[bytes, str]:
    """Return the file content of the inputs, and its digest.

    Raises:
        ConfigError: the inputs cannot be stored.
    """
    size = sum(value.nbytes for value in inputs.tensors.values())
    if size > LARGEST_FILE:
        rule = f"must be at most {LARGEST_FILE:,}: give fewer examples"
        raise ConfigError("train", f"{size:,} bytes of inputs", rule)
    try:
        return encode_examples(inputs.tensors, {"layout": inputs.layout})
    except ValueError as error:
        raise ConfigError("train", "inputs", str(error)) from None


def same(inputs: RecordedInputs) -> tuple[int, ...] | None:
    """Return an id per example that equal examples share; None if all examples differ."""
    flat = [value.contiguous().reshape(len(value), -1).view(torch.uint8) for value in inputs.tensors.values()]
    first: dict[bytes, int] = {}
    rows = torch.cat(flat, 1).numpy()
    ids = tuple(first.setdefault(row.tobytes(), place) for place, row in enumerate(rows))
    return ids if len(first) < len(ids) else None
