"""Evaluation of analyses on checkpoints that are loaded into a model, one after another."""

import inspect
from collections.abc import Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from grokinterp.analysis.engine.labeled import Analysis, Result, require_labeled
from grokinterp.errors import NotDefined
from grokinterp.experiment.problem import Problem
from grokinterp.models import Model
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.runs.trajectory import Weights

Bound = list[tuple[Analysis, dict[str, Any]]]
"""Analyses with their arguments."""

Chunk = list[tuple[int, Weights]]
"""Checkpoints with their steps."""

Task = tuple[Chunk, Bound]
"""Analyses to run on the checkpoints of a chunk."""


@final
class Evaluator:
    """A function from a task to its chunk and results, with a model into which every checkpoint is loaded."""

    def __init__(self, model: Model, problem: Problem) -> None:
        self.model, self.problem = model, problem

    def __call__(self, task: Task) -> tuple[Chunk, list[list[Result]]]:
        chunk, bound = task
        return chunk, [self.results(bound, *item) for item in chunk]

    def results(self, bound: Bound, step: int, weights: Weights) -> list[Result]:
        """Return the result of every analysis for one checkpoint."""
        self.model.load_state_dict(weights.state)
        device = self.problem.tokens.device
        update, previous = (in_float64(one, device) for one in (weights.update, weights.previous_update))
        checkpoint = Checkpoint(step, self.model, self.problem, update, previous_update=previous)
        return [result_of(analysis, checkpoint, arguments) for analysis, arguments in bound]


def in_float64(update: dict[str, Tensor] | None, device: torch.device) -> dict[str, Tensor] | None:
    """Return an update in float64 on a device, if there is one."""
    return None if update is None else {name: value.to(device, torch.float64) for name, value in update.items()}


def result_of(analysis: Analysis, checkpoint: Checkpoint, arguments: Mapping[str, Any]) -> Result | NotDefined:
    """Return the result of an analysis with the arguments that it declares, or its NotDefined exception."""
    try:
        return on_host(labeled_result(analysis, checkpoint, declared_arguments(analysis, arguments)))
    except NotDefined as error:
        return error


def labeled_result(analysis: Analysis, checkpoint: Checkpoint, arguments: Mapping[str, Any]) -> Result:
    """Return the result of an analysis. Raises ConfigError unless its fields are labeled tensors."""
    result = analysis(checkpoint, **arguments)
    require_labeled(analysis, result)
    return result


def on_host(result: Result) -> Result:
    """Return a copy of the result as arrays, because a field may be a view of weights that the next step overwrites."""
    return type(result)(*(np.array(field.detach().cpu().numpy()) for field in result))


def declared_arguments(analysis: Analysis, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that an analysis declares. Raises TypeError if an argument without a default is missing."""
    parameters = keywords(analysis)
    missing = [p.name for p in parameters if p.default is p.empty and p.name not in arguments]
    if missing:
        raise TypeError(f"{analysis.__name__} requires {', '.join(missing)}: pass it to evaluate() by keyword")
    return {p.name: arguments[p.name] for p in parameters if p.name in arguments}


def keywords(analysis: Analysis) -> list[inspect.Parameter]:
    """Return the parameters of an analysis other than the checkpoint."""
    return list(inspect.signature(analysis).parameters.values())[1:]
