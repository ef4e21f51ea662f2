"""The model speaks TransformerLens: names, caches, decompositions, patching, bridge, and the files others wrote."""

import pytest
import torch
from torch import Tensor
from transformer_lens import ActivationCache, FactoredMatrix, patching

from grokinterp.models import Transformer, TransformerSpec
from tests.cases.models import PLAIN_SPECS, SMALL, SPECS, draw, draw_tokens

EVERY_SPEC = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
EVERY_PLAIN_SPEC = pytest.mark.parametrize("spec", PLAIN_SPECS.values(), ids=PLAIN_SPECS)


def canonical_hooks(spec: TransformerSpec) -> list[str]:
    """The hook points that fire in TransformerLens 3's HookedTransformer, in order, and our additional ones."""
    names = ["hook_scale", "hook_normalized"] if spec.normalization else []
    before, behind = (names, []) if spec.norm_position == "pre" else ([], names)
    block = [
        "hook_resid_pre",
        *(f"ln1.{name}" for name in before),
        *(f"attn.hook_{name}" for name in ("q", "k", "v", "attn_scores", "pattern", "z")),
        "hook_attn_out",
        *(f"ln1.{name}" for name in behind),
        "hook_resid_mid",
        *(f"ln2.{name}" for name in before),
        "mlp.hook_pre",
        "mlp.hook_post",
        "hook_mlp_out",
        *(f"ln2.{name}" for name in behind),
        "hook_resid_post",
    ]
    blocks = [f"blocks.{layer}.{name}" for layer in range(spec.n_layers) for name in block]
    last = [*(f"ln_final.{name}" for name in before), *(["hook_pooled"] if spec.read_at == "mean" else [])]
    return ["hook_embed", "hook_pos_embed", *blocks, *last]


# names, shapes and values of activations


@EVERY_SPEC
def test_hook_names_are_canonical(spec: TransformerSpec) -> None:
    model = draw(spec)
    _, cache = model.run_with_cache(draw_tokens())
    names = canonical_hooks(spec)
    assert list(cache.keys()) == names
    assert sorted(model.hook_dict) == sorted(names)


def test_cache_shapes() -> None:
    _, cache = draw(TransformerSpec(**SMALL, d_head=3, normalization="LN")).run_with_cache(draw_tokens(20))
    assert isinstance(cache, ActivationCache)
    stream, head, neuron = (20, 3, 8), (20, 3, 2, 3), (20, 3, 12)
    pattern = (20, 2, 3, 3)
    assert cache["pattern", 0].shape == cache["attn_scores", 0].shape == pattern
    assert all(cache[name, 0].shape == head for name in "qkvz")
    assert cache["pre", 0].shape == cache["post", 0].shape == neuron
    assert all(
        cache[name, 0].shape == stream for name in ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
    )
    assert cache["scale", 0, "ln1"].shape == (20, 3, 1)
    assert cache["embed"].shape == cache["pos_embed"].shape == stream


def test_cache_of_one_example_without_its_batch_dimension() -> None:
    model, tokens = draw(SPECS["one layer"]), draw_tokens(1)
    _, cache = model.run_with_cache(tokens, remove_batch_dim=True)
    assert cache["pattern", 0].shape == (2, 3, 3)
    torch.testing.assert_close(cache["resid_post", 0], model.run_with_cache(tokens)[1]["resid_post", 0][0])


@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
def test_attention_sees_what_it_may(attention: str) -> None:
    model = draw(TransformerSpec(**SMALL, attention=attention), n_ctx=4)
    _, cache = model.run_with_cache(draw_tokens(n_ctx=4))
    pattern = cache["pattern", 0]
    torch.testing.assert_close(pattern.sum(-1), torch.ones(20, 2, 4, dtype=torch.float64))
    hidden = torch.ones(4, 4).triu(1).bool()
    assert bool((pattern[:, :, hidden] == 0).all()) == (attention == "causal")
    assert bool((pattern[:, :, ~hidden] > 0).all())


def test_forward_by_hand() -> None:
    """One example through one head, written out."""
    model = draw(TransformerSpec(d_model=4, n_heads=1, d_mlp=3, biases=True), n_ctx=2)
    attn, mlp = model.blocks[0].attn, model.blocks[0].mlp
    x = model.W_E[torch.tensor([4, 2])] + model.W_pos
    q, k, v = (x @ getattr(attn, f"W_{name}")[0] + getattr(attn, f"b_{name}")[0] for name in "QKV")
    score = q[1] @ k.T / 4**0.5
    weight = score.exp() / score.exp().sum()
    x = x[1] + weight @ v @ attn.W_O[0] + attn.b_O
    x = x + (x @ mlp.W_in + mlp.b_in).clamp(min=0) @ mlp.W_out + mlp.b_out
    torch.testing.assert_close(model(torch.tensor([[4, 2]]))[0, 1], x @ model.W_U + model.b_U)


