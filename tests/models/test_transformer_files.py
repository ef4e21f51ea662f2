"""Weights of the model: the bridge, the files of TransformerLens, initial values, sizes, vmap."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from grokinterp.errors import ConfigError, GrokinterpError
from grokinterp.models import Transformer, TransformerSpec
from tests.cases.models import OTHER_SPECS, PLAIN_SPECS, SMALL, SPECS, draw, draw_tokens, stacked

EVERY_SPEC = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
EVERY_PLAIN_SPEC = pytest.mark.parametrize("spec", PLAIN_SPECS.values(), ids=PLAIN_SPECS)


# the bridge and the files of TransformerLens


@EVERY_PLAIN_SPEC
@torch.no_grad()
def test_bridge_has_equal_logits(spec: TransformerSpec) -> None:
    """LNPre is computed in float32 in there."""
    model, tokens = draw(spec), draw_tokens()
    tolerance = 1e-4 if spec.normalization == "LNPre" else 1e-10
    torch.testing.assert_close(model.to_bridge()(tokens), model(tokens), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["one layer", "two layers, LN, biases", "two layers, bidirectional"])
@torch.no_grad()
def test_bridge_has_equal_activations(name: str) -> None:
    model, tokens = draw(SPECS[name]), draw_tokens()
    _, ours = model.run_with_cache(tokens)
    _, theirs = model.to_bridge().run_with_cache(tokens)
    for layer in range(model.spec.n_layers):
        for hook in ("pattern", "z", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "post"):
            assert torch.allclose(ours[hook, layer], theirs[hook, layer].view_as(ours[hook, layer])), (hook, layer)


@pytest.mark.parametrize("spec", OTHER_SPECS.values(), ids=OTHER_SPECS)
def test_bridge_names_what_transformer_lens_cannot_compute(spec: TransformerSpec) -> None:
    with pytest.raises(
        GrokinterpError, match=r"^TransformerLens has no model with \w+=[\w.]+(, \w+=[\w.]+)*$"
    ) as error:
        draw(spec).to_bridge()
    named = dict(choice.split("=") for choice in str(error.value).rpartition(" with ")[2].split(", "))
    assert all(str(getattr(spec, key)) == value != str(getattr(TransformerSpec(), key)) for key, value in named.items())


def test_bridge_shares_no_memory() -> None:
    model, tokens = draw(SPECS["one layer"]), draw_tokens()
    bridged = model.to_bridge()
    before = bridged(tokens)
    with torch.no_grad():
        model.embed.W_E.zero_()
    torch.testing.assert_close(bridged(tokens), before)


UNTIED_SPECS = {name: spec for name, spec in PLAIN_SPECS.items() if not spec.tied_embeddings}
ATTENTION_NAMES = ("W_Q", "W_O", "b_Q", "b_O", "W_K", "W_V", "b_K", "b_V", "mask", "IGNORE")


def hooked_transformer_names(*, n_layers: int, normalization: str | None) -> list[str]:
    """The keys of a HookedTransformer's state dict, as TransformerLens 3 writes them."""
    norm = (lambda where: [f"{where}.w", f"{where}.b"]) if normalization == "LN" else lambda where: []
    names = ["embed.W_E", "pos_embed.W_pos"]
    for block in (f"blocks.{layer}" for layer in range(n_layers)):
        names += [*norm(f"{block}.ln1"), *norm(f"{block}.ln2")]
        names += [f"{block}.attn.{name}" for name in ATTENTION_NAMES]
        names += [f"{block}.mlp.{name}" for name in ["W_in", "b_in", "W_out", "b_out"]]
    return [*names, *norm("ln_final"), "unembed.W_U", "unembed.b_U"]


