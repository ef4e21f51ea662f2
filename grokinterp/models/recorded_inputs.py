"""Inputs for the evaluation of a recorded module."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, final, get_args

from jaxtyping import Int

from grokinterp.errors import ConfigError, short
from grokinterp.lazy import Tensor, torch

Layout = Literal["tensor", "tuple", "dict"]
"""How the tensors are passed to the module: as a single argument, as several arguments, or by keyword."""


LAYOUTS: tuple[Layout, ...] = get_args(Layout)


@final
class RecordedInputs:
    """Tensors with a leading axis of examples, and how a module takes them; shared between copies of their owner.

    Args:
        tensors: tensors on the CPU by keyword, or by position ("0", "1", …).
        layout: whether the module takes one tensor, several tensors, or keywords.
    """

    def __init__(self, tensors: Mapping[str, Tensor], layout: Layout) -> None:
        self.tensors, self.layout = dict(tensors), layout

    @classmethod
    def of(cls, inputs: Any, *, key: str) -> "RecordedInputs":
        """Return the inputs given as a tensor, a tuple or list of tensors, or a mapping of keywords to tensors.

        Raises:
            ConfigError: the inputs have another type, or their numbers of examples differ.
        """
        layout: Layout = (
            "tensor" if isinstance(inputs, torch.Tensor) else "dict" if isinstance(inputs, Mapping) else "tuple"
        )
        if layout == "tuple" and not isinstance(inputs, tuple | list):
            raise ConfigError(key, type(inputs).__name__, "the inputs must be a tensor, a tuple or a dict of tensors")
        several = {"tensor": lambda: [inputs], "tuple": lambda: inputs, "dict": list}[layout]()
        named = inputs if isinstance(inputs, Mapping) else {str(place): value for place, value in enumerate(several)}
        for name, value in named.items():
            if not (isinstance(name, str) and (layout != "dict" or name.isidentifier()) and len(name) <= 100):
                raise ConfigError(key, short(name), "the keywords of the inputs must be names")
            if not isinstance(value, torch.Tensor) or value.ndim == 0 or value.layout != torch.strided:
                raise ConfigError(key, f"inputs {short(name)}", "must be a tensor with an axis of examples")
        if len({len(value) for value in named.values()}) != 1:
            raise ConfigError(key, "inputs", "must all have the same number of examples")
        return cls({name: value.detach().cpu().clone() for name, value in named.items()}, layout)

    @classmethod
    def stored(cls, file: tuple[Mapping[str, Tensor], Mapping[str, str]], examples: int) -> "RecordedInputs":
        """Return the inputs in the file of a run. Raises ConfigError for a different number of examples."""
        tensors, notes = file
        stated = notes.get("layout")
        layout: Layout | None = next((known for known in LAYOUTS if known == stated), None)
        counts = {len(value) if value.ndim else 0 for value in tensors.values()}
        numbered = all(name.isdecimal() for name in tensors) or layout == "dict"
        if layout is None or counts != {examples} or not numbered:
            raise ConfigError("examples", stated, f"must be the inputs of {examples} examples")
        ordered = sorted(tensors, key=int) if layout == "tuple" else tensors
        return cls({name: tensors[name] for name in ordered}, layout)

    def followed_by(self, other: "RecordedInputs", *, key: str) -> "RecordedInputs":
        """Append other examples. Raises ConfigError unless both have the same layout, shapes, and dtypes."""
        kinds = [{name: (x.dtype, x.shape[1:]) for name, x in one.tensors.items()} for one in (self, other)]
        if self.layout != other.layout or kinds[0] != kinds[1]:
            raise ConfigError(key, "inputs", "must have the shapes and dtypes of the training inputs")
        joined = {name: torch.cat([value, other.tensors[name]]) for name, value in self.tensors.items()}
        return RecordedInputs(joined, self.layout)

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def __deepcopy__(self, memory: Any) -> "RecordedInputs":
        return self

    def given_to(
        self,
        module: Callable[..., Any],
        examples: Int[Tensor, "chosen"],
        *,
        device: "torch.device",
        dtype: "torch.dtype | None",
    ) -> Any:
        """Return the output of the module for some examples, with floats cast to another dtype if given."""
        chosen = {name: value[examples.cpu()] for name, value in self.tensors.items()}
        moved = {
            name: value.to(device, dtype if dtype is not None and value.is_floating_point() else value.dtype)
            for name, value in chosen.items()
        }
        return module(**moved) if self.layout == "dict" else module(*moved.values())
