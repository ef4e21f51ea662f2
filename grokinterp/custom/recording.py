"""Evaluate a module during its training without affecting it."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from grokinterp.custom.reading import Look
from grokinterp.errors import ConfigError
from grokinterp.losses import LossForm, example_losses, mean_of_answers
from grokinterp.models import Answer, RecordedInputs
from grokinterp.models.call_trace import list_calls
from grokinterp.models.places import ReadAt
from grokinterp.models.taps import Trace, answer_of, logits_of, trace
from grokinterp.tasks.task import Labels
from grokinterp.torch_settings import computing, kept_random_numbers

AT_ONCE = 256
"""Number of examples that are differentiated at a time."""


class Seen(NamedTuple):
    """The logits of the training examples, and the norm of the gradient of their mean loss."""

    logits: Float[Tensor, "train answer class"]
    gradient_norm: Float[Tensor, ""]


@final
class Watched:
    """A module and the examples on which it is evaluated.

    Args:
        module: a module that is trained elsewhere.
        inputs: the inputs of all examples.
        answer: finds the logits in the module's output (default: ``answer_of``).
        read_at: the answer position of outputs [example, position, class].
        n_answers: the number of answers, read at the last positions of such outputs if there are several.
    """

    def __init__(
        self, module: nn.Module, inputs: RecordedInputs, answer: Answer | None, read_at: ReadAt, n_answers: int = 1
    ) -> None:
        self.module, self.inputs, self.answer, self.read_at = module, inputs, answer, read_at
        self.n_answers = n_answers

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.module.parameters()).device

    def logits(self, examples: Int[Tensor, "chosen"]) -> Float[Tensor, "chosen class"]:
        """Return the logits of some examples.

        Raises:
            ConfigError: the output contains no logits.
        """
        output = self.inputs.given_to(self.module, examples, device=self.device, dtype=None)
        found = self.answer(output) if self.answer is not None else answer_of(output, self.read_at)
        if self.n_answers > 1 and isinstance(found, Tensor) and found.ndim == 3:
            found = found[:, -1]  # that of the last answer
        if not (isinstance(found, Tensor) and found.ndim == 2 and len(found) == len(examples)):
            seen = output if found is None else found
            shape = list(seen.shape) if isinstance(seen, Tensor) else type(seen).__name__
            given = "the logits= given must return them" if self.answer else "pass logits=, a function of the output"
            rule = f"must be logits [example, class]: {given}"
            raise ConfigError("model", f"output {shape}", rule)
        return found

    def answers(self, examples: Int[Tensor, "chosen"]) -> Float[Tensor, "chosen answer class"]:
        """Return the logits of every answer of some examples.

        Raises:
            ConfigError: the output does not contain logits for as many positions as there are answers.
        """
        if self.n_answers == 1:
            return self.logits(examples).unsqueeze(1)
        output = self.inputs.given_to(self.module, examples, device=self.device, dtype=None)
        found = logits_of(output) if self.answer is None else self.answer(output)
        fits = isinstance(found, Tensor) and found.ndim == 3 and found.shape[1] >= self.n_answers
        if not fits or found.shape[0] != len(examples):
            shape = list(found.shape) if isinstance(found, Tensor) else type(output).__name__
            rule = f"must be logits [example, position, class] with a position for each of {self.n_answers} labels"
            raise ConfigError("model", f"output {shape}", rule)
        return found[:, -self.n_answers :]

    @torch.no_grad()
    def all_answers(self, examples: Int[Tensor, "chosen"]) -> Float[Tensor, "chosen answer class"]:
        """Return the logits of any number of examples, in batches."""
        return torch.cat([self.answers(some) for some in examples.split(AT_ONCE)])

    def look(self, examples: Int[Tensor, "train"], labels: Labels, form: LossForm) -> Seen:
        """Return the logits, and the gradient norm of the trained weights, without changing any ``.grad``."""
        weights = [weight for weight in self.module.parameters() if weight.requires_grad]
        total = [torch.zeros_like(weight, dtype=torch.float64) for weight in weights]
        kept = []
        with torch.enable_grad():
            for some, targets in zip(examples.split(AT_ONCE), labels.to(self.device).split(AT_ONCE), strict=True):
                logits = self.answers(some)
                losses = mean_of_answers(example_losses(logits, targets, form=form), targets)
                loss = losses.sum() / len(examples)
                gradients = torch.autograd.grad(loss, weights, allow_unused=True) if weights else ()
                for sum_so_far, gradient in zip(total, gradients, strict=True):
                    if gradient is not None:
                        sum_so_far += gradient
                kept.append(logits.detach())
        squares = [gradient.square().sum() for gradient in total] or [torch.zeros((), dtype=torch.float64)]
        return Seen(torch.cat(kept), torch.stack(squares).sum().sqrt())

    def trace(self) -> Trace:
        """Return the outputs of the submodules for the first examples."""
        one, two = torch.arange(1), torch.arange(2)
        return trace(self.module, lambda: self.logits(one), lambda: self.logits(two))

    def look_inside(self) -> Look:
        """Return the function calls for the first example and for the first two examples."""
        one, two = torch.arange(1), torch.arange(2)
        calls = [list_calls(self.module, lambda of=of: self.logits(of)) for of in (one, two)]
        return Look(self.module, *calls, self.read_at)


@contextmanager
def undisturbed(module: nn.Module) -> Generator[None]:
    """Use evaluation mode, PyTorch's default settings, and separate random numbers in the block, then restore all."""
    modes = {part: part.training for part in module.modules()}
    devices = {weight.device for weight in module.parameters()}
    with ExitStack() as stack:
        for device in devices:
            stack.enter_context(computing(device))
            stack.enter_context(kept_random_numbers(device))
        try:
            for part in modes:
                part.training = False
            yield
        finally:
            for part, mode in modes.items():
                part.training = mode


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module inside the wrappers of torch.compile and data-parallel training.

    >>> type(unwrapped(nn.DataParallel(nn.Linear(2, 2)))).__name__
    'Linear'
    """
    inner = getattr(model, "_orig_mod", None)
    if isinstance(inner, nn.Module):
        return unwrapped(inner)
    wraps = isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel)
    return unwrapped(model.module) if wraps else model


def copies(of: Sequence[Tensor]) -> list[Tensor]:
    """Return copies of the current values."""
    return [value.detach().clone() for value in of]
