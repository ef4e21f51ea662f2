"""Laws that hold for every model of every kind."""

import copy
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor
from torch.func import functional_call

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment
from grokinterp.models import MODELS, Model, ModelSpec, ReadoutInputs, RecursiveSpec, TransformerSpec, build
from tests.cases.models import MODEL_SPECS, draw, draw_tokens, parts

EVERY_SPEC = pytest.mark.parametrize("spec", MODEL_SPECS.values(), ids=MODEL_SPECS)
EVERY_KIND = pytest.mark.parametrize("kind", MODELS.values(), ids=MODELS)
SIZES = {"d_vocab": 6, "d_vocab_out": 5, "n_ctx": 3}


def built(spec: ModelSpec, seed: int | None = 0) -> Model:
    return build(spec, **SIZES, generator=None if seed is None else torch.Generator().manual_seed(seed))


# specifications


def test_the_table_of_cases_has_every_kind() -> None:
    assert {spec.kind for spec in MODEL_SPECS.values()} == set(MODELS)


@EVERY_KIND
def test_a_kind_describes_itself(kind: type[ModelSpec]) -> None:
    spec = kind()
    assert MODELS[spec.kind] is kind
    assert "\n" not in spec.about
    assert 10 < len(spec.about) < 90
    assert fields(kind)[0].name == "kind"


@EVERY_SPEC
def test_json_there_and_back(spec: ModelSpec) -> None:
    text = json.dumps(asdict(spec))
    assert TypeAdapter(type(spec)).validate_json(text, strict=True) == spec
    experiment = Experiment(model=spec)
    assert Experiment.from_dict(experiment.to_dict()) == experiment
    assert hash(spec) == hash(TypeAdapter(type(spec)).validate_json(text))


