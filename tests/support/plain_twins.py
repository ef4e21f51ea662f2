"""Our networks written as plain PyTorch, with the same weights, as a user would write them."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from grokinterp.models import MLP, Transformer


class PlainAttention(nn.Module):
    """Causal attention by scaled_dot_product_attention, heads side by side in one matrix."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))


class PlainTransformer(nn.Module):
    """One layer, functional ReLU, logits of all positions; "=" is the last token."""

    def __init__(self, tokens: int, classes: int, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.emb = nn.Embedding(tokens, width)
        self.pos = nn.Parameter(torch.zeros(3, width))
        self.attn = PlainAttention(width, heads)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        self.out = nn.Linear(width, classes, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.emb(tokens) + self.pos
        x = x + self.attn(x)
        return self.out(x + self.down(functional.relu(self.up(x))))


@torch.no_grad()
def plain_transformer(model: Transformer) -> PlainTransformer:
    """The same function as one of our one-layer transformers."""
    spec, block = model.spec, model.blocks[0]
    plain = PlainTransformer(len(model.W_E), model.W_U.shape[1], spec.d_model, spec.n_heads, spec.d_mlp)
    qkv = [weight.transpose(1, 2).flatten(0, 1) for weight in (block.attn.W_Q, block.attn.W_K, block.attn.W_V)]
    for own, weight in (
        (plain.emb.weight, model.W_E), (plain.pos, model.W_pos), (plain.attn.qkv.weight, torch.cat(qkv)),
        (plain.attn.out.weight, block.attn.W_O.flatten(0, 1).T), (plain.up.weight, block.mlp.W_in.T),
        (plain.down.weight, block.mlp.W_out.T), (plain.out.weight, model.W_U.T),
    ):  # fmt: skip
        own.copy_(weight)
    return plain


class PlainMLP(nn.Module):
    """One hidden layer of squares on one-hot vectors side by side, all functional."""

    def __init__(self, tokens: int, classes: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Linear(2 * tokens, hidden, bias=False)
        self.W = nn.Parameter(torch.zeros(hidden, classes))

    def forward(self, pairs: Tensor) -> Tensor:
        return torch.einsum("bn,nc->bc", self.first(pairs).square(), self.W)


@torch.no_grad()
def plain_mlp(model: MLP) -> PlainMLP:
    """The same function as one of our MLPs with one quadratic layer on one-hot vectors."""
    plain = PlainMLP(len(model.layers[0].W_in) // 2, model.W_U.shape[1], model.spec.hidden[0])
    plain.first.weight.copy_(model.layers[0].W_in.T)
    plain.W.copy_(model.W_U)
    return plain
