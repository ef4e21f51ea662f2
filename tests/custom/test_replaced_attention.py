"""StableMax in anyone's attention: torch's to the letter with a softmax, and no softmax left with StableMax."""

import copy
import math
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from grokinterp.custom import configure_for_grokking
from grokinterp.custom.attention import replace_attention
from grokinterp.errors import ConfigError
from grokinterp.losses import stablemax
from grokinterp.models import Transformer, TransformerSpec
from tests.support.softmaxes import Softmaxes

BATCH, LENGTH, SOURCE, WIDTH, HEADS = 3, 5, 7, 8, 2

OPTIONS = {
    "plain": {},
    "batch first": {"batch_first": True},
    "no bias": {"bias": False, "batch_first": True},
    "other widths": {"kdim": 6, "vdim": 4},
    "one other width": {"vdim": 4, "batch_first": True},
    "bias of keys": {"add_bias_kv": True},
    "a zero to attend to": {"add_zero_attn": True, "batch_first": True},
    "all of them": {"kdim": 6, "vdim": 4, "add_bias_kv": True, "add_zero_attn": True, "batch_first": True},
}
CAUSAL = nn.Transformer.generate_square_subsequent_mask(LENGTH)
PADDING = torch.tensor([[False] * 7, [False] * 5 + [True] * 2, [False] * 3 + [True] * 4])
RANDOM = torch.rand(BATCH * HEADS, LENGTH, SOURCE, generator=torch.Generator().manual_seed(3)) > 0.8
MASKS = {
    "none": {},
    "padding": {"key_padding_mask": PADDING},
    "padding added": {"key_padding_mask": torch.zeros(PADDING.shape).masked_fill(PADDING, -math.inf)},
    "boolean": {"attn_mask": RANDOM[0]},
    "added": {"attn_mask": RANDOM[0].float()},
    "of every head": {"attn_mask": RANDOM},
    "both": {"attn_mask": RANDOM, "key_padding_mask": PADDING},
    "causal": {
        "attn_mask": CAUSAL.isinf().new_zeros(LENGTH, SOURCE).logical_or(torch.ones(LENGTH, SOURCE).triu(1) > 0)
    },
}


def attention(**options: object) -> nn.MultiheadAttention:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(WIDTH, HEADS, **options)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


def inputs(module: nn.MultiheadAttention, *, batched: bool = True) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = [(LENGTH, WIDTH), (SOURCE, module.kdim), (SOURCE, module.vdim)]
    drawn = [torch.randn(BATCH, *shape, generator=generator) for shape in shapes]
    if not batched:
        return [x[0] for x in drawn]
    return drawn if module.batch_first else [x.transpose(0, 1) for x in drawn]


def same(found: tuple[Tensor, Tensor | None], expected: tuple[Tensor, Tensor | None]) -> None:
    torch.testing.assert_close(found[0], expected[0], rtol=1e-6, atol=1e-6)
    assert (found[1] is None) == (expected[1] is None)
    if found[1] is not None:
        torch.testing.assert_close(found[1], expected[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("option", list(OPTIONS))
@pytest.mark.parametrize("mask", list(MASKS))
@pytest.mark.parametrize("training", [False, True])
def test_with_a_softmax_it_is_torchs(option: str, mask: str, training: bool) -> None:
    """Values, weights and gradients."""
    theirs = attention(**OPTIONS[option]).train(training)
    ours = copy.deepcopy(theirs)
    assert replace_attention(ours, function=torch.softmax).replaced == ("",)
    for kwargs in ({"need_weights": False}, {}, {"average_attn_weights": False}):
        found, expected = (module(*inputs(module), **MASKS[mask], **kwargs) for module in (ours, theirs))
        same(found, expected)
    for module, (output, weights) in ((ours, found), (theirs, expected)):
        module.zero_grad()
        (output.square().sum() + weights.square().sum()).backward()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("option", ["plain", "batch first", "all of them"])
def test_without_a_batch_it_is_torchs(option: str) -> None:
    theirs = attention(**OPTIONS[option])
    ours = copy.deepcopy(theirs)
    replace_attention(ours, function=torch.softmax)
    for kwargs in ({}, {"key_padding_mask": PADDING[1], "attn_mask": RANDOM[:HEADS]}, {"average_attn_weights": False}):
        found, expected = (module(*inputs(module, batched=False), **kwargs) for module in (ours, theirs))
        same(found, expected)


def test_causal_self_attention_and_dropout_are_torchs() -> None:
    theirs = attention(batch_first=True, dropout=0.5)
    ours = copy.deepcopy(theirs)
    replace_attention(ours, function=torch.softmax)
    x = inputs(ours)[0]
    results = []
    for module in (ours, theirs):
        torch.manual_seed(7)
        results.append(module(x, x, x, attn_mask=CAUSAL, is_causal=True))
    same(*results)
    same(*(module.eval()(x, x, x, attn_mask=CAUSAL, is_causal=True, need_weights=False) for module in (ours, theirs)))
    with pytest.raises(ConfigError, match="is_causal=True: is a hint about attn_mask"):
        ours(x, x, x, is_causal=True)


def test_half_precision_and_masks_that_are_numbers() -> None:
    """The lowest half acts as -∞: zero weight; if it masks all keys, the weights are equal."""
    module = attention(batch_first=True).half()
    replace_attention(module)
    x = inputs(attention(batch_first=True))[0].half()
    mask = torch.zeros(LENGTH, LENGTH, dtype=torch.float16)
    mask[:, 3:] = torch.finfo(torch.float16).min
    mask[0] = torch.finfo(torch.float16).min
    _, weights = module(x, x, x, attn_mask=mask)
    assert (weights[:, 1:, 3:] == 0).all()
    torch.testing.assert_close(weights[:, 0], torch.full_like(weights[:, 0], 0.2), rtol=0, atol=1e-3)
    infinite = mask.masked_fill(mask < 0, -math.inf)[1:]
    torch.testing.assert_close(weights[:, 1:], module(x[:, 1:], x, x, attn_mask=infinite)[1])


# --- Transformer layers of torch ------------------------------------------------------------------------------------


def encoder(**options: object) -> nn.TransformerEncoder:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 16, **{"dropout": 0.0, "batch_first": True} | options)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=bool(options.get("batch_first", True)))


