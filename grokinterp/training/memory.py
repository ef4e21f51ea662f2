"""Memory requirements of training, estimated before anything is allocated by computing without storage."""

from collections.abc import Callable, Generator, Hashable
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from grokinterp.allocations import Allocations
from grokinterp.available import bytes_available, peak_resident, resident, size_text
from grokinterp.errors import ConfigError, GrokinterpError
from grokinterp.experiment import Experiment, Optimization
from grokinterp.losses import LossForm, exact_losses, example_losses
from grokinterp.models import Model, ModelSpec, ReadoutInputs, build
from grokinterp.models.training_mode import training_mode
from grokinterp.storage.tensor_file import MAX_FILE_BYTES
from grokinterp.storage.write_queue import MOST_BYTES, PER_RUN
from grokinterp.torch_settings import computing

MOMENTS = {"adamw": 2, "adam": 2, "sgd": 1, "muon": 2}
"""Largest number of values that each optimizer keeps per weight."""

FRAGMENTATION = 1.9
"""Process memory per byte of temporary arrays: freed blocks are kept, and not every array fits into a freed block.

Measured: 1.0 to 2.2 (``python -m benchmarks.training_memory``).
"""

INTEGERS = 8
"""Numbers that a problem keeps per example besides its tokens: labels, masks, its place in the order of an epoch."""


class Needs(NamedTuple):
    """Estimated bytes of a training run.

    weights: weights, gradients, moments, memory of filters, average, and the weights before the last update.
    examples: tokens, prepared inputs, and labels of every part.
    preparation: the temporary arrays that prepare the largest part.
    step: the logits of the last step, and the arrays that the forward and backward pass of a batch hold at a time.
    evaluation: the logits of the last step, and the arrays for as many examples as are evaluated at a time.
    saving: copies of the tensors of a file while it is written.
    waiting: copies of checkpoints that are written while training continues.
    """

    weights: int
    examples: int
    preparation: int
    step: int
    evaluation: int
    saving: int
    waiting: int

    @property
    def peak(self) -> int:
        """The bytes held throughout plus the largest temporary need, with fragmentation; temporary needs take turns."""
        passing = max(self.preparation, self.step, self.evaluation, self.saving)
        return self.weights + self.examples + self.waiting + round(FRAGMENTATION * passing)


def require_memory(experiment: Experiment, device: torch.device) -> None:
    """Raise ConfigError if training exceeds the memory of the device, or the resume file its size limit."""
    weights, examples = count_weights(experiment), experiment.task.n_examples
    saved = bytes_per_weight(experiment.optimization) * saved_per_weight(experiment.optimization)
    if saved * weights > MAX_FILE_BYTES:
        limit = f"at most {MAX_FILE_BYTES // saved:,} fit in a resume file"
        raise ConfigError("model", f"{weights:,} weights", limit)
    needed, free = needs(experiment).peak, bytes_available(device)
    if needed > free:
        raise ConfigError(
            "model",
            f"{weights:,} weights on {examples:,} examples",
            f"needs about {size_text(needed)} of memory, but only {size_text(free)} are available; "
            f"{advice(experiment)}",
        )


def count_weights(experiment: Experiment) -> int:
    """Return the number of weights of the model, without allocating it."""
    return sum(weight.numel() for weight in experiment.empty_model(device="meta").parameters())


def advice(experiment: Experiment) -> str:
    """Return advice on how to need less memory."""
    found = needs(experiment)
    if found.step == max(found) and experiment.optimization.batch_size is None:
        return "try optimization.batch_size, or a smaller model or task"
    return "try a smaller model or task"