# what ActivationCache, FactoredMatrix and patching make of it


def to_logits(model: Transformer, cache: ActivationCache, component_sum: Tensor) -> Tensor:
    """The last steps of the forward pass, on a sum of the residual stream's components."""
    if model.spec.normalization is None:
        return component_sum @ model.W_U + model.b_U
    centered = component_sum - component_sum.mean(-1, keepdim=True)
    normalized = centered / cache["ln_final.hook_scale"]
    if model.spec.normalization == "LN":
        normalized = normalized * model.ln_final.w + model.ln_final.b
    return normalized @ model.W_U + model.b_U


@EVERY_PLAIN_SPEC
@torch.no_grad()
def test_residual_components_sum_to_the_logits(spec: TransformerSpec) -> None:
    model = draw(spec)
    logits, cache = model.run_with_cache(draw_tokens())
    components, labels = cache.decompose_resid(return_labels=True)
    layers = range(spec.n_layers)
    assert labels == ["embed", "pos_embed", *(f"{i}_{kind}" for i in layers for kind in ("attn_out", "mlp_out"))]
    torch.testing.assert_close(to_logits(model, cache, components.sum(0)), logits)


@EVERY_PLAIN_SPEC
@torch.no_grad()
def test_heads_and_neurons_sum_to_the_residual(spec: TransformerSpec) -> None:
    model = draw(spec)
    logits, cache = model.run_with_cache(draw_tokens())
    heads, labels = cache.stack_head_results(return_labels=True)
    assert labels == [f"L{layer}H{head}" for layer in range(spec.n_layers) for head in range(spec.n_heads)]
    attn_out = sum(cache["attn_out", layer] for layer in range(spec.n_layers))
    torch.testing.assert_close(heads.sum(0) + sum(block.attn.b_O for block in model.blocks), attn_out)
    every_part = cache.get_full_resid_decomposition(expand_neurons=True)
    assert every_part.shape[0] == spec.n_layers * (spec.n_heads + spec.d_mlp) + 3  # + embed, pos_embed, biases
    torch.testing.assert_close(to_logits(model, cache, every_part.sum(0)), logits)
    accumulated = cache.accumulated_resid(mlp_input=False)
    torch.testing.assert_close(to_logits(model, cache, accumulated[-1]), logits)


@pytest.mark.parametrize("name", ["one layer", "one layer, LNPre, biases", "two layers"])
@torch.no_grad()
def test_logit_attributions_sum_to_the_logits(name: str) -> None:
    model, tokens = draw(SPECS[name]), draw_tokens()
    logits, cache = model.run_with_cache(tokens)
    labels = tokens.sum(1) % 5
    components = cache.decompose_resid(pos_slice=-1)
    attributions = cache.logit_attrs(components, labels, pos_slice=-1)
    correct = logits[:, -1].gather(-1, labels[:, None]).squeeze(-1)
    torch.testing.assert_close(attributions.sum(0) + model.b_U[labels], correct)
    difference = cache.logit_attrs(components, labels, incorrect_tokens=(labels + 1) % 5, pos_slice=-1).sum(0)
    wrong = logits[:, -1].gather(-1, (labels[:, None] + 1) % 5).squeeze(-1)
    torch.testing.assert_close(difference + model.b_U[labels] - model.b_U[(labels + 1) % 5], correct - wrong)


@pytest.mark.parametrize("name", ["one layer, LNPre, biases", "three layers, LNPre, d_head"])
@torch.no_grad()
def test_layer_norm_of_a_stack(name: str) -> None:
    """Components divided by the scale of the whole stream; they sum to the layer's input."""
    _, cache = draw(SPECS[name]).run_with_cache(draw_tokens())
    at_mlp = cache.apply_ln_to_stack(cache.decompose_resid(layer=0, mlp_input=True), layer=0, mlp_input=True)
    torch.testing.assert_close(at_mlp.sum(0), cache["normalized", 0, "ln2"])
    final = cache.apply_ln_to_stack(cache.decompose_resid(), layer=-1)
    torch.testing.assert_close(final.sum(0), cache["ln_final.hook_normalized"])


def test_factored_circuits() -> None:
    model = draw(SPECS["two layers"])
    assert isinstance(model.QK, FactoredMatrix)
    block = model.blocks[1].attn
    torch.testing.assert_close(model.QK.AB[1], block.W_Q @ block.W_K.transpose(-2, -1))
    torch.testing.assert_close(model.OV.AB[1], block.W_V @ block.W_O)
    assert model.OV.AB.shape == (2, 2, 8, 8)
    torch.testing.assert_close(model.OV.S[..., :4], torch.linalg.svdvals(model.OV.AB)[..., :4])
    torch.testing.assert_close((model.W_E @ model.OV @ model.W_U).AB[1, 0], model.W_E @ model.OV.AB[1, 0] @ model.W_U)


