"""Alignment of filtered gradients with the weights; a filter may depend on earlier gradients."""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import xarray as xr
from jaxtyping import Float
from torch import Tensor

from grokinterp.analysis.engine.collector import Collector
from grokinterp.analysis.engine.coordinates import Setting
from grokinterp.analysis.engine.evaluator import on_host
from grokinterp.errors import CheckpointError, RunDirectoryError
from grokinterp.experiment import Experiment
from grokinterp.maths.cosines import cosines_with
from grokinterp.optim import GradientFilter, Memory
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.runs.trajectory import Trajectory


class FilteredAlignment(NamedTuple):
    """Cosines of the gradient and of the filtered gradient with the weights.

    gradient_weight_cosine: cosine between training-loss gradient and weights, per parameter [1]
    gradient_weight_cosine_total: cosine between training-loss gradient and weights, all parameters [1]
    filtered_gradient_cosine: cosine between filtered gradient and weights, per parameter [1]
    filtered_gradient_cosine_total: cosine between filtered gradient and weights, all parameters [1]
    """

    gradient_weight_cosine: Float[Tensor, "parameter"]
    gradient_weight_cosine_total: Float[Tensor, ""]
    filtered_gradient_cosine: Float[Tensor, "parameter"]
    filtered_gradient_cosine_total: Float[Tensor, ""]


def filtered_alignment(
    trajectory: Trajectory, filter: GradientFilter, *, steps: Iterable[int] | None = None
) -> xr.Dataset:
    """Apply a filter to the gradients of the checkpoints in order and return the cosine of its output with the weights.

    A filter with memory receives one gradient per checkpoint, the gradient of the mean training loss. These are the
    gradients of training only if every step is saved and every batch is the whole training set; otherwise the memory
    of the filter covers more steps than in training. A moving average of w gradients holds w copies of the model in
    memory. A damaged checkpoint is skipped and listed in ``skipped``.

    Args:
        trajectory: the run.
        filter: the filter to apply to the gradients.
        steps: the steps to use (default: all saved steps).

    Returns:
        The fields of ``FilteredAlignment`` over ``step``. The attributes give the ``filter``, the distances between
        successive gradients in steps (``smallest_spacing``, ``largest_spacing``), and whether the filter received the
        gradients of training (``exact``: 1 or 0).

    Raises:
        RunDirectoryError: no checkpoint could be read.
        NotDefined: the training examples are unknown.
    """
    wanted = sorted(trajectory.steps if steps is None else steps)
    setting = Setting(trajectory.problem, trajectory.empty_model(), {})
    collector, memories, skipped = Collector(filtered_alignment, setting, len(wanted)), {}, {}
    for step in wanted:
        try:
            checkpoint = trajectory[step]
        except CheckpointError as error:
            skipped[str(step)] = error.why
            continue
        result, memories = aligned(checkpoint, filter, memories)
        collector.add(step, on_host(result))
    if not collector.steps:
        raise RunDirectoryError(trajectory.path, f"has no readable checkpoint ({len(skipped)} damaged)")
    dataset = collector.dataset()
    what_it_saw = spacing(collector.steps, trajectory.experiment, filter)
    return dataset.assign_attrs(filter=repr(filter), **what_it_saw, skipped=json.dumps(skipped))


def aligned(
    checkpoint: Checkpoint, filter: GradientFilter, memories: dict[str, Memory]
) -> tuple[FilteredAlignment, dict[str, Memory]]:
    """Return the cosines of one checkpoint, and the memory of the filter for every parameter."""
    weights, gradients = checkpoint.parameters, checkpoint.gradients
    passed = {name: filter(gradients[name], weight, memories.get(name)) for name, weight in weights.items()}
    filtered = {name: gradient for name, (gradient, _) in passed.items()}
    found = FilteredAlignment(*cosines_with(gradients, weights), *cosines_with(filtered, weights))
    return found, {name: memory for name, (_, memory) in passed.items()}


def spacing(steps: Sequence[int], experiment: Experiment, filter: GradientFilter) -> dict[str, int]:
    """Return the spacing of the gradients in steps (0 for a single one), and whether they are those of training."""
    gaps = [later - earlier for earlier, later in pairwise(steps)]
    all_seen = not filter.has_memory or (steps[0] == 0 and set(gaps) <= {1})
    return {
        "smallest_spacing": min(gaps, default=0),
        "largest_spacing": max(gaps, default=0),
        "exact": int(all_seen and experiment.optimization.batch_size is None),
    }