@pytest.mark.parametrize("spec", UNTIED_SPECS.values(), ids=UNTIED_SPECS)
def test_loads_the_state_dict_of_a_hooked_transformer(spec: TransformerSpec) -> None:
    source = draw(spec)
    constants = {"mask": torch.ones(3, 3).tril().bool(), "IGNORE": torch.tensor(-torch.inf)}
    written = {
        name: constants[name.rsplit(".", 1)[1]] if name.endswith(("mask", "IGNORE")) else source.state_dict()[name]
        for name in hooked_transformer_names(n_layers=spec.n_layers, normalization=spec.normalization)
    }
    assert set(source.state_dict()) == {name for name in written if not name.endswith(("mask", "IGNORE"))}
    model = draw(spec, seed=1)
    model.load_state_dict(written)
    torch.testing.assert_close(model(draw_tokens()), source(draw_tokens()))


def test_strict_loading_names_what_is_missing_and_foreign() -> None:
    model = draw(SPECS["one layer"])
    state = {name: value for name, value in model.state_dict().items() if name != "unembed.W_U"}
    with pytest.raises(RuntimeError, match=r"unembed\.W_U"):
        model.load_state_dict(state)
    with pytest.raises(RuntimeError, match="x_embed"):
        model.load_state_dict(dict(model.state_dict()) | {"x_embed": torch.zeros(1)})


def test_loads_a_published_hooked_transformer(published: Path) -> None:
    """Chughtai et al. 2023, a transformer on C_113: all 113² sums are correct."""
    state = torch.load(published / "chughtai" / "C113_T_seed2" / "model.pt", weights_only=True, map_location="cpu")
    model = Transformer(TransformerSpec(biases=True), d_vocab=114, d_vocab_out=113, n_ctx=3)
    model.load_state_dict({name: value for name, value in state.items() if name not in ("x_embed", "y_embed")})
    residues = torch.arange(113)
    tokens = torch.cartesian_prod(residues, residues, torch.tensor([113]))
    with torch.inference_mode():
        predictions = model(tokens)[:, -1].argmax(-1)
    assert torch.equal(predictions, tokens[:, :2].sum(1) % 113)


# parameters and their initial values


def test_untrained_biases_are_zero_buffers() -> None:
    sizes = {"d_vocab": 6, "d_vocab_out": 5, "n_ctx": 3, "generator": torch.Generator().manual_seed(0)}
    without = Transformer(TransformerSpec(**SMALL), **sizes)
    biased = Transformer(TransformerSpec(**SMALL, biases=True), **sizes)
    biases = {f"blocks.0.attn.b_{name}" for name in "QKVO"}
    biases |= {"blocks.0.mlp.b_in", "blocks.0.mlp.b_out", "unembed.b_U"}
    assert {name for name, _ in without.named_buffers() if name != "blocks.0.attn.mask"} == biases
    assert {name for name, _ in biased.named_parameters()} - {name for name, _ in without.named_parameters()} == biases
    assert set(without.state_dict()) == set(biased.state_dict())
    assert not any(without.state_dict()[name].any() for name in biases)
    without(draw_tokens()).sum().backward()
    assert not any(without.state_dict()[name].any() for name in biases)


def test_loaded_untrained_biases_count() -> None:
    """A network trained with biases, loaded into a model that would not train them, computes the same."""
    biased = draw(TransformerSpec(**SMALL, biases=True))
    model = Transformer(TransformerSpec(**SMALL), d_vocab=6, d_vocab_out=5, n_ctx=3).double()
    model.load_state_dict(biased.state_dict())
    torch.testing.assert_close(model(draw_tokens()), biased(draw_tokens()))


