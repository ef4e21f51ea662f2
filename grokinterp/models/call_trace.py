"""The linear and attention calls of a forward pass, with their operands."""

from collections.abc import Callable, Container, Generator
from contextlib import contextmanager
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from grokinterp.models.attention_calls import ATTENTION, with_pattern
from grokinterp.models.call_taps import LINEAR, first_input, name_of, operands
from grokinterp.models.taps import first_tensor


class Call(NamedTuple):
    """A call of a function.

    Args:
        function: name of the function.
        module: innermost running submodule ("" for the whole module).
        operands: multiplied tensors; for attention, the pattern.
        output: result of the call; None for attention.
        is_input: index of the operand that is the first input of the submodule; None if there is none.
    """

    function: str
    module: str
    operands: list[Tensor]
    output: Tensor | None = None
    is_input: int | None = None


class Calls(NamedTuple):
    """All calls of a forward pass by kind, in order, its logits, and the inputs and outputs of every submodule."""

    linear: list[Call]
    attention: list[Call]
    logits: Tensor
    passed: "Passed"


class Passed(NamedTuple):
    """The first input and output tensors of submodules, each with its version at that time."""

    inputs: dict[str, list[Tensor]]
    outputs: dict[str, list[tuple[Tensor, int]]]


@final
class Listing(TorchFunctionMode):
    """Record the calls while active."""

    def __init__(self, running: list[tuple[str, Tensor | None]]) -> None:
        super().__init__()
        self.running, self.linear, self.attention = running, list[Call](), list[Call]()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, name_of(func)
        module, given = self.running[-1] if self.running else ("", None)
        if name in ATTENTION:
            seen: list[Tensor] = []
            output = with_pattern(name, func, args, kwargs, lambda pattern: seen.append(pattern) or pattern)
            self.attention.append(Call(name, module, seen))
            return output
        output = func(*args, **kwargs)
        if name in LINEAR and isinstance(output, Tensor):
            found = operands(name, args, kwargs)
            place = next((i for i, value in enumerate(found) if value is given), None)
            self.linear.append(Call(name, module, found, output, place))
        return output


def list_calls(module: nn.Module, run: Callable[[], Tensor]) -> Calls:
    """Return the calls of ``run``, a function that returns logits, with the graph from the weights to the logits."""
    passed = Passed({}, {})
    with every_weight_tracked(module), torch.enable_grad(), running_submodules(module, passed) as running:
        with Listing(running) as listing:
            logits = run()
        return Calls(listing.linear, listing.attention, logits, passed)


@contextmanager
def running_submodules(module: nn.Module, passed: Passed) -> Generator[list[tuple[str, Tensor | None]]]:
    """Yield a stack of the running submodules and their first inputs; record inputs and outputs in ``passed``."""
    running: list[tuple[str, Tensor | None]] = []

    def enter(name: str) -> Callable[..., None]:
        def hook(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            value = first_input(args, kwargs)
            running.append((name, value))
            if value is not None:
                passed.inputs.setdefault(name, []).append(value)

        return hook

    def leave(name: str) -> Callable[..., None]:
        def hook(part: nn.Module, args: Any, output: Any) -> None:
            running.pop()
            value = first_tensor(output)
            if value is not None:
                passed.outputs.setdefault(name, []).append((value, value._version))

        return hook

    handles = []
    for name, part in module.named_modules():
        if name:
            handles.append(part.register_forward_pre_hook(enter(name), with_kwargs=True))
            handles.append(part.register_forward_hook(leave(name)))
    try:
        yield running
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def every_weight_tracked(module: nn.Module) -> Generator[None]:
    """Require gradients of all parameters inside the block, including frozen parameters."""
    frozen = [weight for weight in module.parameters() if not weight.requires_grad and weight.is_floating_point()]
    for weight in frozen:
        weight.requires_grad_(True)
    try:
        yield
    finally:
        for weight in frozen:
            weight.requires_grad_(False)


def latest_calls(calls: Calls, among: Container[int]) -> list[int]:
    """Return the indices of the linear calls that reach the logits without another of the given calls in between.

    The graph is traversed from the logits through elementwise operations, pooling, and normalization.
    """
    number = {call.output.grad_fn: i for i, call in enumerate(calls.linear) if call.output is not None and i in among}
    found, seen, waiting = set[int](), set(), [calls.logits.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node in number:
            found.add(number[node])
        else:
            waiting += [following for following, _ in node.next_functions]
    return sorted(found)
