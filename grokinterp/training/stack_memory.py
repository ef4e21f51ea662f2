"""Memory requirements of several runs that are trained as one program, estimated by computing without storage."""

from bisect import bisect_right
from functools import lru_cache, partial
from typing import NamedTuple

import torch

from grokinterp.allocations import Allocations
from grokinterp.experiment import Experiment, Optimization
from grokinterp.losses import exact_losses
from grokinterp.models import ModelSpec, ReadoutInputs
from grokinterp.torch_settings import computing
from grokinterp.training.flat_weights import FlatWeights
from grokinterp.training.memory import Needs, Sizes, case_of, model_of, needs, without_storage
from grokinterp.training.stack import OPTIMIZERS
from grokinterp.training.stacked_pass import RUN_AXES, over_runs, stacked_answers, stacked_gradients


class StackTraced(NamedTuple):
    """The bytes of a step and of an evaluation of a stack."""

    step: int
    evaluation: int


def stack_needs(experiment: Experiment, runs: int) -> Needs:
    """Estimate the memory for training a number of runs like an experiment as one program.

    Weights and examples are held for every run; files are written one run at a time.
    """
    one, (spec, sizes, _, batch, largest) = needs(experiment), case_of(experiment)
    traced = stack_traced(spec, sizes, experiment.optimization, batch, largest, runs)
    return one._replace(
        weights=runs * one.weights, examples=runs * one.examples, step=traced.step, evaluation=traced.evaluation
    )


def most_runs(experiment: Experiment, free: int, *, wanted: int) -> int:
    """Return how many runs like an experiment fit into memory as one program, from 1 to ``wanted``.

    Args:
        experiment: one of the runs.
        free: the free bytes of the device.
        wanted: the largest number.
    """
    return max(bisect_right(range(1, wanted + 1), free, key=lambda runs: stack_needs(experiment, runs).peak), 1)


@lru_cache(maxsize=256)
def stack_traced(
    spec: ModelSpec, sizes: Sizes, optimization: Optimization, batch: int, largest: int, runs: int
) -> StackTraced:
    """Count the bytes that a step and an evaluation hold, by computing both on the meta device without storage.

    Args:
        spec: the model.
        sizes: the sizes of the task.
        optimization: the loss and the optimizer.
        batch: the number of examples of a step of a run.
        largest: the number of examples of the largest part.
        runs: the number of runs.
    """
    form = optimization.loss
    with computing(), torch.device("meta"):
        model = model_of(spec, sizes)
        weights = FlatWeights([model] * runs)
        inputs, labels = without_storage(spec, sizes, batch)
        with Allocations() as of_step:
            found = stacked_gradients(model, weights.leaves, repeated(inputs, runs), labels.expand(runs, -1, -1), form)
            torch.cat([part.flatten(1) for part in found.parts], dim=1, out=weights.gradients)
        kept = sum(answer.numel() * answer.element_size() for answer in found.answers if answer is not None)
        del found
        optimizer, column = OPTIMIZERS[optimization.optimizer](weights, [optimization] * runs), torch.empty(runs, 1)
        with torch.no_grad(), Allocations() as of_update:
            frozen = column > 0
            optimizer.step(torch.where(frozen, 0.0, weights.gradients), column.double(), column, frozen)
        examples = min(max(model.evaluated_at_once // runs, 1), largest)
        inputs, labels = without_storage(spec, sizes, examples)
        with torch.no_grad(), Allocations() as of_evaluation:
            answers = stacked_answers(model, weights.leaves, repeated(inputs, runs))
            over_runs(partial(exact_losses, form=form))(*answers, labels.expand(runs, -1, -1))
    norms = 16 * max(weight.numel() for weight in weights.leaves.values())  # in float64
    return StackTraced(max(of_step.peak, kept + of_update.peak), kept + max(of_evaluation.peak, norms))


def repeated(inputs: ReadoutInputs, runs: int) -> ReadoutInputs:
    """Return the same examples for every run."""
    given = zip(inputs, RUN_AXES, strict=True)
    return ReadoutInputs(*(part if axis is None else part.expand(runs, *part.shape) for part, axis in given))