def test_initial_weights_as_in_pytorch_have_the_ranges_of_its_modules() -> None:
    """Twins of the same sizes: what nn.Embedding, nn.MultiheadAttention and nn.Linear draw."""
    spec = TransformerSpec(initialization="pytorch", biases=True)
    generator = torch.Generator().manual_seed(0)
    model = Transformer(spec, d_vocab=114, d_vocab_out=113, n_ctx=3, generator=generator)
    torch.manual_seed(0)
    attention, out = torch.nn.MultiheadAttention(128, 4), torch.nn.Linear(128, 113)
    inner, outer, embedding = torch.nn.Linear(128, 512), torch.nn.Linear(512, 128), torch.nn.Embedding(114, 128)
    twins = {f"blocks.0.attn.W_{name}": attention.in_proj_weight for name in "QKV"}
    twins |= {"blocks.0.attn.W_O": attention.out_proj.weight, "embed.W_E": embedding.weight}
    twins |= {"blocks.0.mlp.W_in": inner.weight, "blocks.0.mlp.b_in": inner.bias, "blocks.0.mlp.W_out": outer.weight}
    twins |= {"blocks.0.mlp.b_out": outer.bias, "unembed.W_U": out.weight, "unembed.b_U": out.bias}
    for name, twin in twins.items():
        weight = model.state_dict()[name]
        assert float(weight.std()) == pytest.approx(float(twin.detach().std()), rel=0.15), name
        if name != "embed.W_E":
            assert float(weight.abs().max()) == pytest.approx(float(twin.detach().abs().max()), rel=0.05), name
    assert not any(model.state_dict()[f"blocks.0.attn.b_{name}"].any() for name in "QKVO")


def test_initial_weights_have_the_published_scales() -> None:
    model = Transformer(
        TransformerSpec(), d_vocab=114, d_vocab_out=113, n_ctx=3, generator=torch.Generator().manual_seed(0)
    )
    sizes = {name: weight.numel() for name, weight in model.named_parameters()}
    assert sum(sizes.values()) == 114 * 128 + 3 * 128 + 4 * 128**2 + 2 * 128 * 512 + 128 * 113
    for name, weight in model.named_parameters():
        deviation = 113**-0.5 if name == "unembed.W_U" else 128**-0.5
        spread = 5 / (2 * sizes[name]) ** 0.5  # five standard errors of a standard deviation
        assert float(weight.detach().std()) == pytest.approx(deviation, rel=spread), name
        assert abs(float(weight.detach().mean())) < 5 * deviation / sizes[name] ** 0.5, name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_layers": 0}, "n_layers=0"),
        ({"d_model": 0}, "d_model=0"),
        ({"d_mlp": 70000}, "d_mlp=70000"),
        ({"d_model": 10, "n_heads": 4}, "n_heads=4: must divide d_model=10"),
        ({"d_head": 0}, "d_head=0"),
        ({"n_layers": 10**9}, "n_layers=1000000000: must be an integer from 1 to 128"),
        ({"attention_rate": 1.1}, "attention_rate=1.1: must be from 0"),
        ({"attention_rate": float("nan")}, "attention_rate=nan"),
        ({"norm_position": "post"}, "norm_position=post: needs a normalization"),
    ],
)
def test_impossible_choices_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        TransformerSpec(**arguments)


def test_tied_embeddings_need_a_token_per_class() -> None:
    with pytest.raises(ConfigError, match=r"^tied_embeddings=True: needs a token per class: 4 tokens, 5 classes$"):
        Transformer(TransformerSpec(**SMALL, tied_embeddings=True), d_vocab=4, d_vocab_out=5, n_ctx=3)


# torch.func


@EVERY_SPEC
def test_vmap_over_stacked_parameters(spec: TransformerSpec) -> None:
    (model, state), tokens = stacked(spec), draw_tokens()
    logits = torch.vmap(lambda one: functional_call(model, one, (tokens,)))(state)
    torch.testing.assert_close(logits, torch.stack([draw(spec, seed=seed)(tokens) for seed in range(3)]))


def test_cache_under_vmap() -> None:
    (model, state), tokens = stacked(SPECS["two layers"]), draw_tokens()

    class Cached(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self) -> Tensor:
            return self.model.run_with_cache(tokens)[1]["pattern", 1]

    def pattern(one: dict[str, Tensor]) -> Tensor:
        return functional_call(Cached(), {f"model.{name}": value for name, value in one.items()}, ())

    alone = [draw(SPECS["two layers"], seed=seed).run_with_cache(tokens)[1]["pattern", 1] for seed in range(3)]
    torch.testing.assert_close(torch.vmap(pattern)(state), torch.stack(alone))
