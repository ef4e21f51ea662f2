"""Memory requirements of an experiment, checked before anything is created or allocated."""

import os
from collections.abc import Generator
from contextlib import contextmanager

import torch

from grokinterp.errors import ConfigError, GrokinterpError
from grokinterp.experiment import Experiment, Optimization
from grokinterp.models import Model
from grokinterp.storage.tensor_file import MAX_FILE_BYTES

COPIES = 5
"""Numbers kept per weight during training: the weight, its gradient, two moments, and the value before the update."""

SAVED = 3
"""Numbers per weight in a resume file: the weight and two moments."""


def remembered(optimization: Optimization) -> int:
    """Return how many further numbers are kept per weight: by filters, and by a moving average."""
    return sum(filter.copies for filter in optimization.filters) + (optimization.average is not None)


def require_memory(experiment: Experiment, device: torch.device) -> None:
    """Raise ConfigError if training exceeds the memory of the device, or the resume file its size limit."""
    weights, examples = count_weights(shape_of(experiment)), experiment.task.n_examples
    saved = 4 * (SAVED + remembered(experiment.optimization))
    if saved * weights > MAX_FILE_BYTES:
        limit = f"at most {MAX_FILE_BYTES // saved:,} fit in a resume file"
        raise ConfigError("model", f"{weights:,} weights", limit)
    needed = bytes_needed(experiment)
    if needed > memory_of(device):
        raise ConfigError(
            "model",
            f"{weights:,} weights on {examples:,} examples",
            f"needs at least {_gigabytes(needed)} of memory, but the device has {_gigabytes(memory_of(device))}",
        )


def bytes_needed(experiment: Experiment) -> int:
    """Return a lower bound: copies of the weights, and activations kept for the backward pass of a batch."""
    model = shape_of(experiment)
    batch = experiment.optimization.batch_size or experiment.split.sizes(experiment.task).train
    copies = COPIES + remembered(experiment.optimization)
    return 4 * (copies * count_weights(model) + batch * model.kept_per_example)


def shape_of(experiment: Experiment) -> Model:
    """Return the model on the meta device, since it may be too large to allocate."""
    return experiment.empty_model(device="meta")


def count_weights(model: Model) -> int:
    """Return the number of entries of all trained parameters."""
    return sum(weight.numel() for weight in model.parameters())


def memory_of(device: torch.device) -> int:
    """Return the total memory of the device in bytes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@contextmanager
def memory_errors_in_one_line(experiment: Experiment, device: torch.device) -> Generator[None]:
    """Convert an allocation failure inside the block to a one-line error: needed, free, suggestion."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if type(error) is RuntimeError and "can't allocate memory" not in str(error):
            raise
        on_gpu = device.type == "cuda"
        free = f"{_gigabytes(torch.cuda.mem_get_info(device)[0])} free, " if on_gpu else ""
        needed = _gigabytes(bytes_needed(experiment))
        advice = "free the GPU, or try --device cpu, " if on_gpu else "try "
        raise GrokinterpError(
            f"out of memory on {device}: needed at least {needed}, {free}{_gigabytes(memory_of(device))} in total; "
            f"{advice}a smaller model.d_mlp or task"
        ) from None


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"
