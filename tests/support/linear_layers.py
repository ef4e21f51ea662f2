"""A transformer made of torch.nn.Linear, independent of this package, as described in docs/import.md."""

import torch
from torch import Tensor, nn


class Layer(nn.Module):
    def __init__(self, d_model: int, n_heads: int, d_mlp: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)
        self.fc1, self.fc2 = nn.Linear(d_model, d_mlp), nn.Linear(d_mlp, d_model)
        self.register_buffer("mask", torch.ones(3, 3).tril().bool())

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        z = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(z.transpose(1, 2).flatten(2))
        return x + self.fc2(self.fc1(x).relu())


class LinearLayers(nn.Module):
    """Tokens a, b, "=" (p); one output more than classes."""

    def __init__(self, p: int = 13, d_model: int = 16, n_heads: int = 2, d_mlp: int = 24, n_layers: int = 1) -> None:
        super().__init__()
        self.p = p
        self.embedding = nn.Embedding(p + 1, d_model)
        self.position = nn.Parameter(0.1 * torch.randn(3, d_model))
        self.layers = nn.ModuleList([Layer(d_model, n_heads, d_mlp) for _ in range(n_layers)])
        self.head = nn.Linear(d_model, p + 1, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens) + self.position
        for layer in self.layers:
            x = layer(x)
        return self.head(x[:, -1])

    @torch.no_grad()
    def logits(self) -> Tensor:
        """The logits of all pairs in row-major order, in float64."""
        a, b = torch.arange(self.p).repeat_interleave(self.p), torch.arange(self.p).repeat(self.p)
        dtype = self.position.dtype
        logits = self.double()(torch.stack([a, b, torch.full_like(a, self.p)], 1))[:, : self.p]
        self.to(dtype)
        return logits
