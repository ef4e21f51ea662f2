"""The forward and backward pass of several runs of one model, with a leading run axis."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import functional_call, vmap

from grokinterp.experiment.problem import Part, Problem
from grokinterp.losses import LossForm, example_losses, mean_of_answers
from grokinterp.models import Answers, AnswersProgram, Model, ReadoutInputs

RUN_AXES: Any = ReadoutInputs._make((0, None, None, 0, None, 0))
"""The run axis of each part of the inputs; None for the tables of distinct rows, which all runs share."""


class Gradients(NamedTuple):
    """The result of a pass, detached from its graph.

    Args:
        parts: the gradient of each parameter of every run.
        losses: the mean loss of every run.
        answers: the answers of every run.
    """

    parts: Sequence[Float[Tensor, "run *shape"]]
    losses: Float[Tensor, "run"]
    answers: Answers


def answers_of_run(model: Model, weights: Mapping[str, Tensor], inputs: ReadoutInputs) -> tuple[Tensor, ...]:
    """Return the logits of one run, and the logits of all supervision steps, if there are any."""
    named = {f"model.{name}": weight for name, weight in weights.items()}
    found: Answers = functional_call(AnswersProgram(model), named, (inputs,))
    return found.logits, *(() if found.supervised is None else (found.supervised,))


def over_runs(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of the tensors of one run as a function of the tensors of all; None remains None."""

    def of_all(*tensors: Tensor | None) -> Any:
        return vmap(function, in_dims=tuple(None if one is None else 0 for one in tensors))(*tensors)

    return of_all


def stacked_answers(model: Model, weights: Mapping[str, Float[Tensor, "run *shape"]], inputs: ReadoutInputs) -> Answers:
    """Return the answers of every run, without a graph for gradients unless they are enabled."""
    return answers_in(vmap(partial(answers_of_run, model), in_dims=(0, RUN_AXES))(weights, inputs))


def answers_in(found: Sequence[Tensor]) -> Answers:
    """Return logits, and the logits of all supervision steps where they follow."""
    return Answers(found[0], found[1] if len(found) > 1 else None)


def stacked_gradients(
    model: Model,
    leaves: Mapping[str, Float[Tensor, "run *shape"]],
    inputs: ReadoutInputs,
    labels: Int[Tensor, "run example answer"],
    form: LossForm,
) -> Gradients:
    """Return the gradients of the mean loss of every run.

    Args:
        model: a model of the specification of all runs.
        leaves: the parameters of all runs, with gradients required.
        inputs: the examples of every run, with common tables of rows.
        labels: their labels.
        form: the loss.
    """

    def loss_of_run(
        weights: Mapping[str, Tensor], inputs: ReadoutInputs, labels: Int[Tensor, "example answer"]
    ) -> tuple[Tensor, ...]:
        logits, *supervised = answers_of_run(model, weights, inputs)
        every = supervised[0] if supervised else None
        losses = example_losses(logits, labels, form=form, supervised=every)
        return mean_of_answers(losses, labels).mean(), logits, *supervised

    losses, *answers = vmap(loss_of_run, in_dims=(0, RUN_AXES, 0))(leaves, inputs, labels)
    parts = torch.autograd.grad(losses.sum(), list(leaves.values()), allow_unused=True, materialize_grads=True)
    # detached: a graph that stays alive ties the gradients to this stream, and a capture runs on another
    return Gradients(parts, losses.detach(), answers_in([answer.detach() for answer in answers]))


def stacked_part(problems: Sequence[Problem], name: str) -> Part:
    """Return the examples of a part of every run, with one table of distinct rows, and their labels."""
    every = problems[0].parts["all"].inputs
    masks = [one.parts.mask(name) for one in problems]
    chosen = [every.at(mask.nonzero().squeeze(1)) for mask in masks]
    tokens, row, query = (
        torch.stack(parts) for parts in zip(*((one.tokens, one.row, one.query) for one in chosen), strict=True)
    )
    both = list(zip(problems, masks, strict=True))
    labels = torch.stack([one.trained_labels[mask] for one, mask in both])
    correct = torch.stack([one.labels[mask] for one, mask in both])
    return Part(every._replace(tokens=tokens, row=row, query=query), labels, correct)


def rows_of(part: Part, rows: Int[Tensor, "kept"]) -> Part:
    """Return the examples of some of the runs."""
    return Part(part.inputs.at(rows), part.labels[rows], part.correct_labels[rows])
