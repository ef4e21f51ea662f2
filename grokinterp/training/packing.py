"""Nested states, such as an optimizer's, as named tensors and a JSON value that says where they belong."""

from typing import Any

from torch import Tensor

Packed = tuple[dict[str, Tensor], Any]


def pack(value: Any, name: str) -> Packed:
    """The tensors inside dicts, lists and tuples by path, and everything else with a mark for each of them.

    >>> import torch
    >>> tensors, plan = pack({0: {"step": torch.tensor(1.0), "on": True}}, "optimizer")
    >>> list(tensors), plan
    (['optimizer/0/step'], {'dict': [[0, {'dict': [['step', {'tensor': 'optimizer/0/step'}], ['on', True]]}]]})

    Raises:
        TypeError: something that is neither of these nor a plain number, text, truth value or None.
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
        raise TypeError(f"{name}: no place for a {type(value).__name__} in a resume state")
    tensors, plans = {}, []
    for key, part in parts:
        inside, plan = pack(part, f"{name}/{key}")
        tensors |= inside
        plans.append([key, plan] if kind == "dict" else plan)
    return tensors, {kind: plans}


def unpack(plan: Any, tensors: dict[str, Tensor]) -> Any:
    """What was packed. Raises KeyError for a tensor that is missing, or a plan of another kind."""
    if not isinstance(plan, dict):
        return plan
    ((kind, content),) = plan.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: unpack(part, tensors) for key, part in content}
    return {"list": list, "tuple": tuple}[kind](unpack(part, tensors) for part in content)