@EVERY_KIND
def test_unknown_keys_are_refused(kind: type[ModelSpec]) -> None:
    with pytest.raises(ConfigError, match=r"^model\.d_modl=3: unknown key(; did you mean model\.d_model\?)?$"):
        Experiment.from_dict({"model": {"kind": kind.kind, "d_modl": 3}})


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"kind": "transformer", "n_layers": 0}, "model.n_layers=0: must be an integer from 1 to 128"),
        ({"kind": "mlp", "hidden": [10**9]}, "model.hidden=1000000000: must be an integer from 1 to 65536"),
        ({"kind": "mlp", "hidden": []}, "model.hidden=(): must have from 1 to 128 layers"),
        ({"kind": "recursive", "n_latent": 10**9}, "model.n_latent=1000000000: must be an integer from 1 to 1000"),
    ],
)
def test_absurd_sizes_are_one_line(model: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        Experiment.from_dict({"model": model})
    assert str(error.value) == message


@EVERY_SPEC
def test_built_without_memory(spec: ModelSpec) -> None:
    """On the meta device a model has every name and shape, and no numbers."""
    with torch.device("meta"):
        model = built(spec, None)
    shapes = {name: value.shape for name, value in built(spec, None).state_dict().items()}
    assert {name: value.shape for name, value in model.state_dict().items()} == shapes
    assert all(value.is_meta for value in (*model.parameters(), *model.buffers()))
    assert model.kept_per_example > 0


@EVERY_KIND
def test_the_largest_models_are_built_without_memory(kind: type[ModelSpec]) -> None:
    """Their size is known before they are refused."""
    largest = {"transformer": {"d_model": 65536, "d_mlp": 65536}, "mlp": {"hidden": (65536, 65536)}}
    spec = kind(**largest.get(kind.kind, {"d_model": 65536, "d_mlp": 65536}))
    with torch.device("meta"):
        model = build(spec, d_vocab=1000, d_vocab_out=1000, n_ctx=3)
    assert sum(weight.numel() for weight in model.parameters()) > 10**9


# parameters

STATE = {
    "tied": """embed.W_E pos_embed.W_pos blocks.0.attn.W_Q blocks.0.attn.W_K blocks.0.attn.W_V blocks.0.attn.W_O
        blocks.0.attn.b_Q blocks.0.attn.b_K blocks.0.attn.b_V blocks.0.attn.b_O blocks.0.mlp.W_in blocks.0.mlp.W_out
        blocks.0.mlp.b_in blocks.0.mlp.b_out unembed.b_U""",
    "mlp": "layers.0.W_in layers.0.b_in unembed.W_U unembed.b_U",
    "mlp, deep, separate": """embed.W_E layers.0.W_in layers.0.b_in layers.1.W_in layers.1.b_in
        unembed.W_U unembed.b_U""",
    "recursive": "embed.W_E net.W_in net.W_out net.b_in net.b_out unembed.W_U unembed.b_U",
}
"""Names that checkpoints on other people's disks have."""


@pytest.mark.parametrize("name", STATE)
def test_names_are_those_of_saved_files(name: str) -> None:
    assert list(built(MODEL_SPECS[name]).state_dict()) == STATE[name].split()


@EVERY_SPEC
def test_names_and_numbers_are_listed_once(spec: ModelSpec) -> None:
    model = built(spec)
    parameters = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    assert len(set(parameters)) == len(parameters) == len({weight.data_ptr() for weight in model.parameters()})
    assert set(parameters) <= set(model.state_dict())
    assert model.n_layers >= 1


@EVERY_SPEC
def test_initial_weights_follow_the_generator_alone(spec: ModelSpec) -> None:
    state = torch.random.get_rng_state()
    first, again, other, empty = (built(spec, seed) for seed in (3, 3, 4, None))
    torch.testing.assert_close(dict(again.state_dict()), dict(first.state_dict()), rtol=0, atol=0)
    for name, weight in first.named_parameters():
        drawn = weight.detach().std() > 0
        assert drawn == (not torch.equal(weight, other.get_parameter(name))), name
        assert drawn == (".W_" in name or getattr(spec, "initialization", "") == "pytorch"), name
        assert not empty.get_parameter(name).any() or name.endswith(".w"), name
    assert torch.equal(torch.random.get_rng_state(), state)


@EVERY_SPEC
def test_round_trip_through_a_file(spec: ModelSpec, tmp_path: Path) -> None:
    source, model = draw(spec), draw(spec, seed=1)
    torch.save(source.state_dict(), tmp_path / "model.pt")
    model.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    torch.testing.assert_close(model(draw_tokens()), source(draw_tokens()), rtol=0, atol=0)


@EVERY_SPEC
def test_a_deep_copy_computes_the_same_and_shares_nothing(spec: ModelSpec) -> None:
    model, tokens = draw(spec), draw_tokens()
    copied, before = copy.deepcopy(model), draw(spec)(tokens)
    torch.testing.assert_close(copied(tokens), before, rtol=0, atol=0)
    with torch.no_grad():
        for value in copied.state_dict().values():
            value.zero_()
    torch.testing.assert_close(model(tokens), before, rtol=0, atol=0)


@EVERY_SPEC
def test_both_precisions(spec: ModelSpec) -> None:
    model, tokens = draw(spec), draw_tokens()
    assert {value.dtype for value in model.state_dict().values()} == {torch.float64}
    exact = model(tokens)
    assert exact.dtype == torch.float64
    torch.testing.assert_close(model.float()(tokens), exact.float(), rtol=1e-3, atol=1e-3)
    assert model(tokens).dtype == torch.float32


# properties of a model


@EVERY_SPEC
def test_shapes(spec: ModelSpec) -> None:
    model, tokens = draw(spec), draw_tokens()
    readout = model.readout(ReadoutInputs.of(tokens))
    assert model(tokens).shape[::2] == (20, 5)
    assert readout.logits.shape == (20, 5)
    assert model.W_U.shape == (readout.residual.shape[1], 5)
    assert model.W_L.shape == (readout.neurons.shape[1], 5)
    assert model.embedding.shape[0] == 6
    assert (readout.pattern is None) == (model.n_heads == 0)
    assert (readout.supervised is None) == (spec.kind != "recursive")
    torch.testing.assert_close(readout.logits, model(tokens)[:, -1])


def has_final_norm(spec: ModelSpec) -> bool:
    return isinstance(spec, RecursiveSpec) or (isinstance(spec, TransformerSpec) and spec.normalization is not None)


@EVERY_SPEC
def test_neurons_reach_the_logits_through_W_L(spec: ModelSpec) -> None:
    """Where no norm stands between: Δ logits = Δ neurons · W_L, everywhere and for any example."""
    if has_final_norm(spec):
        return
    model, tokens = draw(spec), draw_tokens()
    before = model.readout(ReadoutInputs.of(tokens))
    name = [name for name in model.hook_dict if name.endswith(("mlp.hook_post", ".hook_post"))][-1]
    change = torch.randn(before.neurons.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def add(neurons: Tensor, *, hook: object) -> Tensor:
        return neurons + (change if neurons.ndim == 2 else change.unsqueeze(1))

    with model.hooks(fwd_hooks=[(name, add)]):
        after = model.readout(ReadoutInputs.of(tokens))
    torch.testing.assert_close(after.neurons - before.neurons, change)
    torch.testing.assert_close(after.logits - before.logits, change @ model.W_L)
    torch.testing.assert_close(after.residual @ model.W_U - after.logits, before.residual @ model.W_U - before.logits)


@EVERY_SPEC
def test_every_hook_fires_once_and_is_obeyed(spec: ModelSpec) -> None:
    """Noise at a hook changes the answer and ``readout``; without noise the original numbers return."""
    model, inputs = draw(spec), ReadoutInputs.of(draw_tokens())
    _, cache = model.run_with_cache(inputs.tokens)
    assert sorted(cache) == sorted(model.hook_dict)
    before = model.readout(inputs).logits
    unread = ("hook_q", "hook_k", "hook_attn_scores") if getattr(spec, "attention_rate", 1) == 0 else ()
    for name in cache:
        fired = []

        def disturb(value: Tensor, *, hook: object, fired: list[int] = fired) -> Tensor:
            fired.append(1)
            return value + torch.rand(value.shape, generator=torch.Generator().manual_seed(0), dtype=value.dtype)

        with model.hooks(fwd_hooks=[(name, disturb)]):
            disturbed = model.readout(inputs).logits
        assert len(fired) == 1, name
        assert torch.allclose(disturbed, before) == name.endswith(unread or "nothing"), name
    torch.testing.assert_close(model.readout(inputs).logits, before, rtol=0, atol=0)


@EVERY_SPEC
def test_readout_of_some_of_the_examples(spec: ModelSpec) -> None:
    """The readout of a mini-batch equals the same rows of the whole readout."""
    model, inputs, chosen = draw(spec), ReadoutInputs.of(draw_tokens()), torch.tensor([7, 3, 3, 11])
    whole, some = parts(model.readout(inputs)), parts(model.readout(inputs.at(chosen)))
    supervised, picked = whole.pop("supervised", None), some.pop("supervised", None)
    torch.testing.assert_close(some, {name: value[chosen] for name, value in whole.items()})
    torch.testing.assert_close(picked, None if supervised is None else supervised[:, chosen])


@EVERY_SPEC
def test_gradients_through_functional_call(spec: ModelSpec) -> None:
    """torch.func.grad, alone and per example under vmap, equals autograd."""
    model, tokens = draw(spec), draw_tokens(4)
    state = {name: weight.detach() for name, weight in model.named_parameters()}

    def loss(one: dict[str, Tensor], sequence: Tensor) -> Tensor:
        return functional_call(model, one, (sequence.unsqueeze(0),)).square().sum()

    per_example = torch.vmap(torch.func.grad(loss), in_dims=(None, 0))(state, tokens)
    model(tokens).square().sum().backward()
    for name, weight in model.named_parameters():
        expected = torch.zeros_like(weight) if weight.grad is None else weight.grad
        torch.testing.assert_close(per_example[name].sum(0), expected)
