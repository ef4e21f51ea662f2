"""Nested states, such as an optimizer's, as named tensors and a JSON plan of their structure."""

from typing import Any

from torch import Tensor

Packed = tuple[dict[str, Tensor], Any]


def pack(value: Any, name: str) -> Packed:
    """Split a nested state into its tensors by path and a plan that holds everything else, with a mark per tensor.

    >>> import torch
    >>> tensors, plan = pack({0: {"step": torch.tensor(1.0), "on": True}}, "optimizer")
    >>> list(tensors), plan
    (['optimizer/0/step'], {'dict': [[0, {'dict': [['step', {'tensor': 'optimizer/0/step'}], ['on', True]]}]]})

    Raises:
        TypeError: if a value is not a container, tensor, number, string, boolean or None.
    """
    if isinstance(value, Tensor):
        return {name: value}, {"tensor": name}
    if isinstance(value, dict):
        kind, parts = "dict", list(value.items())
    elif isinstance(value, list | tuple):
        kind, parts = type(value).__name__, list(enumerate(value))
    elif value is None or isinstance(value, bool | int | float | str):
        return {}, value
    else:
        raise TypeError(f"{name}: a resume state cannot hold {type(value).__name__}")
    tensors, plans = {}, []
    for key, part in parts:
        inside, plan = pack(part, f"{name}/{key}")
        tensors |= inside
        plans.append([key, plan] if kind == "dict" else plan)
    return tensors, {kind: plans}


def unpack(plan: Any, tensors: dict[str, Tensor]) -> Any:
    """Reassemble a packed state. Raises KeyError if a tensor is missing or the plan is invalid."""
    if not isinstance(plan, dict):
        return plan
    ((kind, content),) = plan.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: unpack(part, tensors) for key, part in content}
    return {"list": list, "tuple": tuple}[kind](unpack(part, tensors) for part in content)
