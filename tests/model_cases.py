"""One small transformer for every choice a specification offers."""

import torch

from grokinterp.models import Transformer, TransformerSpec

SMALL = {"d_model": 8, "n_heads": 2, "d_mlp": 12}

SPECS = {
    "one layer": TransformerSpec(**SMALL),
    "one layer, biases": TransformerSpec(**SMALL, biases=True),
    "one layer, LN": TransformerSpec(**SMALL, normalization="LN"),
    "one layer, LNPre, biases": TransformerSpec(**SMALL, normalization="LNPre", biases=True),
    "bidirectional": TransformerSpec(**SMALL, attention="bidirectional"),
    "d_head": TransformerSpec(**SMALL, d_head=3, biases=True),
    "gelu": TransformerSpec(**SMALL, act_fn="gelu", biases=True),
    "silu": TransformerSpec(**SMALL, act_fn="silu"),
    "one head": TransformerSpec(d_model=6, n_heads=1, d_mlp=5),
    "two layers": TransformerSpec(**SMALL, n_layers=2),
    "two layers, LN, biases": TransformerSpec(**SMALL, n_layers=2, normalization="LN", biases=True),
    "two layers, bidirectional": TransformerSpec(**SMALL, n_layers=2, attention="bidirectional", biases=True),
    "three layers, LNPre, d_head": TransformerSpec(**SMALL, n_layers=3, normalization="LNPre", d_head=5, act_fn="gelu"),
}


def draw(
    spec: TransformerSpec, *, d_vocab: int = 6, d_vocab_out: int = 5, n_ctx: int = 3, seed: int = 0
) -> Transformer:
    """A float64 transformer all of whose numbers, untrained biases included, are drawn and of order one."""
    generator = torch.Generator().manual_seed(seed)
    model = Transformer(spec, d_vocab=d_vocab, d_vocab_out=d_vocab_out, n_ctx=n_ctx).double()
    for name, value in model.state_dict().items():
        value.copy_(0.4 * torch.randn(value.shape, generator=generator, dtype=value.dtype) + name.endswith(".w"))
    return model


def draw_tokens(
    n: int = 20, *, d_vocab: int = 6, n_ctx: int = 3, constant_last: bool = False, seed: int = 1
) -> torch.Tensor:
    """Random token sequences; with ``constant_last`` they all end in the last token, as in (a, b, =)."""
    tokens = torch.randint(0, d_vocab, (n, n_ctx), generator=torch.Generator().manual_seed(seed))
    if constant_last:
        tokens[:, -1] = d_vocab - 1
    return tokens
