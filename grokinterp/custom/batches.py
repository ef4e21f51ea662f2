"""Anyone's model and batches: what goes in, what comes out, and which label belongs to which logits."""

import inspect
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from grokinterp.errors import ConfigError, short
from grokinterp.models.taps import logits_of

Loss = Callable[[Tensor, Tensor], Tensor]
"""Of logits [row, class] and labels [row], as ``torch.nn.CrossEntropyLoss``: their mean."""


class Batch(NamedTuple):
    """Arguments of the model, and the labels."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    labels: Tensor

    @classmethod
    def read(cls, batch: Any, device: torch.device) -> "Batch":
        """A batch (inputs, labels), (input, another, …, labels) or {…, "labels": labels}, moved to the device.

        Raises:
            ConfigError: it is neither.
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
    """Tensors on the device, and what is made of them as it is."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {name: moved(part, device) for name, part in value.items()}
    if isinstance(value, tuple | list) and type(value) in (tuple, list):
        return type(value)(moved(part, device) for part in value)
    return value


class Program:
    """How a model is called: once, or ``supervision_steps`` times with the state that it returned.

    A recursive model has ``forward(inputs, state) -> (logits, state)`` and is first given None.

    Args:
        model: anyone's.
        supervision_steps: calls on one batch.

    Raises:
        ConfigError: steps that are no integer from 1, or more than one of a model whose forward takes no state.
    """

    def __init__(self, model: nn.Module, supervision_steps: int) -> None:
        require_whole("supervision_steps", supervision_steps, 1)
        self.supervision_steps = supervision_steps
        parameters = inspect.signature(model.forward).parameters
        if supervision_steps > 1 and len(parameters) < 2:
            rule = "more than 1 needs a model whose forward(inputs, state) returns (logits, state)"
            raise ConfigError("supervision_steps", supervision_steps, rule)
        required = "state" in parameters and parameters["state"].default is inspect.Parameter.empty
        self.recursive, self.named = supervision_steps > 1 or required, "state" in parameters
        self.shifted = predicts_the_next(model)

    def __call__(self, model: nn.Module, batch: Batch, state: Any = None) -> tuple[Tensor, Tensor, Any]:
        """Logits [row, class] and labels [row] of a batch, and the state that the model returned, if any."""
        output = self._output(model, batch, state)
        logits, labels = logits_of(output), batch.labels
        if logits is None:
            raise ConfigError("model", type(output).__name__, "is what it returns: must be logits, or have .logits")
        if self.shifted and batch.kwargs and labels.shape == logits.shape[:-1] and labels.ndim == 2:
            logits, labels = logits[:, :-1], labels[:, 1:]
        return *rows(logits, labels), output[1] if self.recursive else None

    def _output(self, model: nn.Module, batch: Batch, state: Any) -> Any:
        if not self.recursive:
            return model(*batch.args, **batch.kwargs)
        if self.named:
            output = model(*batch.args, **batch.kwargs, state=state)
        else:
            output = model(*batch.args, state, **batch.kwargs)
        if not (isinstance(output, tuple) and len(output) == 2):
            raise ConfigError("model", type(model).__name__, "is given a state, and must return (logits, state)")
        return output


def predicts_the_next(model: nn.Module) -> bool:
    """Whether logits at a position are for the label at the next: of Hugging Face's causal language models they are."""
    generates = getattr(model, "can_generate", None)
    config = getattr(model, "config", None)
    return callable(generates) and bool(generates()) and not getattr(config, "is_encoder_decoder", False)


def rows(logits: Float[Tensor, "*shape"], labels: Tensor) -> tuple[Float[Tensor, "row class"], Int[Tensor, "row"]]:
    """One row of logits for each label: [batch, class], [batch, position, class] or, as in torch, [batch, class, …].

    Where both of the latter fit, classes come last.

    Raises:
        ConfigError: the labels fit neither.
    """
    if labels.is_floating_point() or labels.is_complex():
        raise ConfigError("labels", labels.dtype, "must be the indices of classes")
    if logits.ndim < 2 or labels.shape not in (logits.shape[:-1], logits.shape[:1] + logits.shape[2:]):
        rule = f"must be one for each row of the logits {list(logits.shape)}"
        raise ConfigError("labels", list(labels.shape), rule)
    last = logits if labels.shape == logits.shape[:-1] else logits.movedim(1, -1)
    return last.reshape(-1, last.shape[-1]), labels.reshape(-1).long()


def detached(state: Any) -> Any:
    """The state without its history."""
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
    """Inside the block the model trains or evaluates; after it every module is in its own mode again.

    A model that is in training mode stays as it is, so that layers that were frozen with ``eval()`` stay frozen.
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
    """What is drawn inside the block, as by a loader that shuffles, does not change what is drawn after it.

    Neither from torch's random numbers nor from the generators that the loader and its samplers have of their own.
    """
    devices = [device] if device.type == "cuda" else []
    before = [(generator, generator.get_state()) for generator in generators_of(loader)]
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        for generator, state in before:
            generator.set_state(state)


def generators_of(loader: Any) -> list[torch.Generator]:
    """The generators of a loader, of its sampler, of its sampler of batches, and of the samplers inside of these."""
    found = getattr(loader, "generator", None)
    inside = [getattr(loader, name, None) for name in ("sampler", "batch_sampler")]
    own = [found] if isinstance(found, torch.Generator) else []
    return own + [one for sampler in inside if sampler is not None for one in generators_of(sampler)]


@contextmanager
def buffers_kept(model: nn.Module) -> Generator[None]:
    """Where the block raises, buffers such as the averages of a BatchNorm are what they were before."""
    before = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
        raise


# --- arguments --------------------------------------------------------------------------------------------------------


def require_whole(name: str, value: object, least: int) -> None:
    """Raise ConfigError for what is no integer, or below the least one; True is none."""
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise ConfigError(name, short(value), f"must be an integer from {least}")


def require_again(name: str, loader: object) -> None:
    """Raise ConfigError for what can be gone through only once, such as a generator of batches."""
    if isinstance(loader, Iterator) and iter(loader) is loader:
        rule = "can be gone through only once: must be a DataLoader, a list, or another that starts again"
        raise ConfigError(name, short(type(loader).__name__), rule)