def test_stacked_weights_have_a_layer_axis() -> None:
    model = draw(SPECS["two layers, LN, biases"])
    for name, shape in {"W_Q": (2, 2, 8, 4), "W_O": (2, 2, 4, 8), "b_V": (2, 2, 4), "b_O": (2, 8)}.items():
        torch.testing.assert_close(getattr(model, name)[1], getattr(model.blocks[1].attn, name))
        assert getattr(model, name).shape == shape
    for name, shape in {"W_in": (2, 8, 12), "b_in": (2, 12), "W_out": (2, 12, 8), "b_out": (2, 8)}.items():
        torch.testing.assert_close(getattr(model, name)[1], getattr(model.blocks[1].mlp, name))
        assert getattr(model, name).shape == shape
    with pytest.raises(AttributeError):
        _ = model.W_gate


class TestPatching:
    """Clean tokens (1, 2, 5) patched into corrupted (3, 4, 5), where the outcome can be computed without patching."""

    clean, corrupted = torch.tensor([[1, 2, 5]]), torch.tensor([[3, 4, 5]])

    @staticmethod
    def metric(logits: Tensor) -> Tensor:
        return logits[0, -1, 0] - logits[0, -1, 1]

    @torch.no_grad()
    def test_residual_stream_before_the_first_layer(self) -> None:
        """Patching position j there is replacing token j."""
        model = draw(SPECS["two layers"])
        _, cache = model.run_with_cache(self.clean)
        result = patching.get_act_patch_resid_pre(model, self.corrupted, cache, self.metric)
        assert result.shape == (2, 3)
        swapped = torch.tensor([[1, 4, 5], [3, 2, 5], [3, 4, 5]])
        expected = torch.stack([self.metric(model(row[None])) for row in swapped])
        torch.testing.assert_close(result[0].double(), expected, rtol=1e-5, atol=1e-5)

    @torch.no_grad()
    def test_residual_stream_before_the_last_layer(self) -> None:
        """With attention of the last layer off, only the last position counts, and there everything is recovered."""
        model = draw(SPECS["two layers"])
        model.blocks[1].attn.W_O.zero_()
        _, cache = model.run_with_cache(self.clean)
        result = patching.get_act_patch_resid_pre(model, self.corrupted, cache, self.metric)[1]
        values = [self.metric(model(tokens)) for tokens in (self.corrupted, self.corrupted, self.clean)]
        torch.testing.assert_close(result.double(), torch.stack(values), rtol=1e-5, atol=1e-5)

    @torch.no_grad()
    def test_head_outputs(self) -> None:
        """With the MLP off, the logits change by (z_clean - z_corrupted)[head] W_O[head] W_U."""
        model = draw(SPECS["one layer"])
        model.blocks[0].mlp.W_out.zero_()
        _, cache = model.run_with_cache(self.clean)
        logits, before = model.run_with_cache(self.corrupted)
        change = cache["z", 0][0, -1] - before["z", 0][0, -1]
        moved = logits[0, -1] + torch.einsum("he,hem->hm", change, model.blocks[0].attn.W_O) @ model.W_U
        result = patching.get_act_patch_attn_head_out_all_pos(model, self.corrupted, cache, self.metric)
        torch.testing.assert_close(result[0].double(), moved[:, 0] - moved[:, 1], rtol=1e-5, atol=1e-5)
        at_last = patching.get_act_patch_attn_head_out_by_pos(model, self.corrupted, cache, self.metric)[:, -1]
        torch.testing.assert_close(at_last, result)

    @torch.no_grad()
    def test_mlp_output(self) -> None:
        """In a one-layer model the MLP's output at the last position goes straight to the logits."""
        model = draw(SPECS["one layer"])
        _, cache = model.run_with_cache(self.clean)
        logits, before = model.run_with_cache(self.corrupted)
        moved = logits[0, -1] + (cache["mlp_out", 0] - before["mlp_out", 0])[0, -1] @ model.W_U
        result = patching.get_act_patch_mlp_out(model, self.corrupted, cache, self.metric)
        same = self.metric(logits)
        expected = torch.stack([same, same, moved[0] - moved[1]])
        torch.testing.assert_close(result[0].double(), expected, rtol=1e-5, atol=1e-5)

    @EVERY_SPEC
    @torch.no_grad()
    def test_every_sweep_runs_on_every_model(self, spec: TransformerSpec) -> None:
        model = draw(spec)
        _, cache = model.run_with_cache(self.clean)
        for sweep, leading in {
            patching.get_act_patch_attn_head_all_pos_every: (5,),
            patching.get_act_patch_block_every: (3,),
            patching.get_act_patch_attn_head_pattern_by_pos: (),
            patching.get_act_patch_attn_out: (),
            patching.get_act_patch_resid_mid: (),
        }.items():
            result = sweep(model, self.corrupted, cache, self.metric)
            assert result.isfinite().all()
            assert result.shape[: len(leading) + 1] == (*leading, spec.n_layers)
