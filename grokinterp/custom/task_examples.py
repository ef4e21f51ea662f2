"""Match the examples that a recorder is given with the examples of a task."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from grokinterp.errors import ConfigError
from grokinterp.models import RecordedInputs
from grokinterp.models.known_parts import Encoding
from grokinterp.tasks import Task


class TaskExamples(NamedTuple):
    """All examples of a task as inputs of a module, in the order of the task.

    Args:
        inputs: the inputs of every example.
        is_train: which examples are trained on.
        encoding: how the inputs encode tokens.
        n_tokens: the largest token in any input plus 1; the width of one-hot vectors.
        side_by_side: whether the one-hot vectors of all tokens are concatenated.
        of_first: the tokens of the first example, including constant tokens.
    """

    inputs: RecordedInputs
    is_train: Bool[Tensor, "example"]
    encoding: Encoding
    n_tokens: int
    side_by_side: bool
    of_first: frozenset[int]


def task_examples(
    task: Task, inputs: RecordedInputs, labels: Int[Tensor, "given"], is_train: Bool[Tensor, "given"]
) -> TaskExamples:
    """Return the given examples in the order of the task.

    Raises:
        ConfigError: the inputs contain no tokens of the task; an example is foreign to the task, repeated, or missing;
            or a label is not the task's.
    """
    encoding = encoding_of(inputs, task)
    tokens = tokens_of(inputs, encoding, task)
    place = places_of(task, tokens, labels, is_train)
    order = torch.empty_like(place)
    order[place] = torch.arange(len(place))
    ordered = RecordedInputs({name: value[order] for name, value in inputs.tensors.items()}, inputs.layout)
    if encoding.one_hot is not None:
        flat = inputs.tensors[encoding.one_hot].ndim == 2
        return TaskExamples(
            ordered, is_train[order], encoding, encoding.width, flat, frozenset(task.tokens()[0].tolist())
        )
    whole = [value for value in ordered.tensors.values() if is_integer(value) and value.numel()]
    first = frozenset(token for value in whole for token in value[0].flatten().tolist())
    return TaskExamples(ordered, is_train[order], encoding, max(int(x.max()) for x in whole) + 1, False, first)


def encoding_of(inputs: RecordedInputs, task: Task) -> Encoding:
    """Return how the inputs encode tokens: by one varying column of integers per token, or by one-hot vectors.

    Raises:
        ConfigError: the inputs have neither form.
    """
    varying = {name: (value != value[:1]).reshape(len(value), -1).any(0) for name, value in inputs.tensors.items()}
    changing = [name for name, columns in varying.items() if columns.any()]
    columns = [(name, i) for name in changing for i in varying[name].nonzero().flatten().tolist()]
    whole = all(is_integer(inputs.tensors[name]) and inputs.tensors[name].ndim <= 2 for name in changing)
    if whole and len(columns) == task.n_ctx:
        return Encoding(n_tokens=task.n_ctx, columns=tuple(columns))
    if len(changing) == 1 and (width := one_hot_width(inputs.tensors[changing[0]], task.n_ctx)):
        return Encoding(n_tokens=task.n_ctx, one_hot=changing[0], width=width)
    rule = (
        f"must hold the {task.n_ctx} tokens of {task.kind}, as integers or one-hot vectors; the rest must be constant"
    )
    raise ConfigError("train", f"inputs with {len(columns)} varying columns", rule)


def is_integer(value: Tensor) -> bool:
    """Return whether a tensor contains integers."""
    return not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)


def one_hot_width(value: Tensor, n_ctx: int) -> int:
    """Return the length of one-hot vectors [example, position, token] or [example, position · token], else 0.

    >>> one_hot_width(torch.eye(4)[:, None], 1), one_hot_width(torch.ones(2, 4), 2)
    (4, 0)
    """
    each = value.flatten(1)
    if value.ndim not in (2, 3) or each.shape[1] % n_ctx or (value.ndim == 3 and value.shape[1] != n_ctx):
        return 0
    vectors = each.double().unflatten(1, (n_ctx, -1))
    exact = bool(((vectors == 0) | (vectors == 1)).all()) and bool((vectors.sum(2) == 1).all())
    return vectors.shape[2] if exact else 0


def tokens_of(inputs: RecordedInputs, encoding: Encoding, task: Task) -> Int[Tensor, "given position"]:
    """Return the tokens of every given example."""
    if encoding.one_hot is not None:
        return inputs.tensors[encoding.one_hot].flatten(1).unflatten(1, (task.n_ctx, -1)).double().argmax(2)
    each = {name: value.unsqueeze(1) if value.ndim == 1 else value for name, value in inputs.tensors.items()}
    return torch.stack([each[name][:, column].long() for name, column in encoding.columns], 1)


def places_of(
    task: Task, tokens: Int[Tensor, "given position"], labels: Int[Tensor, "given"], is_train: Bool[Tensor, "given"]
) -> Int[Tensor, "given"]:
    """Return the index in the task of every given example.

    Raises:
        ConfigError: an example is foreign to the task, repeated, mislabeled, or missing; the message names the first
            one.
    """
    place = {tuple(row): i for i, row in enumerate(task.tokens().tolist())}
    answers, count = task.label().tolist(), int(is_train.sum())
    found: dict[int, int] = {}
    for i, (row, label) in enumerate(zip(tokens.tolist(), labels.tolist(), strict=True)):
        key, number = ("train", i) if i < count else ("test", i - count)
        named = f"example {number}, tokens {row}"
        if tuple(row) not in place:
            raise ConfigError(key, named, f"must be an example of {task.kind}, with tokens below {task.d_vocab}")
        here = place[tuple(row)]
        if here in found:
            raise ConfigError(key, named, "must be given only once, in train or in test")
        if label != answers[here]:
            raise ConfigError(key, f"{named}, label {label}", f"must have the label of {task.kind}, {answers[here]}")
        found[here] = i
    if lacking := [row for row, here in place.items() if here not in found]:
        rule = (
            f"must cover all {len(place)} of {task.kind} with task=: {len(lacking)} are missing, the first with tokens"
        )
        raise ConfigError("test", f"{len(found)} examples with train", f"{rule} {list(lacking[0])}")
    return torch.tensor(list(found), dtype=torch.int64)
