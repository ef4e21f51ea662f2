"""Hook points on the submodules of a module without hook points."""

from collections.abc import Callable, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from grokinterp.models.hooked import HookPoint
from grokinterp.models.places import EXAMPLES, ReadAt


@final
class Tap:
    """A forward hook that passes the output of a submodule through a hook point, examples first.

    Args:
        point: the hook point, at which the output can be read and changed.
        axis: axis of the examples in the output of the submodule.
    """

    def __init__(self, point: HookPoint, axis: int) -> None:
        self.point, self.axis = point, axis

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        if not self.point.has_hooks():
            return None  # the output stays as it is
        value = first_tensor(output)
        assert value is not None, "a submodule that returned a tensor when it was recorded returns a tensor now"
        return with_first(output, self.point(value.movedim(self.axis, 0)).movedim(0, self.axis))


class Trace(NamedTuple):
    """The logits of a module for two examples, and the activations of its submodules, examples first.

    In ``shapes``, the axis of the examples is -1; both are in the order in which the submodules finish.
    """

    logits: Float[Tensor, "2 class"]
    values: dict[str, Tensor]
    shapes: dict[str, tuple[int, ...]]


def trace(module: nn.Module, one: Callable[[], Tensor], two: Callable[[], Tensor]) -> Trace:
    """Trace the submodules that run once in a forward pass and return a real tensor with an axis of examples.

    Args:
        module: the network, in evaluation mode.
        one: a function that returns the logits of one example.
        two: a function that returns the logits of two examples.
    """
    with torch.no_grad():
        with outputs(module) as single:
            one()
        with outputs(module) as double:
            logits = two()
    values, shapes = {}, {}
    for name, seen in double.items():
        if len(seen) != 1 or len(single.get(name, ())) != 1 or not seen[0].is_floating_point():
            continue
        axes = [axis for axis, sizes in enumerate(zip(single[name][0].shape, seen[0].shape, strict=False))
                if sizes != sizes[:1] * 2]  # fmt: skip
        if len(axes) == 1 and seen[0].ndim == single[name][0].ndim and seen[0].shape[axes[0]] == 2:
            shape = list(seen[0].shape)
            shape[axes[0]] = EXAMPLES
            values[name], shapes[name] = seen[0].movedim(axes[0], 0), tuple(shape)
    return Trace(logits, values, shapes)


@contextmanager
def outputs(module: nn.Module) -> Any:
    """Yield the outputs of every submodule in the block, call by call, in the order in which they finish."""
    seen: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            value = first_tensor(output)
            if value is not None:
                seen.setdefault(name, []).append(value.detach().clone())

        return hook

    handles = [part.register_forward_hook(keep(name)) for name, part in module.named_modules() if name]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def first_tensor(output: Any) -> Tensor | None:
    """Return the tensor in the output of a submodule: the output or its first part; None if this is not a tensor."""
    if isinstance(output, Mapping):
        output = next(iter(output.values()), None)
    elif isinstance(output, tuple | list):
        output = output[0] if output else None
    return output if isinstance(output, Tensor) else None


def with_first(output: Any, value: Tensor) -> Any:
    """Return the output of a submodule with its first tensor replaced."""
    if isinstance(output, Tensor):
        return value
    if isinstance(output, Mapping):
        return type(output)(**{**output, next(iter(output)): value})
    rest = (value, *output[1:])
    return type(output)(*rest) if hasattr(output, "_fields") else type(output)(rest)


def logits_of(output: Any) -> Tensor | None:
    """Return the logits in the output of a module: the output, its ``logits``, or its first part; None without logits.

    >>> logits_of((torch.tensor([[2.0]]), None))
    tensor([[2.]])
    """
    named = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    return named if isinstance(named, Tensor) else first_tensor(output)


def answer_of(output: Any, read_at: ReadAt, *, before: int = 0) -> Float[Tensor, "example class"] | None:
    """Return the logits of the answer in the output of a module, at one position if there are several.

    >>> answer_of((torch.tensor([[[1.0], [2.0]]]), None), "last")
    tensor([[2.]])
    """
    logits = logits_of(output)
    if logits is None or not logits.is_floating_point() or logits.ndim not in (2, 3):
        return None
    return vector(logits, read_at, before=before)


def vector(x: Float[Tensor, "example *rest"], read_at: ReadAt, *, before: int = 0) -> Float[Tensor, "example feature"]:
    """Return an activation as one vector per example: at the read position, or the mean over the space of an image.

    With ``read_at="last"``, the position is ``before`` positions before the last.

    >>> vector(torch.tensor([[[1.0], [3.0]]]), "mean"), vector(torch.ones(2, 3, 4, 4), "last").shape
    (tensor([[2.]]), torch.Size([2, 3]))
    """
    if x.ndim == 1:
        return x[:, None]
    if x.ndim == 3:
        return x.mean(1) if read_at == "mean" else x[:, -1 - before if read_at == "last" else 0]
    return x.flatten(2).mean(2) if x.ndim > 3 else x
