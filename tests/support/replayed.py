"""A CUDA graph simulated on the CPU."""

from collections.abc import Callable

from torch import Tensor

REBOUND = {
    "Step": ("loss", "gradient_norm", "logits", "supervised"),
    "Stack": ("losses", "gradient_norm", "answers"),
}
"""Attributes that every run of the work binds to new tensors; a replay writes into the old tensors."""

READ = {"Step": ("learning_rate", "applied", "held"), "Stack": ("settings", "applied", "batch")}
"""Attributes that the work reads or changes in place; a replay uses the tensors of the recording."""


class Replayed:
    """The work of a step or a stack whose replay writes its results to the tensors of the recording.

    Code that keeps a tensor to which replays do not write, or reads a tensor that Python rebinds, sees old numbers.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self.program, self.work = work.__self__, work
        self.rebound, self.read = (names[type(self.program).__name__] for names in (REBOUND, READ))
        for _ in range(4):  # three to warm up, one to record
            work()
        self.recorded = self.attributes((*self.rebound, *self.read))
        self.grads = self.gradients()
        self.sampler, self.batch = getattr(self.program, "sampler", None), None
        if self.sampler is not None:
            self.batch = self.sampler.batch

    def attributes(self, names: tuple[str, ...]) -> dict:
        return {name: getattr(self.program, name) for name in names}

    def gradients(self) -> list[Tensor | None]:
        parameters = getattr(self.program, "parameters", ())
        return [weight.grad for weight in parameters]

    def replay(self) -> None:
        for name in self.read:
            setattr(self.program, name, self.recorded[name])
        if self.sampler is not None:
            self.sampler.batch = self.batch
        self.work()
        for name, value in self.attributes(self.rebound).items():
            write(self.recorded[name], value)
            setattr(self.program, name, self.recorded[name])
        for grad, value in zip(self.grads, self.gradients(), strict=True):
            write(grad, value)
        for weight, grad in zip(getattr(self.program, "parameters", ()), self.grads, strict=True):
            weight.grad = grad


def write(recorded, value) -> None:
    """Copy tensors into the tensors of a recording."""
    if isinstance(value, tuple):
        for into, part in zip(recorded, value, strict=True):
            write(into, part)
    elif value is not None and value is not recorded:
        recorded.detach().copy_(value.detach())