def needs(experiment: Experiment) -> Needs:
    """Estimate the memory for training an experiment."""
    task, optimization, sizes = experiment.task, experiment.optimization, experiment.split.sizes(experiment.task)
    traced = traced_for(experiment)
    size = bytes_per_weight(optimization)
    weights = size * traced.weights
    checkpoint = weights * in_checkpoint(optimization)
    return Needs(
        weights=(3 + computed_per_weight(optimization) + remembered_per_weight(optimization)) * weights,
        examples=8 * task.n_examples * (3 * experiment.n_ctx + task.n_ctx + INTEGERS),
        preparation=8 * max(sizes) * 2 * experiment.n_ctx,
        step=size * traced.step // 4,
        evaluation=size * traced.evaluation // 4,
        saving=2 * saved_per_weight(optimization) * weights,
        waiting=checkpoint * (max(1, min(PER_RUN, MOST_BYTES // checkpoint)) + 2),  # two more while one is written
    )


def remembered_per_weight(optimization: Optimization) -> int:
    """Return how many numbers are kept per weight by optimizer, filters, moving average and decay to the start."""
    filters = sum(filter.copies for filter in optimization.filters)
    kept = (optimization.average is not None) + (optimization.weight_decay_form == "to_init")
    return MOMENTS[optimization.optimizer] + filters + kept


def computed_per_weight(optimization: Optimization) -> int:
    """Return how many more numbers a step needs per weight: without noise, and rounded to 16 bits, with gradients."""
    return (optimization.weight_noise > 0) + (optimization.precision in ("float16", "bfloat16"))


def bytes_per_weight(optimization: Optimization) -> int:
    """Return the size of a weight in memory and in files."""
    return 8 if optimization.precision == "float64" else 4


def in_checkpoint(optimization: Optimization) -> int:
    """Return how many numbers per weight a checkpoint holds: the weight, its last update, and its average."""
    return 2 + (optimization.average is not None)


def saved_per_weight(optimization: Optimization) -> int:
    """Return how many numbers per weight a resume file holds: the weight and ``remembered_per_weight``."""
    return 1 + remembered_per_weight(optimization)


class Traced(NamedTuple):
    """The numbers of parameters and weights of a model, and the bytes of a step and of an evaluation."""

    parameters: int
    weights: int
    step: int
    evaluation: int


class Sizes(NamedTuple):
    """The sizes of a task on which the memory of a model depends.

    ``d_task`` is the number of tokens of the task, ``d_vocab`` that of the model, which may have "=" as well.
    """

    d_task: int
    d_vocab: int
    n_classes: int
    n_ctx: int
    n_answers: int = 1


TRACED: dict[Hashable, Traced] = {}
"""The results of ``traced`` so far, from this process or the one that started it, by its arguments."""


def traced_for(experiment: Experiment) -> Traced:
    """Return the sizes of an experiment's model, batch and evaluation."""
    case = case_of(experiment)
    if case not in TRACED:
        TRACED[case] = traced(*case)
    return TRACED[case]


def remember(experiment: Experiment, counted: Traced) -> None:
    """Keep what another process counted for an experiment."""
    TRACED[case_of(experiment)] = counted


def case_of(experiment: Experiment) -> tuple[ModelSpec, Sizes, LossForm, int, int]:
    """Return the arguments of ``traced`` for an experiment."""
    task, parts = experiment.task, experiment.split.sizes(experiment.task)
    sizes = Sizes(task.d_vocab, experiment.d_vocab, task.n_classes, experiment.n_ctx, task.n_answers)
    batch = experiment.optimization.batch_size or parts.train
    return experiment.model, sizes, experiment.optimization.loss, batch, max(parts)


def traced(spec: ModelSpec, sizes: Sizes, loss: LossForm, batch: int, largest: int) -> Traced:
    """Count the bytes that a step and an evaluation hold, by computing both on the meta device without storage.

    They are those of ``Model.functional_answers``, as in stacks and on GPUs; the tables of ``Model.answers`` hold less.

    Args:
        spec: the model.
        sizes: the sizes of the task.
        loss: the loss.
        batch: the number of examples of a step.
        largest: the number of examples of the largest part.
    """
    with computing(), torch.device("meta"):
        model = model_of(spec, sizes)
        weights = list(model.parameters())
        for weight in weights:
            weight.grad = torch.empty_like(weight)  # counted with the weights
        inputs, labels = without_storage(spec, sizes, batch)
        mode = training_mode(model, None) if model.differs_in_training else nullcontext()
        with mode, Allocations() as of_step:
            answers = model.functional_answers(inputs)
            losses = example_losses(answers.logits, labels, form=loss, supervised=answers.supervised)
            losses.mean().backward()
        answered = [kept for kept in answers if kept is not None]
        inputs, labels = without_storage(spec, sizes, min(model.evaluated_at_once, largest))
        with torch.no_grad(), Allocations() as of_evaluation:
            exact_losses(*model.functional_answers(inputs), labels, form=loss)
    kept = 4 * sum(answer.numel() for answer in answered)
    norms = 16 * max(weight.numel() for weight in weights)  # in float64
    count = sum(weight.numel() for weight in weights)
    return Traced(len(weights), count, kept + of_step.peak, kept + max(of_evaluation.peak, norms))


def without_storage(spec: ModelSpec, sizes: Sizes, examples: int) -> tuple[ReadoutInputs, Tensor]:
    """Return undefined inputs and labels; the last position has all tokens of the task, or only an appended "="."""
    queries = 1 if sizes.d_vocab > sizes.d_task else sizes.d_task
    inputs = ReadoutInputs.sized(examples, d_vocab=sizes.d_task, n_ctx=sizes.n_ctx, queries=queries)
    return inputs, torch.empty(examples, sizes.n_answers, dtype=torch.int64)


def model_of(spec: ModelSpec, sizes: Sizes) -> Model:
    """Return a model of these sizes without initial weights."""
    return build(
        spec,
        d_vocab=sizes.d_vocab,
        d_vocab_out=sizes.n_classes,
        n_ctx=sizes.n_ctx,
        n_answers=sizes.n_answers,
    )


class MemoryUse:
    """The memory that this process uses from now on, on a device.

    Args:
        device: the device that computes.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.at_start, self.earlier_peak = self._now()

    def peak(self) -> int | None:
        """Return the peak of the bytes used since creation; None if it is unknown, or was higher before creation."""
        peak = self._now()[1]
        return peak - self.at_start if peak > self.earlier_peak else None

    def _now(self) -> tuple[int, int]:
        """Return the bytes in use, and their peak so far."""
        if self.device.type == "cuda":
            return torch.cuda.memory_allocated(self.device), torch.cuda.max_memory_allocated(self.device)
        return resident(), peak_resident()


@contextmanager
def memory_errors_in_one_line(
    experiment: Experiment, device: torch.device, needed: Callable[[], Needs]
) -> Generator[None]:
    """Convert an allocation failure inside the block to a one-line error: needed, free, suggestion."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        on_gpu = "free the GPU, or try --device cpu; " if device.type == "cuda" else ""
        raise GrokinterpError(
            f"out of memory on {device}: needed about {size_text(needed().peak)}, {free_memory(device)}; "
            f"{on_gpu}{advice(experiment)}"
        ) from None


OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""Texts by which a RuntimeError reports that memory could not be allocated."""


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error reports that memory could not be allocated."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in OUT_OF_MEMORY)


def free_memory(device: torch.device) -> str:
    """Return the free memory of a device as text; after a failure, a GPU may not answer."""
    try:
        return f"{size_text(bytes_available(device))} free"
    except RuntimeError:
        return "free memory unknown"
