"""Describe a module without its code: names, shapes, inputs of its last linear layers, and its parts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from grokinterp.custom.named_parts import Named, named_parts
from grokinterp.custom.named_tables import Sizes
from grokinterp.custom.reading import Look, Reading, last_readings, named_readings, submodule_giving
from grokinterp.custom.recording import Watched, undisturbed
from grokinterp.custom.task_examples import TaskExamples
from grokinterp.errors import ConfigError, short
from grokinterp.models import RecordedSpec
from grokinterp.models.known_parts import KnownParts
from grokinterp.models.places import EXAMPLES
from grokinterp.models.recorded_state import state_tensors
from grokinterp.models.taps import Trace, vector
from grokinterp.storage.tensor_file import MAX_FILE_BYTES
from grokinterp.storage.tensor_header import DTYPES
from grokinterp.tasks import Task

MOST_HOOKS = 16
"""Maximum number of submodules at which representations are compared."""

MOST_FEATURES = 2048
"""Maximum size of a representation whose covariance is decomposed."""


@dataclass(frozen=True)
class Known:
    """The user's description of a module.

    Attributes:
        reads: names of its last linear layers; they are detected if empty.
        parts: names of its parts, by key.
        task: the task that the examples belong to.
        examples: all examples of the task, in its order.
    """

    reads: tuple[str, ...] = ()
    parts: Mapping[str, Any] = field(default_factory=dict)
    task: Task | None = None
    examples: TaskExamples | None = None


def describe_module(watched: Watched, known: Known) -> tuple[RecordedSpec, int]:
    """Return the specification of a module without its code, and its number of classes.

    Raises:
        ConfigError: the weights are uninitialized or cannot be stored in a checkpoint file, or a named part does not
            exist.
    """
    module, task, examples = watched.module, known.task, known.examples
    tensors, trained = state_tensors(module), {name for name, w in module.named_parameters() if w.requires_grad}
    require_storable(tensors, trained)
    with undisturbed(module):
        seen, look = watched.trace(), watched.look_inside()
    require_classes(seen, task)
    found = named_readings(look, "reads", known.reads) if known.reads else last_readings(look)
    outputs = [submodule_giving(reading, look, seen.values) for reading in found]
    added = [reading for reading, output in zip(found, outputs, strict=True) if output is None]
    read = tuple(output or reading.name for reading, output in zip(found, outputs, strict=True))
    vectors = {name: vector(x, watched.read_at) for name, x in (seen.values | values_of(added)).items()}
    inner = [name for name, x in vectors.items() if not (x.shape == seen.logits.shape and torch.equal(x, seen.logits))]
    named = parts_of(known, look, seen, vectors[read[0]].shape[1] if len(read) == 1 else None)
    places = {reading.name: reading for reading in (*added, *named.readings)}
    spec = RecordedSpec(
        class_name=type(module).__name__,
        parameters={name: tuple(tensors[name].shape) for name in tensors if name in trained},
        buffers={name: tuple(value.shape) for name, value in tensors.items() if name not in trained},
        hooks=seen.shapes | {name: (EXAMPLES, *reading.value.shape[1:]) for name, reading in places.items()},
        places={name: reading.place for name, reading in places.items()},
        features=tuple(chosen([name for name in inner if vectors[name].shape[1] <= MOST_FEATURES], read)),
        reads=read,
        penultimate=inner[-1] if inner and not read else None,
        read_at=watched.read_at,
        own_logits=watched.answer is not None,
        classes=0 if task is None else task.n_classes,
        encoding=None if examples is None else examples.encoding,
        parts=named.parts,
    )
    return spec, seen.logits.shape[1]


def require_classes(seen: Trace, task: Task | None) -> None:
    """Raise ConfigError unless there is a logit for each class of the task."""
    classes = seen.logits.shape[1]
    if task is not None and classes != task.n_classes:
        rule = f"must be the {task.n_classes} classes of {task.kind}: pass logits=, a function that selects them"
        raise ConfigError("model", f"{classes} logits", rule)


def parts_of(known: Known, look: Look, seen: Trace, read: int | None) -> Named:
    """Return the parts named by the user; ``read`` is the number of features that the last linear layer reads."""
    task, examples = known.task, known.examples
    if not known.parts:
        return Named(KnownParts(), [])
    if task is None or examples is None:
        raise ConfigError("parts", ", ".join(known.parts), "needs task=, which defines the tokens and classes")
    operands = task.n_ctx if examples.side_by_side else 1
    sizes = Sizes(examples.n_tokens, operands, task.n_classes, seen.logits.shape[1], read, examples.of_first)
    return named_parts(known.parts, look, seen, sizes)


def values_of(added: Sequence[Reading]) -> dict[str, Tensor]:
    """Return the values of the readings, by name."""
    return {reading.name: reading.value for reading in added}


def require_storable(tensors: dict[str, Tensor], trained: set[str]) -> None:
    """Raise ConfigError for weights that a checkpoint file cannot store."""
    kinds = {name for name, _ in DTYPES.values()}
    for name, value in tensors.items():
        if is_lazy(value):
            raise ConfigError("model", short(name), "has no shape yet: run the module once before recording it")
        kind = str(value.dtype).removeprefix("torch.")
        if value.layout != torch.strided or kind not in kinds:
            raise ConfigError("model", f"{short(name)} ({kind})", "must be a dense tensor of real numbers")
    size = sum(value.nbytes * (2 if name in trained else 1) for name, value in tensors.items())
    if size > MAX_FILE_BYTES:
        raise ConfigError("model", f"{size:,} bytes", f"must be at most {MAX_FILE_BYTES:,} with the update")


def chosen(names: Sequence[str], always: Collection[str] = ()) -> list[str]:
    """Return at most 16 submodules, with ``always``: all down to the deepest level that fits, else some outermost ones.

    >>> chosen(["stem.conv", "stem", *(f"block.{i}.{part}" for i in range(9) for part in "ab"), "block"], ["block.8.b"])
    ['stem.conv', 'stem', 'block.8.b', 'block']
    """
    most = MOST_HOOKS - len(always)
    if most < 1:
        return list(names)[-MOST_HOOKS:]
    others = [name for name in names if name not in always]
    kept = others
    for depth in range(max((name.count(".") for name in others), default=0), -1, -1):
        kept = [name for name in others if name.count(".") <= depth]
        if len(kept) <= most:
            break
    else:
        kept = kept[:: -(-len(kept) // most)]
    return [name for name in names if name in kept or name in always]
