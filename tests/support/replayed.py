"""A CUDA graph simulated on the CPU."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from grokinterp.models import Answers

Slot = tuple[Any, str]
"""An attribute of an object that holds tensors."""


class Replayed:
    """The work of a step or a stack whose replay reads and writes the tensors of the recording, and binds no name.

    Code that keeps a tensor to which replays do not write, or reads a tensor that Python rebinds, sees old numbers.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self.work, self.slots = work, slots_of(work.__self__)
        for _ in range(3):  # to warm up
            work()
        before = values(self.slots)
        work()
        self.recorded = values(self.slots)
        self.is_result = [now is not then for now, then in zip(self.recorded, before, strict=True)]

    def replay(self) -> None:
        bound = values(self.slots)
        bind(self.slots, self.recorded)
        self.work()
        for recorded, found, is_result in zip(self.recorded, values(self.slots), self.is_result, strict=True):
            if is_result:
                write(recorded, found)
        bind(self.slots, bound)


def slots_of(program: Any) -> list[Slot]:
    """The attributes of a step or stack that hold tensors, the gradients of its weights, and its batch."""
    found = [(program, name) for name, value in vars(program).items() if isinstance(value, Tensor | Answers)]
    found += [(weight, "grad") for weight in getattr(program, "parameters", ())]
    return found + [(one, "batch") for one in (program, getattr(program, "sampler", None)) if hasattr(one, "batch")]


def values(slots: Sequence[Slot]) -> list[Any]:
    return [getattr(thing, name) for thing, name in slots]


def bind(slots: Sequence[Slot], to: Sequence[Any]) -> None:
    for (thing, name), value in zip(slots, to, strict=True):
        setattr(thing, name, value)


def write(recorded: Any, value: Any) -> None:
    """Copy tensors into the tensors of a recording."""
    if isinstance(value, tuple):
        for into, part in zip(recorded, value, strict=True):
            write(into, part)
    elif value is not None:
        recorded.detach().copy_(value.detach())
