"""A module looked at while somebody else trains it, so that its training does not notice."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from grokinterp.errors import ConfigError, short
from grokinterp.losses import LossForm, example_losses
from grokinterp.models import Answer, ProbeInputs, RecordedSpec
from grokinterp.models.recorded import state_tensors
from grokinterp.models.taps import ReadAt, Trace, logits_of, trace, vector
from grokinterp.storage.tensor_file import MAX_FILE_BYTES
from grokinterp.storage.tensor_header import DTYPES

AT_ONCE = 256
"""Examples that are differentiated at a time."""

MOST_HOOKS = 16
"""Submodules at which representations are compared."""

MOST_FEATURES = 2048
"""Of a representation: their covariance is decomposed."""


class Seen(NamedTuple):
    """What one look at the training examples gives: their logits, and the gradient of their mean loss."""

    logits: Float[Tensor, "train class"]
    gradient_norm: Float[Tensor, ""]


@final
class Watched:
    """A module with the examples it is evaluated on.

    Args:
        module: in training somewhere else.
        inputs: of all examples.
        answer: finds the logits in the module's output, ``logits_of`` if there is none.
        read_at: which position of [example, position, class] is the answer.
    """

    def __init__(self, module: nn.Module, inputs: ProbeInputs, answer: Answer | None, read_at: ReadAt) -> None:
        self.module, self.inputs, self.answer, self.read_at = module, inputs, answer, read_at

    @property
    def device(self) -> torch.device:
        """That of the weights."""
        return next(self.module.parameters()).device

    def logits(self, examples: Int[Tensor, "chosen"]) -> Float[Tensor, "chosen class"]:
        """Of some examples. Raises ConfigError for an output in which there are none."""
        output = self.inputs.given_to(self.module, examples, device=self.device, dtype=None)
        found = self.answer(output) if self.answer is not None else logits_of(output, self.read_at)
        if not (isinstance(found, Tensor) and found.ndim == 2 and len(found) == len(examples)):
            seen = output if found is None else found
            shape = list(seen.shape) if isinstance(seen, Tensor) else type(seen).__name__
            rule = "must be logits [example, class]: give logits=, a function of the module's output"
            raise ConfigError("model", f"output {shape}", rule)
        return found

    @torch.no_grad()
    def all_logits(self, examples: Int[Tensor, "chosen"]) -> Float[Tensor, "chosen class"]:
        """Of any number of examples."""
        return torch.cat([self.logits(some) for some in examples.split(AT_ONCE)])

    def look(self, examples: Int[Tensor, "train"], labels: Int[Tensor, "train"], form: LossForm) -> Seen:
        """Logits and the gradient's norm, of trained weights only; no ``.grad`` is touched."""
        weights = [weight for weight in self.module.parameters() if weight.requires_grad]
        total = [torch.zeros_like(weight, dtype=torch.float64) for weight in weights]
        kept = []
        with torch.enable_grad():
            for some, right in zip(examples.split(AT_ONCE), labels.to(self.device).split(AT_ONCE), strict=True):
                logits = self.logits(some)
                loss = example_losses(logits, right, form=form).sum() / len(examples)
                gradients = torch.autograd.grad(loss, weights, allow_unused=True) if weights else ()
                for sum_so_far, gradient in zip(total, gradients, strict=True):
                    if gradient is not None:
                        sum_so_far += gradient
                kept.append(logits.detach())
        squares = [gradient.square().sum() for gradient in total] or [torch.zeros((), dtype=torch.float64)]
        return Seen(torch.cat(kept), torch.stack(squares).sum().sqrt())

    def trace(self) -> Trace:
        """What the submodules do with the first examples."""
        one, two = torch.arange(1), torch.arange(2)
        return trace(self.module, lambda: self.logits(one), lambda: self.logits(two))


@contextmanager
def undisturbed(module: nn.Module) -> Generator[None]:
    """Evaluation mode, full precision and random numbers of its own while the block runs; afterwards all as it was."""
    modes = {part: part.training for part in module.modules()}
    devices = sorted({weight.device.index or 0 for weight in module.parameters() if weight.device.type == "cuda"})
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.random.fork_rng(devices=devices))
        for kind in ("cpu", *(["cuda"] if devices else [])):
            stack.enter_context(torch.autocast(kind, enabled=False))
        try:
            for part in modes:
                part.training = False
            yield
        finally:
            for part, mode in modes.items():
                part.training = mode


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside what torch.compile and data-parallel training wrap around one.

    >>> type(unwrapped(nn.DataParallel(nn.Linear(2, 2)))).__name__
    'Linear'
    """
    inner = getattr(model, "_orig_mod", None)
    if isinstance(inner, nn.Module):
        return unwrapped(inner)
    wraps = isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel)
    return unwrapped(model.module) if wraps else model


def describe_module(watched: Watched) -> tuple[RecordedSpec, int]:
    """What can be said of a module without its code, and its number of classes.

    Raises:
        ConfigError: weights that are not there yet, or that no checkpoint file can hold.
    """
    module = watched.module
    tensors, trained = state_tensors(module), {name for name, w in module.named_parameters() if w.requires_grad}
    require_storable(tensors, trained)
    with undisturbed(module):
        seen = watched.trace()
    vectors = {name: vector(value, watched.read_at) for name, value in seen.values.items()}
    inner = [name for name, x in vectors.items() if not (x.shape == seen.logits.shape and torch.equal(x, seen.logits))]
    spec = RecordedSpec(
        class_name=type(module).__name__,
        parameters={name: tuple(tensors[name].shape) for name in tensors if name in trained},
        buffers={name: tuple(value.shape) for name, value in tensors.items() if name not in trained},
        hooks=seen.shapes,
        features=tuple(chosen([name for name in inner if vectors[name].shape[1] <= MOST_FEATURES])),
        penultimate=inner[-1] if inner else None,
        read_at=watched.read_at,
        own_logits=watched.answer is not None,
    )
    return spec, seen.logits.shape[1]


def require_storable(tensors: dict[str, Tensor], trained: set[str]) -> None:
    """Raise ConfigError for weights that a checkpoint cannot hold."""
    kinds = {name for name, _ in DTYPES.values()}
    for name, value in tensors.items():
        if is_lazy(value):
            raise ConfigError("model", short(name), "has no shape yet: run the module once before recording it")
        kind = str(value.dtype).removeprefix("torch.")
        if value.layout != torch.strided or kind not in kinds:
            raise ConfigError("model", f"{short(name)} ({kind})", "must be a dense tensor of real numbers")
    size = sum(value.nbytes * (2 if name in trained else 1) for name, value in tensors.items())
    if size > MAX_FILE_BYTES:
        raise ConfigError("model", f"{size:,} bytes", f"a checkpoint with its update has at most {MAX_FILE_BYTES:,}")


def chosen(names: Sequence[str]) -> list[str]:
    """At most 16 submodules: the deepest level that has no more, or every so many of the outermost.

    >>> chosen(["stem.conv", "stem", *(f"block.{i}.{part}" for i in range(9) for part in "ab"), "block"])
    ['stem.conv', 'stem', 'block']
    """
    for depth in range(max((name.count(".") for name in names), default=0), -1, -1):
        kept = [name for name in names if name.count(".") <= depth]
        if len(kept) <= MOST_HOOKS:
            return kept
    return kept[:: -(-len(kept) // MOST_HOOKS)]


def copies(of: Sequence[Tensor]) -> list[Tensor]:
    """The values as they are now."""
    return [value.detach().clone() for value in of]
