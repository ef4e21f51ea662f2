"""Options of a transformer, compared with PyTorch's own layers, published networks and naive loops."""

import copy
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from grokinterp.models import Transformer, TransformerSpec
from tests.cases.models import SMALL, SPECS, draw, draw_tokens

# layer normalization and pooling


class Encoder(nn.Module):
    """Embeddings, ``nn.TransformerEncoder``, mean over positions, linear head: as in the preset boundaries."""

    def __init__(self, spec: TransformerSpec, *, d_vocab: int, d_vocab_out: int, n_ctx: int) -> None:
        super().__init__()
        first = spec.norm_position == "pre"
        layer = nn.TransformerEncoderLayer(
            spec.d_model, spec.n_heads, spec.d_mlp, 0.0, "gelu", batch_first=True, norm_first=first, dtype=torch.float64
        )
        final = nn.LayerNorm(spec.d_model, dtype=torch.float64) if first else None
        self.encoder = nn.TransformerEncoder(layer, spec.n_layers, final, enable_nested_tensor=False)
        self.tokens = nn.Embedding(d_vocab, spec.d_model, dtype=torch.float64)
        self.positions = nn.Embedding(n_ctx, spec.d_model, dtype=torch.float64)
        self.head = nn.Linear(spec.d_model, d_vocab_out, dtype=torch.float64)
        generator = torch.Generator().manual_seed(0)
        for weight in self.parameters():
            nn.init.normal_(weight, 0, 0.4, generator=generator)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        return self.head(self.encoder(x).mean(1))


def state_of(encoder: Encoder, spec: TransformerSpec) -> dict[str, Tensor]:
    """The encoder's numbers by their TransformerLens names."""
    heads, d_model = spec.n_heads, spec.d_model
    state = {"embed.W_E": encoder.tokens.weight, "pos_embed.W_pos": encoder.positions.weight}
    state |= {"unembed.W_U": encoder.head.weight.T, "unembed.b_U": encoder.head.bias}
    if encoder.encoder.norm is not None:
        state |= {"ln_final.w": encoder.encoder.norm.weight, "ln_final.b": encoder.encoder.norm.bias}
    for i, layer in enumerate(encoder.encoder.layers):
        attn, block = layer.self_attn, f"blocks.{i}"
        for name, weight, bias in zip("QKV", attn.in_proj_weight.chunk(3), attn.in_proj_bias.chunk(3), strict=True):
            state[f"{block}.attn.W_{name}"] = weight.T.reshape(d_model, heads, -1).transpose(0, 1)
            state[f"{block}.attn.b_{name}"] = bias.reshape(heads, -1)
        state[f"{block}.attn.W_O"] = attn.out_proj.weight.T.reshape(heads, -1, d_model)
        state[f"{block}.attn.b_O"] = attn.out_proj.bias
        state |= {f"{block}.mlp.W_in": layer.linear1.weight.T, f"{block}.mlp.b_in": layer.linear1.bias}
        state |= {f"{block}.mlp.W_out": layer.linear2.weight.T, f"{block}.mlp.b_out": layer.linear2.bias}
        for name, norm in (("ln1", layer.norm1), ("ln2", layer.norm2)):
            state |= {f"{block}.{name}.w": norm.weight, f"{block}.{name}.b": norm.bias}
    return state


@pytest.mark.parametrize("norm_position", ["pre", "post"])
def test_the_pooled_classifier_is_a_pytorch_encoder(norm_position: str) -> None:
    """Equal logits, and equal gradients of the embeddings, which have passed through everything."""
    spec = replace(SPECS["boundaries"], norm_position=norm_position)
    encoder, tokens = Encoder(spec, d_vocab=6, d_vocab_out=5, n_ctx=3), draw_tokens()
    model = draw(spec)
    model.load_state_dict(state_of(encoder, spec))
    ours, theirs = model(tokens)[:, -1], encoder(tokens)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    torch.testing.assert_close(model.embed.W_E.grad, encoder.tokens.weight.grad, rtol=1e-10, atol=1e-10)


def test_pooled_logits_are_the_mean_of_those_at_every_position() -> None:
    pooled = draw(SPECS["mean, bidirectional, LN"])
    single = draw(replace(pooled.spec, read_at="last"))
    single.load_state_dict(pooled.state_dict())
    torch.testing.assert_close(pooled(draw_tokens())[:, -1], single(draw_tokens()).mean(1))


def test_post_norm_leaves_a_normalized_stream() -> None:
    _, cache = draw(SPECS["two layers, post-norm, LNPre"]).run_with_cache(draw_tokens())
    for name in ("blocks.0.hook_resid_mid", "blocks.1.hook_resid_post"):
        torch.testing.assert_close(cache[name].mean(-1), torch.zeros(20, 3, dtype=torch.float64), rtol=0, atol=1e-12)
        torch.testing.assert_close(
            cache[name].square().mean(-1), torch.ones(20, 3, dtype=torch.float64), rtol=0, atol=1e-3
        )


# attention


def weights_by_hand(scores: list[float], function: str, rate: float) -> list[float]:
    """Attention of one query over the keys it sees."""
    parts = [math.exp(s) if function == "softmax" else (s + 1 if s >= 0 else 1 / (1 - s)) for s in scores]
    return [rate * part / sum(parts) + (1 - rate) for part in parts]


