"""Read the batches of any training loop, call any model, and match its logits with labels."""

import inspect
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from grokinterp.errors import ConfigError, short
from grokinterp.models.taps import logits_of
from grokinterp.specification import require_integer, require_type
from grokinterp.torch_settings import kept_random_numbers

Loss = Callable[[Tensor, Tensor], Tensor]
"""Maps logits [row, class] and labels [row] to their mean loss, like ``torch.nn.CrossEntropyLoss``.

In a regression, it maps outputs and targets of one shape, like ``torch.nn.MSELoss``.
"""


class Batch(NamedTuple):
    """The arguments of the model, and the labels."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    labels: Tensor

    @classmethod
    def read(cls, batch: Any, device: torch.device) -> "Batch":
        """Return a batch (inputs, labels), (input, …, labels), or {…, "labels": labels} moved to the device.

        Raises:
            ConfigError: the batch has none of these forms.
        """
        if isinstance(batch, Mapping) and isinstance(batch.get("labels"), Tensor):
            given = {str(name): moved(value, device) for name, value in batch.items()}
            return cls((), {name: value for name, value in given.items() if name != "labels"}, given["labels"])
        if isinstance(batch, tuple | list) and len(batch) >= 2 and isinstance(batch[-1], Tensor):
            *inputs, labels = (moved(value, device) for value in batch)
            return cls(tuple(inputs), {}, labels)
        rule = 'must be (inputs, labels), or a dict with "labels", of tensors'
        raise ConfigError("batch", short(type(batch).__name__), rule)


def moved(value: Any, device: torch.device) -> Any:
    """Return a value with all tensors inside it moved to the device."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {name: moved(part, device) for name, part in value.items()}
    if isinstance(value, tuple | list) and type(value) in (tuple, list):
        return type(value)(moved(part, device) for part in value)
    return value


class Program:
    """Calls a model once per batch, or a recursive model ``supervision_steps`` times with the state that it returned.

    A recursive model has ``forward(inputs, …, state) -> (logits, state)``, where the parameter may have another name;
    its first state is None.

    Args:
        model: any module.
        max_supervision_steps: number of calls per batch of a recursive model; other models are called once.
        state_name: the name of the parameter for the state.

    Raises:
        ConfigError: the number of steps is not a positive integer.
    """

    def __init__(self, model: nn.Module, max_supervision_steps: int, state_name: str = "state") -> None:
        require_integer("max_supervision_steps", max_supervision_steps, 1)
        require_type("state_name", state_name, str)
        self.state_name = state_name
        self.is_recursive = state_name in inspect.signature(model.forward).parameters
        self.supervision_steps = max_supervision_steps if self.is_recursive else 1
        self.shifted = predicts_the_next(model)

    def __call__(self, model: nn.Module, batch: Batch, state: Any = None) -> tuple[Tensor, Tensor, Any]:
        """Return the logits [row, class] and labels [row] of a batch, and the state that the model returned, if any."""
        output = self._output(model, batch, state)
        logits, labels = logits_of(output), batch.labels
        if logits is None:
            raise ConfigError(
                "model", type(output).__name__, "is the type of its output: must be logits or have .logits"
            )
        if self.shifted and batch.kwargs and labels.shape == logits.shape[:-1] and labels.ndim == 2:
            logits, labels = logits[:, :-1], labels[:, 1:]
        return *rows(logits, labels), output[1] if self.is_recursive else None

    def _output(self, model: nn.Module, batch: Batch, state: Any) -> Any:
        if not self.is_recursive:
            return model(*batch.args, **batch.kwargs)
        output = model(*batch.args, **batch.kwargs, **{self.state_name: state})
        if not (isinstance(output, tuple) and len(output) == 2):
            raise ConfigError("model", type(model).__name__, "receives a state and must return (logits, state)")
        return output


def predicts_the_next(model: nn.Module) -> bool:
    """Return whether logits predict the label at the next position, as in Hugging Face's causal language models."""
    generates = getattr(model, "can_generate", None)
    config = getattr(model, "config", None)
    return callable(generates) and bool(generates()) and not getattr(config, "is_encoder_decoder", False)


