"""Read the examples that a recorder evaluates a module on: inputs and labels."""

from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from grokinterp.errors import ConfigError
from grokinterp.models import RecordedInputs
from grokinterp.storage import encode_examples

IGNORED = -100
"""The label of a position of a sequence that is not asked for, as in ``torch.nn.CrossEntropyLoss``."""

LARGEST_FILE = 2**30
"""Maximum size of all inputs, in bytes."""


def examples_of(train: Any, test: Any) -> tuple[RecordedInputs, Int[Tensor, "example answer"], Bool[Tensor, "example"]]:
    """Return the inputs and labels of all examples, training examples first, and the training mask.

    Raises:
        ConfigError: the examples are invalid.
    """
    parts = [inputs_and_labels(key, part) for key, part in (("train", train), ("test", test))]
    (inputs, labels), (others, other_labels) = parts
    if labels.shape[1] != other_labels.shape[1]:
        rule = f"must be as many per example as in train, {labels.shape[1]}"
        raise ConfigError("test", f"{other_labels.shape[1]} labels per example", rule)
    is_train = torch.arange(len(labels) + len(other_labels)) < len(labels)
    return inputs.followed_by(others, key="test"), torch.cat([labels, other_labels]), is_train


def inputs_and_labels(key: str, part: Any) -> tuple[RecordedInputs, Int[Tensor, "example answer"]]:
    """Return the inputs and labels of training or test examples; labels that do not count become -1.

    Raises:
        ConfigError: the part is not a pair of inputs and labels.
    """
    if not isinstance(part, tuple | list) or len(part) != 2:
        raise ConfigError(key, type(part).__name__, "must be a pair: inputs and labels")
    inputs, labels = RecordedInputs.of(part[0], key=key), part[1]
    whole = isinstance(labels, Tensor) and labels.ndim in (1, 2) and not labels.is_floating_point()
    if not whole or labels.is_complex() or labels.dtype == torch.bool:
        rule = "must be a tensor of integers, one class per example, or one per position of a sequence"
        raise ConfigError(key, "labels", rule)
    if not len(labels) == len(inputs) > 0:
        rule = f"must be as many as the {len(inputs)} inputs, and at least one"
        raise ConfigError(key, f"{len(labels)} labels", rule)
    found = labels.detach().cpu().long().reshape(len(labels), -1)
    if labels.ndim == 2:
        found = found.masked_fill(found == IGNORED, -1)
        if not (found >= 0).any(1).all():
            raise ConfigError(key, "labels", f"must ask every example for an answer: some rows hold only {IGNORED}")
    return inputs, found


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
