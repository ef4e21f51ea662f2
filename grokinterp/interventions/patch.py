"""Activation patching: replacement of an activation by its value on another input."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.errors import GrokinterpError, short
from grokinterp.models import Model
from grokinterp.torch_settings import computing

PATTERNS = ("hook_pattern", "hook_attn_scores")
"""Hooks with axes [batch, head, query, key], at which position means the query's position."""


def patch(
    model: Model,
    clean: Int[Tensor, "batch position"],
    corrupted: Int[Tensor, "_ _"],
    *,
    hook: str,
    position: int | None = None,
    head: int | None = None,
) -> Float[Tensor, "batch class"]:
    """Return the logits for ``corrupted`` with the activation at a hook taken from ``clean``.

    Args:
        model: the network.
        clean: token sequences from which the activation is taken.
        corrupted: the same number of token sequences, in whose run it is inserted.
        hook: the hook of the activation.
        position: the position to replace (default: all).
        head: the head to replace, at a hook [batch, position, head, d_head] (default: all).

    Source: Meng et al. 2022, §2.1 (causal tracing); Wang et al. 2023, §2.1 (activation patching).

    Raises:
        GrokinterpError: if the hook, position or head does not exist, or the inputs have different shapes.
    """
    if hook not in model.hook_dict:
        raise GrokinterpError(f"hook={short(hook)}: must be among {', '.join(model.hook_dict)}")
    if clean.shape != corrupted.shape:
        raise GrokinterpError(f"corrupted: must have the shape of clean, {tuple(clean.shape)}")
    with computing(clean.device), torch.no_grad():
        value = model.catch(clean, hook)[1]
        place = place_of(hook, value, clean.shape[1], position=position, head=head)
        return patched(model, corrupted, hook, value, place)


def patched(
    model: Model, corrupted: Int[Tensor, "batch position"], hook: str, value: Tensor, place: Bool[Tensor, "..."]
) -> Float[Tensor, "batch class"]:
    """Return the logits while a hook's activation is replaced by a value at the masked entries."""

    def put(own: Tensor, *, hook: Any) -> Tensor:
        return torch.where(place, value, own)

    return model.run_with_hooks(corrupted, fwd_hooks=[(hook, put)])[:, -1]


def place_of(hook: str, value: Tensor, n_ctx: int, *, position: int | None, head: int | None) -> Bool[Tensor, "..."]:
    """Return the entries of an activation to be replaced, as a mask that broadcasts to it.

    >>> place_of("hook_embed", torch.zeros(5, 3, 2), 3, position=1, head=None).tolist()
    [[[False], [True], [False]]]
    """
    place = torch.ones((1,) * value.ndim, dtype=torch.bool, device=value.device)
    head_axis, position_axis = (1, 2) if hook.endswith(PATTERNS) else (2, 1)
    has_positions = value.ndim > 2 and value.shape[position_axis] == n_ctx
    sizes = n_ctx if has_positions else 0, value.shape[head_axis] if value.ndim == 4 else 0
    chosen = ("position", position, position_axis), ("head", head, head_axis)
    for (name, index, axis), size in zip(chosen, sizes, strict=True):
        if index is None:
            continue
        if not 0 <= index < size:
            raise GrokinterpError(f"{name}={index}: {hook} has {size or 'no'} {name}s")
        there = torch.arange(size, device=value.device) == index
        place = place & there.view([-1 if i == axis else 1 for i in range(value.ndim)])
    return place
