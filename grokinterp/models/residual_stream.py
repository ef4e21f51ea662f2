"""The components that write into a transformer's residual stream, and the network that reads from it."""

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.models.sites import HeadTail, NeuronTail, PatchSite

if TYPE_CHECKING:
    from grokinterp.models.transformer import Transformer


# direct logit attribution


def component_names(n_layers: int, n_heads: int) -> tuple[str, ...]:
    """Return the names of the components of the residual stream, as in TransformerLens.

    >>> component_names(1, 2)
    ('embed', 'pos_embed', 'L0H0', 'L0H1', '0_mlp_out', 'bias', 'unembed_bias')
    """
    layers = [[*(f"L{layer}H{head}" for head in range(n_heads)), f"{layer}_mlp_out"] for layer in range(n_layers)]
    return ("embed", "pos_embed", *(name for layer in layers for name in layer), "bias", "unembed_bias")


def direct_attribution(
    model: "Transformer", tokens: Int[Tensor, "example position"], classes: Int[Tensor, "example"]
) -> Float[Tensor, "component example"]:
    """Return the contribution of each component to the logit of the example's class minus the mean logit."""
    points = ("attn.hook_z", "hook_mlp_out")
    inner = [f"blocks.{layer}.{point}" for layer in range(model.n_layers) for point in points]
    scales = ["ln_final.hook_scale"] if model.spec.normalization else []
    _, *found = model.catch(tokens, "hook_embed", "hook_pos_embed", *inner, *scales)
    embed, positions, *found = found if model.spec.read_at == "mean" else [value[:, -1:] for value in found]
    direction = model.W_U.T[classes] - model.W_U.mean(1)
    read = reading(model, direction, found.pop() if scales else embed.new_ones(*embed.shape[:2], 1))
    added = [torch.einsum("bpm,bpm->b", value, read)[None] for value in (embed, positions)]
    for block, z, mlp_out in zip(model.blocks, found[::2], found[1::2], strict=True):
        added += [torch.einsum("bphe,hem,bpm->hb", z, block.attn.W_O, read)]
        added += [torch.einsum("bpm,bpm->b", mlp_out, read)[None]]
    attention_bias = read.sum(1) @ model.b_O.sum(0)
    ln_final: Any = model.ln_final
    shift = direction @ ln_final.b if model.spec.normalization == "LN" else 0
    unembed_bias = model.b_U[classes] - model.b_U.mean() + shift
    return torch.cat([*added, attention_bias[None], unembed_bias[None]])


def reading(
    model: "Transformer", direction: Float[Tensor, "example d_model"], scale: Float[Tensor, "example position 1"]
) -> Float[Tensor, "example position d_model"]:
    """Return the adjoint of the final LayerNorm with fixed scale, and of the mean over the read positions."""
    ln_final: Any = model.ln_final
    if model.spec.normalization is not None:
        weighted = direction * ln_final.w if model.spec.normalization == "LN" else direction
        direction = weighted - weighted.mean(-1, keepdim=True)
    return direction.unsqueeze(1) / (scale * scale.shape[1])


# ablation


def head_tail(model: "Transformer", layer: int, tokens: Int[Tensor, "example position"]) -> HeadTail:
    """Return the heads of a layer and the network after them."""
    block = f"blocks.{layer}"
    names = f"{block}.attn.hook_z", f"{block}.hook_resid_pre", f"{block}.hook_attn_out"
    start = -1 if layer == model.n_layers - 1 and model.spec.read_at != "mean" else 0
    z, before, added = (value[:, start:].clone() for value in model.catch(tokens, *names)[1:])
    return HeadTail(z, before + added, model.blocks[layer].attn.W_O, lambda x: after_attention(model, layer, x))


def after_attention(
    model: "Transformer", layer: int, stream: Float[Tensor, "example place d_model"]
) -> Float[Tensor, "example class"]:
    """Return the logits from the residual stream after a layer's attention, before normalization."""
    block = model.blocks[layer]
    middle = block.after(block.ln1, stream)
    x = block.after(block.ln2, middle + block.mlp(block.before(block.ln2, middle)))
    for later in model.blocks[layer + 1 :]:
        x = later(x)
    x = model.ln_final(x)
    return model.unembed(x.mean(1) if model.spec.read_at == "mean" else x[:, -1])


def neuron_tail(model: "Transformer", tokens: Int[Tensor, "example position"]) -> NeuronTail:
    """Return the neurons of the last layer and the network after them, at the read positions."""
    last, block = f"blocks.{model.n_layers - 1}", model.blocks[-1]
    _, *found = model.catch(tokens, f"{last}.mlp.hook_post", f"{last}.hook_resid_mid", f"{last}.hook_mlp_out")
    neurons, middle, out = found if model.spec.read_at == "mean" else [value[:, -1:] for value in found]

    def answer(stream: Tensor) -> Tensor:
        return model.unembed(model.ln_final(block.after(block.ln2, stream)).mean(-2))

    return NeuronTail(neurons, middle + out, block.mlp.W_out, answer)


# activation patching


def patch_sites(n_layers: int, n_heads: int) -> dict[str, PatchSite]:
    """Return the sites of every block: the residual stream before it, its heads, and the outputs of both sub-layers."""
    sites: dict[str, PatchSite] = {}
    for layer in range(n_layers):
        block = f"blocks.{layer}"
        sites[f"{block}.hook_resid_pre"] = PatchSite(f"{block}.hook_resid_pre")
        sites |= {f"L{layer}H{head}": PatchSite(f"{block}.attn.hook_z", head) for head in range(n_heads)}
        sites |= {f"{block}.{point}": PatchSite(f"{block}.{point}") for point in ("hook_attn_out", "hook_mlp_out")}
    return sites