def by_hand(layer: nn.TransformerEncoderLayer, x: Tensor, padding: Tensor) -> Tensor:
    """A post-norm layer with StableMax, one head and one example at a time."""
    batch = []
    for row, hidden in zip(x, padding, strict=True):
        q, k, v = functional.linear(row, layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias).chunk(3, -1)
        heads = []
        for head in range(HEADS):
            part = slice(head * WIDTH // HEADS, (head + 1) * WIDTH // HEADS)
            scores = q[:, part] @ k[:, part].T / math.sqrt(WIDTH // HEADS)
            size = torch.where(scores >= 0, scores + 1, 1 / (1 - scores.clamp(max=0))) * ~hidden
            heads.append(size / size.sum(-1, keepdim=True) @ v[:, part])
        batch.append(layer.norm1(row + layer.self_attn.out_proj(torch.cat(heads, -1))))
    y = torch.stack(batch)
    return layer.norm2(y + layer.linear2(layer.linear1(y).relu()))


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_the_fused_path_of_torch_is_not_taken(gradients: bool, training: bool, masked: bool) -> None:
    """Without gradients torch bypasses the attention module, and makes a padded batch a nested tensor."""
    model = encoder().train(training)
    replacement = replace_attention(model)
    assert replacement == (("layers.0.self_attn", "layers.1.self_attn"), ())
    x = torch.randn(BATCH, LENGTH, WIDTH, generator=torch.Generator().manual_seed(1))
    padding = PADDING[:, 2:] if masked else torch.zeros(BATCH, LENGTH, dtype=torch.bool)
    with torch.set_grad_enabled(gradients), Softmaxes() as counted:
        found = model(x, src_key_padding_mask=padding if masked else None)
    assert counted.seen == []
    expected = by_hand(model.layers[1], by_hand(model.layers[0], x, padding), padding)
    torch.testing.assert_close(found[~padding], expected[~padding], rtol=1e-5, atol=1e-5)


def test_the_softmax_counter_counts() -> None:
    x = torch.randn(BATCH, LENGTH, WIDTH)
    with torch.no_grad(), Softmaxes() as counted:
        encoder()(x)
        functional.softmax(x, dim=-1)
    assert len(counted.seen) >= 2


def test_a_whole_transformer_with_a_softmax_is_torchs() -> None:
    torch.manual_seed(0)
    theirs = nn.Transformer(WIDTH, HEADS, 1, 2, 16, dropout=0.0, batch_first=True)
    ours = copy.deepcopy(theirs)
    replacement = replace_attention(ours, function=torch.softmax)
    assert len(replacement.replaced) == 5
    source, target = torch.randn(2, 4, WIDTH), torch.randn(2, 3, WIDTH)
    mask = nn.Transformer.generate_square_subsequent_mask(3)
    for training in (True, False):
        found, expected = (m.train(training)(source, target, tgt_mask=mask, tgt_is_causal=True) for m in (ours, theirs))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_replacing_keeps_parameters_names_hooks_and_copies() -> None:
    model = encoder()
    before = dict(model.named_parameters())
    state, calls = {name: value.clone() for name, value in model.state_dict().items()}, []
    model.layers[0].self_attn.register_forward_hook(lambda *_: calls.append(1))
    replace_attention(model)
    assert all(before[name] is parameter for name, parameter in model.named_parameters())
    assert model.state_dict().keys() == state.keys()
    x = torch.randn(BATCH, LENGTH, WIDTH)
    once = model.eval()(x)
    assert calls == [1]
    del model.layers[0].self_attn._forward_hooks[next(iter(model.layers[0].self_attn._forward_hooks))]
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301
        assert torch.equal(again(x), once)
    fresh = encoder()
    fresh.load_state_dict(state)
    assert not torch.allclose(fresh.eval()(x), once, atol=1e-4)
    assert replace_attention(model).replaced == ("layers.0.self_attn", "layers.1.self_attn")
    assert torch.equal(model(x), once)


# --- modules of anyone ------------------------------------------------------------------------------------------------


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.softmax = nn.Linear(WIDTH, 3 * WIDTH), nn.Softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.softmax(q @ k.mT) @ v


class Mixer(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(x, x, x)


class CausalAttention(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.softmax(x @ x.mT, -1) @ x


class OwnForward(nn.MultiheadAttention):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x, x, x)[0]


def mixed() -> nn.Sequential:
    own = OwnForward(WIDTH, HEADS)
    return nn.Sequential(SelfAttention(), Mixer(), CausalAttention(), own, nn.Linear(WIDTH, 3), nn.Softmax(dim=-1))


def test_what_is_kept_is_named() -> None:
    model = mixed()
    x = torch.randn(2, 3, WIDTH)
    scores = model[0].qkv(x)[..., :WIDTH] @ model[0].qkv(x)[..., WIDTH : 2 * WIDTH].mT
    replacement = replace_attention(model)
    assert replacement.replaced == ("0.softmax",)
    assert replacement.kept == (
        "1 (Mixer: scaled_dot_product_attention)",
        "2 (CausalAttention: its name)",
        "3 (OwnForward: a subclass with its own code)",
    )
    torch.testing.assert_close(model[0](x), stablemax(scores) @ model[0].qkv(x)[..., 2 * WIDTH :])
    assert type(model[5]) is nn.Softmax
    assert str(replacement) == (
        "Replaced the attention softmax in 1 module: 0.softmax. Similar to attention, but NOT replaced: "
        "1 (Mixer: scaled_dot_product_attention), 2 (CausalAttention: its name), "
        "3 (OwnForward: a subclass with its own code)."
    )


class Pooling(nn.Module):
    """A fused attention of its own around an encoder of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = encoder()

    def forward(self, x: Tensor) -> Tensor:
        x = self.encoder(x)
        return functional.scaled_dot_product_attention(x[:, :1], x, x)


class GatedAttention(nn.Module):
    """Its softmax is over two gates, not over keys."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.softmax = nn.Linear(WIDTH, 2), nn.Softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        attended = functional.scaled_dot_product_attention(x, x, x)
        gates = self.softmax(self.gate(x))
        return gates[..., :1] * attended + gates[..., 1:] * x


class Inheriting(Mixer):
    def extra(self) -> None:
        pass


class Hidden(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        def attend(y: Tensor) -> Tensor:
            return (lambda z: functional.scaled_dot_product_attention(z, z, z))(y)

        return attend(x)


class Static(nn.Module):
    @staticmethod
    @torch.no_grad()
    def forward(x: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(x, x, x)


def test_a_fused_attention_is_named_whatever_was_replaced_inside_and_around() -> None:
    model = Pooling()
    replacement = replace_attention(model)
    assert replacement.replaced == ("encoder.layers.0.self_attn", "encoder.layers.1.self_attn")
    assert replacement.kept == ("the model (Pooling: scaled_dot_product_attention)",)
    with pytest.warns(UserWarning, match=r"NOT replaced: the model \(Pooling: scaled_dot_product_attention\)"):
        configure_for_grokking(Pooling(), stablemax_attention=True)
    around = attention()
    around.inner = Mixer()
    assert replace_attention(around) == (("",), ("inner (Mixer: scaled_dot_product_attention)",))


def test_a_gate_beside_a_fused_attention_stays() -> None:
    model = GatedAttention()
    assert replace_attention(model) == ((), ("the model (GatedAttention: scaled_dot_product_attention)",))
    assert type(model.softmax) is nn.Softmax


@pytest.mark.parametrize("kind", [Inheriting, Hidden, Static])
def test_a_fused_attention_is_found_in_bases_and_inner_functions(kind: type[nn.Module]) -> None:
    assert replace_attention(kind()) == ((), (f"the model ({kind.__name__}: scaled_dot_product_attention)",))


def test_a_model_without_attention() -> None:
    replacement = replace_attention(nn.Sequential(nn.Linear(3, 4), nn.Softmax(dim=-1)))
    assert replacement == ((), ())
    assert str(replacement) == "No attention was found; nothing was replaced."


def test_our_transformer_becomes_the_one_with_stablemax() -> None:
    def built(function: str) -> nn.Module:
        spec = TransformerSpec(d_model=8, n_heads=2, d_mlp=16, attention_fn=function)
        return Transformer(spec, d_vocab=5, d_vocab_out=4, n_ctx=3, generator=torch.Generator().manual_seed(0))

    model, expected = built("softmax"), built("stablemax")
    assert len(replace_attention(model).replaced) == 1
    tokens = torch.tensor([[0, 1, 4], [2, 3, 4]])
    assert torch.equal(model(tokens), expected(tokens))
