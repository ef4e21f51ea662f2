"""Multi-head attention of torch with another function instead of softmax."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from grokinterp.errors import ConfigError
from grokinterp.maths.stablemax import stablemax

AttentionFunction = Callable[[Tensor, int], Tensor]
"""Maps scores and a dimension to weights along that dimension."""


MASKED = -5e8
"""Scores below this value belong to masked keys; -1e9 is a common mask value."""


class MultiheadAttention(nn.MultiheadAttention):
    """``torch.nn.MultiheadAttention`` with ``attention_function`` instead of softmax.

    Arguments, masks, and results are those of torch. An existing module is converted by setting its ``__class__``. It
    keeps its parameters, their names, its hooks, and its place, so that optimizers and state dicts remain valid. A
    property that torch checks before it bypasses ``forward`` with a fused path (in ``TransformerEncoderLayer`` without
    gradients) is False.
    """

    attention_function: AttentionFunction = staticmethod(stablemax)

    @property
    def _qkv_same_embed_dim(self) -> bool:
        return False

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the attention output and weights, like ``torch.nn.MultiheadAttention.forward``.

        Raises:
            ConfigError: ``is_causal``, which is a hint about the mask, was given without ``attn_mask``.
        """
        if is_causal and attn_mask is None:
            raise ConfigError("is_causal", True, "is a hint about attn_mask, which must be given too")
        batched = query.dim() == 3
        parts = [self._batch_first(x, batched=batched) for x in (query, key, value)]
        mask = self._mask(attn_mask, key_padding_mask, parts[0])
        q, k, v, mask = self._extended(*self._projected(*parts), mask)
        scores = q @ k.mT / math.sqrt(self.head_dim)
        weights = function_in_single(self.attention_function, scores if mask is None else scores + mask)
        weights = functional.dropout(weights, self.dropout, training=self.training)
        output = self.out_proj((weights @ v).transpose(1, 2).flatten(2))
        output = output.squeeze(0) if not batched else output if self.batch_first else output.transpose(0, 1)
        if not need_weights:
            return output, None
        shown = weights.mean(1) if average_attn_weights else weights
        return output, shown if batched else shown.squeeze(0)

    def _batch_first(self, x: Tensor, *, batched: bool) -> Float[Tensor, "batch position feature"]:
        if not batched:
            return x.unsqueeze(0)
        return x if self.batch_first else x.transpose(0, 1)

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Return queries, keys, and values [batch, position, embed_dim]."""
        if self.in_proj_weight is None:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        else:
            weights = self.in_proj_weight.chunk(3)
        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        of_each = zip((query, key, value), weights, biases, strict=True)
        return [functional.linear(x, weight, bias) for x, weight, bias in of_each]

    def _extended(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Return queries, keys, and values [batch, head, position, head_dim] and the mask, with extra keys."""
        batch, extra = len(k), 0
        if self.bias_k is not None and self.bias_v is not None:
            k, v = (torch.cat([x, b.expand(batch, 1, -1)], 1) for x, b in ((k, self.bias_k), (v, self.bias_v)))
            extra += 1
        if self.add_zero_attn:
            k, v = functional.pad(k, (0, 0, 0, 1)), functional.pad(v, (0, 0, 0, 1))
            extra += 1
        heads = [x.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2) for x in (q, k, v)]
        return heads[0], heads[1], heads[2], mask if mask is None else functional.pad(mask, (0, extra))

    def _mask(self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, query: Tensor) -> Tensor | None:
        """Return the mask that is added to the scores [batch, head, query, key]; None without masks."""
        masks = []
        if attn_mask is not None:
            added = additive(attn_mask, query.dtype)
            masks.append(added if added.dim() == 2 else added.unflatten(0, (len(query), self.num_heads)))
        if key_padding_mask is not None:
            padding = additive(key_padding_mask, query.dtype)
            masks.append(padding.reshape(len(query), 1, 1, -1))
        return None if not masks else masks[0] if len(masks) == 1 else masks[0] + masks[1]


def additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a mask that is added to scores: -∞ where a boolean mask is true."""
    if mask.dtype == torch.bool:
        return torch.zeros_like(mask, dtype=dtype).masked_fill(mask, -math.inf)
    return mask.to(dtype)


class StableMax(nn.Softmax):
    """``torch.nn.Softmax`` with ``attention_function`` instead; modules are converted as for ``MultiheadAttention``."""

    attention_function: AttentionFunction = staticmethod(stablemax)

    def forward(self, input: Tensor) -> Tensor:
        """Return the weights along ``dim`` (default, as in torch: 0 for 0, 1, or 3 dimensions, else 1)."""
        dim = (0 if input.dim() in (0, 1, 3) else 1) if self.dim is None else self.dim
        return function_in_single(self.attention_function, input, dim)


def function_in_single(function: AttentionFunction, scores: Tensor, dim: int = -1) -> Tensor:
    """Return the function computed in at least single precision, with zero weight for masked scores.

    A key is masked by -∞ or by an extremely low number: below ``MASKED`` or half of the lowest number of the dtype.
    StableMax would give such a score a small weight, whereas softmax gives none. If all keys are masked by such
    numbers, all have the same weight, as with softmax.
    """
    masked = scores < max(torch.finfo(scores.dtype).min / 2, MASKED)
    nowhere = masked.all(dim, keepdim=True) & scores.isfinite()
    wide = scores.to(torch.promote_types(scores.dtype, torch.float32))
    return function(wide.masked_fill(masked, -math.inf).masked_fill(nowhere, 0.0), dim).to(scores.dtype)
