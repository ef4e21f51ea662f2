"""Functions that compute attention with a visible and replaceable pattern."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

ATTENTION = frozenset({"softmax", "scaled_dot_product_attention", "multi_head_attention_forward"})
"""Functions that compute an attention pattern internally or, for a softmax, return it."""

Tap = Callable[[Tensor], Tensor]


def with_pattern(name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], tap: Tap) -> Any:
    """Return the output of an attention function with its pattern passed to ``tap`` (read-only if multi-head)."""
    if name == "softmax":
        return tap(func(*args, **kwargs))
    if name == "scaled_dot_product_attention":
        return attended(*args, tap=tap, **kwargs)
    wanted, averaged = kwargs.get("need_weights", True), kwargs.get("average_attn_weights", True)
    output, pattern = func(*args, **{**kwargs, "need_weights": True, "average_attn_weights": False})
    tap(pattern)
    if not wanted:
        return output, None
    return output, pattern.mean(1) if averaged else pattern


def attended(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    tap: Tap,
) -> Tensor:
    """Compute ``scaled_dot_product_attention`` explicitly, without dropout.

    >>> x = torch.eye(2)[None]
    >>> seen = []
    >>> attended(x, x, x, is_causal=True, tap=lambda p: seen.append(p) or p)[0, 0], seen[0].shape
    (tensor([1., 0.]), torch.Size([1, 2, 2]))
    """
    if enable_gqa:
        key, value = (x.repeat_interleave(query.shape[-3] // x.shape[-3], -3) for x in (key, value))
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~allowed, -torch.inf)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -torch.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    return tap(scores.softmax(-1)) @ value