def rows(
    logits: Float[Tensor, "*shape"], labels: Tensor
) -> tuple[Float[Tensor, "row class"], Int[Tensor, "row"] | Float[Tensor, "row class"]]:
    """Return one row of logits per label, from [batch, class], [batch, position, class], or torch's [batch, class, …].

    If both of the latter fit, the last axis is the class axis. Labels that are numbers are the targets of a regression,
    [batch, output], or [batch] for a single output.

    Raises:
        ConfigError: the labels do not match the logits.
    """
    if labels.is_complex():
        raise ConfigError("labels", labels.dtype, "must be class indices or real numbers")
    if labels.is_floating_point():
        return targeted(logits, labels)
    if logits.ndim < 2 or labels.shape not in (logits.shape[:-1], logits.shape[:1] + logits.shape[2:]):
        rule = f"must have one label for each row of the logits {list(logits.shape)}"
        raise ConfigError("labels", list(labels.shape), rule)
    last = logits if labels.shape == logits.shape[:-1] else logits.movedim(1, -1)
    return last.reshape(-1, last.shape[-1]), labels.reshape(-1).long()


def targeted(
    outputs: Float[Tensor, "*shape"], targets: Float[Tensor, "*target"]
) -> tuple[Float[Tensor, "row output"], Float[Tensor, "row output"]]:
    """Return the outputs and targets of a regression [row, output], from [batch, output] or [batch].

    Raises:
        ConfigError: the targets do not match the outputs.

    >>> [each.shape for each in targeted(torch.zeros(3, 1), torch.ones(3))]
    [torch.Size([3, 1]), torch.Size([3, 1])]
    """
    pair = [each.unsqueeze(1) if each.ndim == 1 else each for each in (outputs, targets)]
    if pair[0].ndim != 2 or pair[0].shape != pair[1].shape:
        rule = f"must be [batch, output], or [batch] for one output, as the outputs {list(outputs.shape)}"
        raise ConfigError("labels", f"numbers {list(targets.shape)}", rule)
    return pair[0], pair[1].to(pair[0].dtype)


def detached(state: Any) -> Any:
    """Return the state detached from its computation graph."""
    if isinstance(state, Tensor):
        return state.detach()
    if isinstance(state, Mapping):
        return {name: detached(part) for name, part in state.items()}
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        return type(state)(*(detached(part) for part in state))
    if isinstance(state, tuple | list):
        return type(state)(detached(part) for part in state)
    return state


@contextmanager
def mode(model: nn.Module, *, training: bool) -> Generator[None]:
    """Set training or evaluation mode inside the block, and restore the mode of every module afterwards.

    A model that is already in training mode is left unchanged, so that layers frozen with ``eval()`` stay frozen.
    """
    before = [(module, module.training) for module in model.modules()]
    if not (training and model.training):
        model.train(training)
    try:
        yield
    finally:
        for module, was_training in before:
            module.training = was_training


@contextmanager
def own_randomness(device: torch.device, loader: Iterable[Any] = ()) -> Generator[None]:
    """Restore all random states after the block, so that a shuffling loader does not affect later random numbers.

    This covers torch's global random state and the generators of the loader and its samplers.
    """
    before = [(generator, generator.get_state()) for generator in generators_of(loader)]
    try:
        with kept_random_numbers(device):
            yield
    finally:
        for generator, state in before:
            generator.set_state(state)


def generators_of(loader: Any) -> list[torch.Generator]:
    """Return the generators of a loader, of its sampler and batch sampler, and of the samplers inside them."""
    found = getattr(loader, "generator", None)
    inside = [getattr(loader, name, None) for name in ("sampler", "batch_sampler")]
    own = [found] if isinstance(found, torch.Generator) else []
    return own + [one for sampler in inside if sampler is not None for one in generators_of(sampler)]


@contextmanager
def buffers_kept(model: nn.Module) -> Generator[None]:
    """Restore the buffers, such as the running statistics of BatchNorm, if the block raises."""
    before = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
        raise


# --- arguments --------------------------------------------------------------------------------------------------------


def require_reusable(name: str, loader: object) -> None:
    """Raise ConfigError for a loader that can be iterated only once, such as a generator of batches."""
    if isinstance(loader, Iterator) and iter(loader) is loader:
        rule = "can be iterated only once: must be a DataLoader, a list, or another reusable iterable"
        raise ConfigError(name, short(type(loader).__name__), rule)
