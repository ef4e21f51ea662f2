"""Alignment of gradients after a filter, which may have to see those before."""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import xarray as xr
from jaxtyping import Float
from torch import Tensor

from grokinterp.analysis.engine.coordinates import Setting, coordinates
from grokinterp.analysis.engine.evaluate import on_host
from grokinterp.analysis.engine.labeled import Collector
from grokinterp.errors import CheckpointError, RunDirectoryError
from grokinterp.experiment import Experiment
from grokinterp.maths.cosines import cosines_with
from grokinterp.optim import GradientFilter, Memory
from grokinterp.runs.checkpoint import Checkpoint
from grokinterp.runs.trajectory import Trajectory


class FilteredAlignment(NamedTuple):
    """Cosine with the weights, of the gradient and of what a filter makes of it.

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
    """The filter run over the gradients of the checkpoints in order, and its output's cosine with the weights.

    A filter with memory sees one gradient per checkpoint, that of the mean training loss. That is
    what it saw, or would have seen, in training only where every step is saved and every batch is the
    whole training set; else its memory reaches further back than it should. A moving average
    of w gradients holds w times the model in memory. A damaged checkpoint is left out and named in
    ``skipped``.

    Args:
        trajectory: the run.
        filter: what to do to the gradients.
        steps: which steps (default: all that are saved).

    Returns:
        The fields of ``FilteredAlignment`` over ``step``; the attributes say which ``filter``, by how many
        steps successive gradients lie apart (``smallest_spacing``, ``largest_spacing``), and whether
        that is what training would have seen (``exact``: 1 or 0).

    Raises:
        RunDirectoryError: no checkpoint could be read.
        NotDefined: the training examples are unknown.
    """
    wanted = sorted(trajectory.steps if steps is None else steps)
    collector, memories, skipped = Collector(len(wanted)), {}, {}
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
    setting = Setting(trajectory.experiment, trajectory.empty_model(), {})
    dataset = collector.dataset(coordinates(filtered_alignment, setting))
    what_it_saw = spacing(collector.steps, trajectory.experiment, filter)
    return dataset.assign_attrs(filter=repr(filter), **what_it_saw, skipped=json.dumps(skipped))


def aligned(
    checkpoint: Checkpoint, filter: GradientFilter, memories: dict[str, Memory]
) -> tuple[FilteredAlignment, dict[str, Memory]]:
    """One checkpoint's cosines, and what the filter remembers of every parameter."""
    weights, gradients = checkpoint.parameters, checkpoint.gradients
    passed = {name: filter(gradients[name], weight, memories.get(name)) for name, weight in weights.items()}
    filtered = {name: gradient for name, (gradient, _) in passed.items()}
    found = FilteredAlignment(*cosines_with(gradients, weights), *cosines_with(filtered, weights))
    return found, {name: memory for name, (_, memory) in passed.items()}


def spacing(steps: Sequence[int], experiment: Experiment, filter: GradientFilter) -> dict[str, int]:
    """How far successive gradients lie apart, 0 for a single one, and whether the filter saw what training saw."""
    gaps = [later - earlier for earlier, later in pairwise(steps)]
    all_seen = not filter.has_memory or (steps[0] == 0 and set(gaps) <= {1})
    return {
        "smallest_spacing": min(gaps, default=0),
        "largest_spacing": max(gaps, default=0),
        "exact": int(all_seen and experiment.optimization.batch_size is None),
    }