@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
@pytest.mark.parametrize("function", ["softmax", "stablemax"])
@pytest.mark.parametrize("rate", [1.0, 0.3, 0.0])
def test_attention_by_hand(attention: str, function: str, rate: float) -> None:
    spec = TransformerSpec(**SMALL, attention=attention, attention_fn=function, attention_rate=rate)
    _, cache = draw(spec).run_with_cache(draw_tokens(4))
    scores, pattern = cache["attn_scores", 0], cache["pattern", 0]
    for example, head, query in torch.cartesian_prod(torch.arange(4), torch.arange(2), torch.arange(3)).tolist():
        sees = query + 1 if attention == "causal" else 3
        expected = weights_by_hand(scores[example, head, query, :sees].tolist(), function, rate) + [0.0] * (3 - sees)
        assert pattern[example, head, query].tolist() == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("name", ["p99zdpze5l", "2k4ohj6bhd"])
@torch.no_grad()
def test_computes_the_networks_of_zhong(published: Path, name: str) -> None:
    """Zhong et al. 2023: attention rates 0 and 0.804, no "=" token; all 59² sums are correct."""
    rate = float(json.loads((published / "pizza" / f"config_{name}.json").read_text())["attn_coeff"])
    old = torch.load(published / "pizza" / f"model_{name}.pt", weights_only=True, map_location="cpu")
    spec = TransformerSpec(read_at="last", attention="bidirectional", attention_rate=rate)
    model = Transformer(spec, d_vocab=59, d_vocab_out=59, n_ctx=2)
    state = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    state |= {"embed.W_E": old["embed.W_E"].T, "pos_embed.W_pos": old["pos_embed.W_pos"][:2]}
    state |= {f"blocks.0.attn.W_{x}": old[f"blocks.0.attn.W_{x}"].transpose(1, 2) for x in "QKV"}
    state |= {"blocks.0.attn.W_O": old["blocks.0.attn.W_O"].T.reshape(4, 32, 128)}
    state |= {f"blocks.0.mlp.W_{x}": old[f"blocks.0.mlp.W_{x}"].T for x in ("in", "out")}
    state |= {f"blocks.0.mlp.b_{x}": old[f"blocks.0.mlp.b_{x}"] for x in ("in", "out")}
    model.load_state_dict(state | {"unembed.W_U": old["unembed.W_U"]})
    tokens = torch.cartesian_prod(torch.arange(59), torch.arange(59))
    assert torch.equal(model(tokens)[:, -1].argmax(-1), tokens.sum(1) % 59)


# positions


def test_sinusoids_are_those_of_vaswani_and_not_trained() -> None:
    model = Transformer(TransformerSpec(**SMALL, positions="sinusoidal"), d_vocab=6, d_vocab_out=5, n_ctx=4)
    for t in range(4):
        angles = [t / 10_000 ** (2 * (column // 2) / 8) for column in range(8)]
        expected = [math.cos(angle) if column % 2 else math.sin(angle) for column, angle in enumerate(angles)]
        assert model.W_pos[t].tolist() == pytest.approx(expected, abs=1e-6)
    assert "pos_embed.W_pos" in model.state_dict()
    assert "pos_embed.W_pos" not in dict(model.named_parameters())


def test_without_positions_order_counts_for_nothing() -> None:
    spec = TransformerSpec(**SMALL, positions="none", read_at="mean", attention="bidirectional")
    model = Transformer(spec, d_vocab=6, d_vocab_out=5, n_ctx=3, generator=torch.Generator().manual_seed(0)).double()
    tokens = draw_tokens()
    torch.testing.assert_close(model(tokens), model(tokens.flip(1)))


# tied embeddings


def logits_with(model: Transformer, W_E: Tensor) -> Tensor:
    return functional_call(model, {"embed.W_E": W_E}, (draw_tokens(),))[:, -1]


def test_tied_embeddings_compute_what_an_untied_copy_computes() -> None:
    """And their gradient is the sum of the gradients of both uses."""
    tied, tokens = draw(SPECS["tied"]), draw_tokens()
    untied = draw(replace(SPECS["tied"], tied_embeddings=False))
    untied.load_state_dict(tied.state_dict() | {"unembed.W_U": tied.embed.W_E.detach()[:5].T})
    torch.testing.assert_close(tied(tokens), untied(tokens))
    for model in (tied, untied):
        model(tokens).square().sum().backward()
    expected = untied.embed.W_E.grad.clone()
    expected[:5] += untied.unembed.W_U.grad.T
    torch.testing.assert_close(tied.embed.W_E.grad, expected)
    assert "unembed.W_U" not in tied.state_dict()


def test_tied_embeddings_stay_tied() -> None:
    """In a copy, in a model called with other numbers, and in one that is loaded."""
    model, other = draw(SPECS["tied"]), draw(SPECS["tied"], seed=1)
    mixed = draw(SPECS["tied"])
    mixed.load_state_dict(model.state_dict() | {"embed.W_E": other.embed.W_E.detach()})
    copied = copy.deepcopy(model)
    with torch.no_grad():
        copied.embed.W_E.copy_(other.embed.W_E)
    torch.testing.assert_close(copied(draw_tokens()), mixed(draw_tokens()))
    torch.testing.assert_close(logits_with(model, other.embed.W_E), mixed(draw_tokens())[:, -1])
    assert copied.W_U.data_ptr() == copied.embed.W_E.data_ptr() != model.embed.W_E.data_ptr()
