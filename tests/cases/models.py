"""One small model for every choice a specification offers, tiny ones of every kind, and models with random weights."""

import torch
from torch import Tensor
from torch.func import functional_call

from grokinterp.models import MLPSpec, Model, ModelSpec, Readout, ReadoutInputs, RecursiveSpec, TransformerSpec, build

SMALL = {"d_model": 8, "n_heads": 2, "d_mlp": 12}

PLAIN_SPECS = {
    "one layer": TransformerSpec(**SMALL),
    "one layer, biases": TransformerSpec(**SMALL, biases=True),
    "one layer, MLP biases": TransformerSpec(**SMALL, biases="mlp"),
    "one layer, LN": TransformerSpec(**SMALL, normalization="LN"),
    "one layer, LNPre, biases": TransformerSpec(**SMALL, normalization="LNPre", biases=True),
    "bidirectional, last": TransformerSpec(**SMALL, attention="bidirectional", read_at="last"),
    "d_head": TransformerSpec(**SMALL, d_head=3, biases=True),
    "gelu": TransformerSpec(**SMALL, act_fn="gelu", biases=True),
    "silu, no positions": TransformerSpec(**SMALL, act_fn="silu", positions="none"),
    "one head": TransformerSpec(d_model=6, n_heads=1, d_mlp=5),
    "tied": TransformerSpec(**SMALL, tied_embeddings=True, biases=True),
    "two layers": TransformerSpec(**SMALL, n_layers=2),
    "two layers, LN, biases": TransformerSpec(**SMALL, n_layers=2, normalization="LN", biases=True),
    "two layers, bidirectional": TransformerSpec(**SMALL, n_layers=2, attention="bidirectional", biases=True),
    "two layers, sinusoidal, tied": TransformerSpec(**SMALL, n_layers=2, positions="sinusoidal", tied_embeddings=True),
    "three layers, LNPre, d_head": TransformerSpec(**SMALL, n_layers=3, normalization="LNPre", d_head=5, act_fn="gelu"),
}
"""Transformers of which TransformerLens has the like."""

OTHER_SPECS = {
    "post-norm": TransformerSpec(**SMALL, normalization="LN", norm_position="post", biases=True),
    "two layers, post-norm, LNPre": TransformerSpec(**SMALL, n_layers=2, normalization="LNPre", norm_position="post"),
    "mean": TransformerSpec(**SMALL, read_at="mean"),
    "mean, bidirectional, LN": TransformerSpec(**SMALL, read_at="mean", attention="bidirectional", normalization="LN"),
    "stablemax": TransformerSpec(**SMALL, attention_fn="stablemax"),
    "two layers, stablemax, rate": TransformerSpec(
        **SMALL, n_layers=2, attention_fn="stablemax", attention_rate=0.3, attention="bidirectional"
    ),
    "rate": TransformerSpec(**SMALL, attention_rate=0.8, read_at="last"),
    "rate 0, mean": TransformerSpec(**SMALL, attention_rate=0.0, read_at="mean"),
    "quadratic": TransformerSpec(**SMALL, act_fn="quadratic"),
    "tanh, scaled, dropout": TransformerSpec(**SMALL, act_fn="tanh", output_scale=3.0, biases=True, dropout=0.3),
    "mup, LN": TransformerSpec(**SMALL, initialization="mup", base_width=4, normalization="LN"),
    "boundaries": TransformerSpec(
        **SMALL,
        n_layers=2,
        act_fn="gelu",
        read_at="mean",
        normalization="LN",
        norm_position="post",
        attention="bidirectional",
        biases=True,
    ),
}
"""Transformers of a kind that TransformerLens does not have."""

SPECS = PLAIN_SPECS | OTHER_SPECS

MLP_SPECS = {
    "mlp": MLPSpec(hidden=(7,)),
    "mlp, one-hot, summed": MLPSpec(combine="sum", hidden=(7,)),
    "mlp, embedded": MLPSpec(d_embed=4, hidden=(7,), act_fn="gelu", biases=True),
    "mlp, summed": MLPSpec(d_embed=4, combine="sum", hidden=(7,), act_fn="relu"),
    "mlp, separate": MLPSpec(d_embed=4, embedding="separate", hidden=(7,), act_fn="relu", initialization="normal"),
    "mlp, separate, summed": MLPSpec(d_embed=4, embedding="separate", combine="sum", hidden=(7,), biases=True),
    "mlp, deep": MLPSpec(hidden=(9, 6, 7), biases=True, initialization="pytorch", act_fn="silu"),
    "mlp, BN": MLPSpec(hidden=(7,), normalization="BN", biases=True, output_scale=2.0),
    "mlp, BN, embedded, deep": MLPSpec(d_embed=4, hidden=(6, 5), normalization="BN", act_fn="tanh", dropout=0.2),
    "mlp, LN, deep": MLPSpec(hidden=(6, 7), normalization="LN", act_fn="tanh", output_scale=2.0, biases=True),
    "mlp, deep, separate": MLPSpec(d_embed=3, embedding="separate", hidden=(6, 5), initialization="pytorch"),
}

