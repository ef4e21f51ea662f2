"""Check that the activations of all examples, and the arrays that analyses compute from them, fit into memory."""

import torch

from grokinterp.available import bytes_available, size_text
from grokinterp.errors import ConfigError, NotDefined
from grokinterp.experiment import Experiment
from grokinterp.models import Model, ReadoutInputs

COPIES = 4
"""Default number of float64 arrays as large as all logits that an analysis computes, besides those it shares."""


def require_memory(experiment: Experiment, model: Model, device: torch.device, *, copies: int = COPIES) -> None:
    """Raise ConfigError if the analysis of a single checkpoint needs more memory than is available."""
    task = experiment.task
    if lacking := lacking_memory(experiment, model, bytes_available(device), copies=copies):
        sizes = f"{task.n_examples:,} examples × {task.n_classes:,} classes"
        raise ConfigError("task", f"{task.kind}, {sizes}", lacking)


def lacking_memory(experiment: Experiment, model: Model, free: int, *, copies: int = COPIES) -> str:
    """Return a message if an analysis needs more than ``free`` bytes of memory, otherwise an empty text."""
    needed = bytes_needed(experiment, model, copies=copies)
    what = f"needs about {size_text(needed)} of memory to analyze, but only {size_text(free)} are available"
    return what if needed > free else ""


def bytes_needed(experiment: Experiment, model: Model, *, copies: int = COPIES) -> int:
    """Estimate the memory for one checkpoint, in bytes.

    It holds the read-out and the features of all examples, which analyses share, ``copies`` arrays as large as all
    logits, and the activations of the examples that are evaluated at a time.
    """
    task = experiment.task
    kept = shared_per_example(model, experiment.n_ctx) + copies * task.n_classes
    passing = min(task.n_examples, model.evaluated_at_once) * model.kept_per_example
    return 8 * (task.n_examples * kept + passing)


@torch.no_grad()
def shared_per_example(model: Model, n_ctx: int) -> int:
    """Return how many numbers per example the read-out and the features at all hooks hold."""
    tokens = torch.zeros(1, n_ctx, dtype=torch.int64, device=next(model.parameters()).device)
    try:
        readout = model.readout(ReadoutInputs.of(tokens))
        features = model.catch(tokens, *model.feature_hooks)[1:]
    except NotDefined:
        return 2 * model.n_neurons
    parts = [part for part in readout if part is not None] + [model.at_readout(value) for value in features]
    return sum(part.numel() for part in parts)


def workers_that_fit(
    experiment: Experiment, model: Model, device: torch.device, wanted: int, *, copies: int = COPIES
) -> int:
    """Return the number of checkpoints that can be analyzed at a time, at least 1."""
    return max(1, min(wanted, bytes_available(device) // bytes_needed(experiment, model, copies=copies)))
