"""The one module that imports TransformerLens: everything the house takes from it."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformer_lens import ActivationCache, FactoredMatrix, HookedRootModule
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.hook_points import HookPoint
from transformer_lens.utilities import TypedModuleList

if TYPE_CHECKING:
    from transformer_lens import TransformerBridge

__all__ = [
    "ActivationCache",
    "FactoredMatrix",
    "HookPoint",
    "HookedRootModule",
    "TypedModuleList",
    "bridge",
    "bridge_config",
]


def bridge_config(
    *,
    d_model: int,
    n_layers: int,
    n_heads: int,
    d_head: int,
    d_mlp: int,
    n_ctx: int,
    d_vocab: int,
    d_vocab_out: int,
    act_fn: str,
    normalization: str | None,
    bidirectional: bool,
) -> TransformerBridgeConfig:
    """Return the TransformerLens configuration that ``ActivationCache``, ``patching`` and the bridge read."""
    return TransformerBridgeConfig(
        d_model=d_model,
        n_layers=n_layers,
        n_heads=n_heads,
        d_head=d_head,
        d_mlp=d_mlp,
        n_ctx=n_ctx,
        d_vocab=d_vocab,
        d_vocab_out=d_vocab_out,
        act_fn=act_fn,
        normalization_type=normalization,
        attention_dir="bidirectional" if bidirectional else "causal",
        positional_embedding_type="standard",
        architecture="TransformerLensNative",
    )


def bridge(config: TransformerBridgeConfig, state: dict[str, Tensor]) -> "TransformerBridge":
    """Return a TransformerBridge with the given TransformerLens-format weights, on the CPU."""
    # imported here because they load a second's worth of transformers that nothing else needs
    from transformer_lens.model_bridge.sources.native import boot
    from transformer_lens.utilities.tl_checkpoint_conversion import convert_tl_checkpoint

    native: Any = boot(config, dtype=next(iter(state.values())).dtype)
    with torch.no_grad():
        native.load_state_dict(convert_tl_checkpoint(state, config), strict=True)
    return native