RECURSIVE_SPECS = {
    "recursive": RecursiveSpec(d_model=6, d_mlp=9, n_latent=2, n_supervision=3),
    "recursive, biases": RecursiveSpec(d_model=6, d_mlp=9, n_latent=3, n_supervision=2, act_fn="relu", biases=True),
    "recursive, once": RecursiveSpec(d_model=6, d_mlp=9, n_latent=1, n_supervision=1, act_fn="quadratic"),
}

MODEL_SPECS: dict[str, ModelSpec] = {**SPECS, **MLP_SPECS, **RECURSIVE_SPECS}
"""Every kind of model with every choice: the table over which the general laws run."""


TINY_SIZES = {"d_model": 4, "n_heads": 2, "d_mlp": 6}

TINY_SPECS: dict[str, ModelSpec] = {
    "transformer": TransformerSpec(**TINY_SIZES),
    "two layers, LN, biases": TransformerSpec(**TINY_SIZES, n_layers=2, normalization="LN", biases=True, act_fn="gelu"),
    "tied, stablemax": TransformerSpec(**TINY_SIZES, tied_embeddings=True, attention_fn="stablemax"),
    "mean": TransformerSpec(**TINY_SIZES, read_at="mean", attention="bidirectional", act_fn="silu"),
    "mlp": MLPSpec(hidden=(9,)),
    "mlp, BN, tanh": MLPSpec(hidden=(9,), normalization="BN", act_fn="tanh", output_scale=2.0, dropout=0.2),
    "deep mlp": MLPSpec(d_embed=4, embedding="separate", hidden=(6, 5), act_fn="relu", biases=True),
    "recursive, once": RecursiveSpec(d_model=5, d_mlp=7, n_latent=2, n_supervision=1),
}
"""The table over which the laws of single analyses run: a model of every kind whose gradient is the true one."""

RECURSIVE = RecursiveSpec(d_model=5, d_mlp=7, n_latent=2, n_supervision=3)


def draw(spec: ModelSpec, *, d_vocab: int = 6, d_vocab_out: int = 5, n_ctx: int = 3, seed: int = 0) -> Model:
    """A float64 model with all numbers, including untrained biases, drawn at order one."""
    generator = torch.Generator().manual_seed(seed)
    model = build(spec, d_vocab=d_vocab, d_vocab_out=d_vocab_out, n_ctx=n_ctx).double()
    for name, value in model.state_dict().items():
        drawn = 0.4 * torch.randn(value.shape, generator=generator, dtype=value.dtype)
        value.copy_(drawn.abs() + 0.1 if name.endswith(".variance") else drawn + name.endswith(".w"))
    return model


def draw_tokens(
    n: int = 20, *, d_vocab: int = 6, n_ctx: int = 3, constant_last: bool = False, seed: int = 1
) -> torch.Tensor:
    """Random token sequences; with ``constant_last`` they all end in the last token, as in (a, b, =)."""
    tokens = torch.randint(0, d_vocab, (n, n_ctx), generator=torch.Generator().manual_seed(seed))
    if constant_last:
        tokens[:, -1] = d_vocab - 1
    return tokens


def stacked(spec: ModelSpec, members: int = 3) -> tuple[Model, dict[str, Tensor]]:
    """A model, and the states of several like it with a leading axis."""
    models = [draw(spec, seed=seed) for seed in range(members)]
    state = [dict(model.state_dict()) for model in models]
    return models[0], {name: torch.stack([one[name] for one in state]) for name in state[0]}


class Reader(torch.nn.Module):
    """``readout`` as a module, whose numbers ``functional_call`` can swap."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: ReadoutInputs) -> Readout:
        return self.model.readout(inputs)


def call(model: Model, state: dict[str, Tensor], inputs: ReadoutInputs) -> Readout:
    """``readout`` of the model with the tensors of ``state`` in place of its own."""
    return functional_call(Reader(model), {f"model.{name}": value for name, value in state.items()}, (inputs,))


def parts(readout: Readout) -> dict[str, Tensor]:
    """The fields of the readout, by name."""
    return {name: value for name, value in readout._asdict().items() if value is not None}
