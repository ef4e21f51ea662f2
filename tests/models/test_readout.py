"""The fast form changes no number: outputs and gradients equal the plain module's, for every model and any tokens."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import functional_call

from grokinterp.experiment import Experiment
from grokinterp.losses import cross_entropy
from grokinterp.models import (
    Answers,
    MLPSpec,
    Model,
    ModelSpec,
    Readout,
    ReadoutInputs,
    RecursiveSpec,
    Transformer,
    TransformerSpec,
)
from tests.cases.models import MODEL_SPECS, SMALL, SPECS, call, draw, draw_tokens, parts, stacked

Form = Callable[[Model, Tensor], Readout | Answers]


def fast(model: Model, tokens: Tensor) -> Readout:
    return model.readout(ReadoutInputs.of(tokens))


def plain(model: Model, tokens: Tensor) -> Readout:
    return model.readout_by_hooks(tokens)


def folded(model: Model, tokens: Tensor) -> Answers:
    assert isinstance(model, Transformer)
    found = model.answers_by_tables(ReadoutInputs.of(tokens))
    return found._replace(logits=found.logits.squeeze(1))


def assert_close(ours: Tensor, plain: Tensor, name: str) -> None:
    assert ours.shape == plain.shape, name
    assert float((ours - plain).detach().norm()) <= 1e-10 * float(plain.detach().norm()), name


def gradient(form: Form, model: Model, tokens: Tensor) -> Tensor:
    """The gradient of the mean loss over all trained positions with respect to all parameters, as one vector."""
    labels = tokens.sum(1) % model.W_U.shape[1]
    read = form(model, tokens)
    logits = read.logits.unsqueeze(0) if read.supervised is None else read.supervised
    loss = cross_entropy(logits, labels.expand(len(logits), -1)).mean()
    gradients = torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)
    return torch.cat([part.flatten() for part in gradients])


def assert_equal_forms(model: Model, tokens: Tensor) -> None:
    ours, theirs = parts(fast(model, tokens)), parts(plain(model, tokens))
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert_close(ours[name], theirs[name], name)
    assert not any(point.has_hooks() for point in model.hook_points())  # else both sides would be the plain module
    assert_close(gradient(fast, model, tokens), gradient(plain, model, tokens), "gradient")
    if isinstance(model, Transformer) and model.has_tables:
        tabulated = parts(model.readout_by_tables(ReadoutInputs.of(tokens)))
        assert tabulated.keys() == theirs.keys()
        for name in tabulated:
            assert_close(tabulated[name], theirs[name], name)
        assert_close(folded(model, tokens).logits, theirs["logits"], "folded logits")
        assert_close(gradient(folded, model, tokens), gradient(plain, model, tokens), "gradient of folded logits")


TOKENS = {
    "a b =": draw_tokens(constant_last=True),
    "three tokens": draw_tokens(),
    "two tokens": draw_tokens(n_ctx=2),
    "one example": draw_tokens(1),
    "one position": draw_tokens(n_ctx=1),
    "=": draw_tokens(n_ctx=1, constant_last=True),
    "many positions": draw_tokens(n_ctx=7),
    "full grid": torch.cartesian_prod(torch.arange(6), torch.arange(6)),
}


@pytest.mark.parametrize("spec", MODEL_SPECS.values(), ids=MODEL_SPECS)
@pytest.mark.parametrize("tokens", TOKENS.values(), ids=TOKENS)
def test_equals_the_plain_module(spec: ModelSpec, tokens: Tensor) -> None:
    assert_equal_forms(draw(spec, n_ctx=tokens.shape[1]), tokens)


ACTIVATIONS = st.sampled_from(["relu", "gelu", "silu", "quadratic"])
NORMS = [{}, *({"normalization": kind, "norm_position": at} for kind in ("LN", "LNPre") for at in ("pre", "post"))]
INPUTS = [
    {"d_embed": None, "embedding": "shared"},
    *({"d_embed": 4, "embedding": way} for way in ("shared", "separate")),
]
CHOICES = {
    TransformerSpec: st.builds(
        lambda norm, **choices: norm | choices,
        st.sampled_from(NORMS),
        n_layers=st.integers(1, 3),
        d_model=st.sampled_from([4, 8]),
        n_heads=st.sampled_from([1, 2, 4]),
        d_head=st.sampled_from([None, 1, 3]),
        d_mlp=st.integers(1, 9),
        act_fn=ACTIVATIONS,
        read_at=st.sampled_from(["equals", "last", "mean"]),
        positions=st.sampled_from(["learned", "sinusoidal", "none"]),
        attention=st.sampled_from(["causal", "bidirectional"]),
        attention_fn=st.sampled_from(["softmax", "stablemax"]),
        attention_rate=st.sampled_from([1.0, 0.6, 0.0]),
        biases=st.booleans(),
        tied_embeddings=st.booleans(),
    ),
    MLPSpec: st.builds(
        lambda inputs, **choices: inputs | choices,
        st.sampled_from(INPUTS),
        combine=st.sampled_from(["sum", "concatenate"]),
        hidden=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
        act_fn=ACTIVATIONS,
        biases=st.booleans(),
    ),
    RecursiveSpec: st.builds(
        dict,
        d_model=st.integers(2, 6),
        d_mlp=st.integers(1, 9),
        n_latent=st.integers(1, 3),
        n_supervision=st.integers(1, 3),
        act_fn=ACTIVATIONS,
        biases=st.booleans(),
    ),
}


@pytest.mark.parametrize("kind", CHOICES)
@given(
    data=st.data(),
    n=st.integers(1, 30),
    n_ctx=st.integers(1, 5),
    d_vocab=st.sampled_from([1, 2, 3, 5, 8, 20]),
    constant_last=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=30, deadline=None)
def test_equals_the_plain_module_whatever_the_choices(
    kind: type[ModelSpec], data: st.DataObject, n: int, n_ctx: int, d_vocab: int, constant_last: bool, seed: int
) -> None:
    spec = kind(**data.draw(CHOICES[kind]))
    model = draw(spec, d_vocab=d_vocab, d_vocab_out=min(d_vocab, 5), n_ctx=n_ctx, seed=seed)
    tokens = draw_tokens(n, d_vocab=d_vocab, n_ctx=n_ctx, constant_last=constant_last, seed=seed)
    assert_equal_forms(model, tokens)


@pytest.mark.parametrize("spec", [TransformerSpec(), MLPSpec()], ids=["transformer", "mlp"])
def test_equals_the_plain_module_at_the_published_sizes(spec: ModelSpec) -> None:
    experiment = Experiment(model=spec)
    assert_equal_forms(experiment.build_model().double(), experiment.tokens()[::20])


def test_tables_are_used_where_they_save_time_and_can_be_used() -> None:
    experiment = Experiment(model=TransformerSpec())
    model, inputs = experiment.build_model().double(), ReadoutInputs.of(experiment.tokens())
    tabulated, whole, other = model.readout_by_tables(inputs), model.readout_of_many(inputs), model.readout(inputs)
    assert torch.equal(whole.logits, tabulated.logits)
    assert torch.equal(model.readout_of_many(inputs, by_tables=False).logits, other.logits)
    assert not torch.equal(tabulated.logits, other.logits)  # rounded differently
    few = inputs.at(torch.arange(5))
    assert torch.equal(model.readout_of_many(few).logits, model.readout(few).logits)


@pytest.mark.parametrize("name", ["two layers", "rate", "boundaries", "mlp, deep", "recursive"])
def test_float32_agrees_within_its_rounding(name: str) -> None:
    model, tokens = draw(MODEL_SPECS[name]).float(), draw_tokens()
    ours, theirs = parts(fast(model, tokens)), parts(plain(model, tokens))
    assert {value.dtype for value in ours.values()} == {torch.float32}
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@given(n=st.integers(1, 40), n_ctx=st.integers(1, 5), d_vocab=st.integers(1, 9), seed=st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_inputs_list_every_pair_once(n: int, n_ctx: int, d_vocab: int, seed: int) -> None:
    tokens = draw_tokens(n, d_vocab=d_vocab, n_ctx=n_ctx, seed=seed)
    inputs = ReadoutInputs.of(tokens)
    pairs = list(zip(inputs.row_position.tolist(), inputs.row_token.tolist(), strict=True))
    assert pairs == sorted({(position, token) for row in tokens.tolist() for position, token in enumerate(row)})
    torch.testing.assert_close(inputs.row_token[inputs.row], tokens)
    torch.testing.assert_close(inputs.row_position[inputs.row], torch.arange(n_ctx).expand(n, -1))
    torch.testing.assert_close(inputs.query_row[inputs.query], inputs.row[:, -1])
    assert len(inputs.query_row) == tokens[:, -1].unique().numel()


# hooks


@pytest.mark.parametrize("spec", [SPECS["one layer"], SPECS["two layers"]], ids=["one layer", "two layers"])
def test_attached_hooks_are_obeyed(spec: TransformerSpec) -> None:
    """Ablating a head by a hook has the effect that removing its output weights has."""
    model, tokens = draw(spec), draw_tokens()
    before = fast(model, tokens).logits

    def ablate(z: Tensor, *, hook: object) -> Tensor:
        z = z.clone()
        z[:, :, 1] = 0
        return z

    with model.hooks(fwd_hooks=[("blocks.0.attn.hook_z", ablate)]):
        ablated = fast(model, tokens)
    with torch.no_grad():
        model.blocks[0].attn.W_O[1] = 0
    torch.testing.assert_close(ablated, fast(model, tokens))
    assert not torch.allclose(ablated.logits, before)


def test_permanent_hooks_are_obeyed() -> None:
    model, tokens = draw(SPECS["one layer"]), draw_tokens()
    model.add_perma_hook("hook_embed", lambda x, *, hook: 2 * x)
    doubled = fast(model, tokens).logits
    model.reset_hooks(including_permanent=True)
    with torch.no_grad():
        model.embed.W_E.mul_(2)
    torch.testing.assert_close(doubled, fast(model, tokens).logits)


def test_backward_hooks_see_gradients() -> None:
    model, tokens, seen = draw(SPECS["one layer"]), draw_tokens(), []
    with model.hooks(bwd_hooks=[("blocks.0.hook_resid_post", lambda grad, *, hook: seen.append(grad.shape))]):
        fast(model, tokens).logits.sum().backward()
    assert [tuple(shape) for shape in seen] == [(20, 3, 8)]


def test_the_twin_keeps_the_users_hooks() -> None:
    model, calls = draw(SPECS["one layer"]), []
    model.add_hook("hook_embed", lambda x, *, hook: calls.append(1))
    fast(model, draw_tokens())
    fast(model, draw_tokens())
    assert len(calls) == 2
    assert sum(point.has_hooks() for point in model.hook_points()) == 1


# torch.func


@pytest.mark.parametrize("spec", MODEL_SPECS.values(), ids=MODEL_SPECS)
@pytest.mark.parametrize("tokens", [draw_tokens(), draw_tokens(constant_last=True)], ids=["any last token", "="])
def test_vmap_over_stacked_parameters(spec: ModelSpec, tokens: Tensor) -> None:
    model, state = stacked(spec)
    inputs = ReadoutInputs.of(tokens)
    batched = torch.vmap(lambda one: parts(call(model, one, inputs)))(state)
    for member in range(3):
        alone = parts(draw(spec, seed=member).readout(inputs))
        torch.testing.assert_close({name: part[member] for name, part in batched.items()}, alone)


def loss_of(model: Model, inputs: ReadoutInputs, form: str) -> Callable[[dict[str, Tensor]], Tensor]:
    labels = inputs.tokens.sum(1) % 5

    def loss(state: dict[str, Tensor]) -> Tensor:
        if form == "readout":
            return cross_entropy(call(model, state, inputs).logits, labels).mean()
        return cross_entropy(functional_call(model, state, (inputs.tokens,))[:, -1], labels).mean()

    return loss


NESTED = ["one layer", "gelu", "two layers, LN, biases", "boundaries", "stablemax", "mlp", "recursive"]


@pytest.mark.parametrize("name", NESTED)
def test_nested_gradients_agree(name: str) -> None:
    """The gradient of the squared gradient norm, of the fast form and of the plain module, alone and under vmap."""
    model, state = stacked(MODEL_SPECS[name])
    inputs = ReadoutInputs.of(draw_tokens(constant_last=True))

    def sharpness(form: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
        inner = torch.func.grad(loss_of(model, inputs, form))
        return torch.func.grad(lambda one: sum(part.square().sum() for part in inner(one).values()))

    one = {part: value[0] for part, value in state.items()}
    torch.testing.assert_close(sharpness("readout")(one), sharpness("plain")(one))
    torch.testing.assert_close(
        {part: value[0] for part, value in torch.vmap(sharpness("readout"))(state).items()}, sharpness("readout")(one)
    )


def test_trains_like_the_plain_module() -> None:
    """Twenty AdamW steps in float64 end in the same weights."""
    spec = TransformerSpec(**SMALL)
    tokens = draw_tokens(constant_last=True)
    ends = []
    for form in (fast, plain):
        model = draw(spec)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1.0)
        for _ in range(20):
            optimizer.zero_grad()
            cross_entropy(form(model, tokens).logits, tokens.sum(1) % 5).mean().backward()
            optimizer.step()
        ends.append(torch.nn.utils.parameters_to_vector(model.parameters()))
    torch.testing.assert_close(*ends, rtol=1e-9, atol=1e-9)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["two layers", "boundaries", "mlp", "mlp, deep, separate", "recursive"])
def test_step_is_captured_by_a_cuda_graph(name: str) -> None:
    """Forward, loss and backward replay as one graph, with the eager gradients."""
    model = draw(MODEL_SPECS[name]).cuda()
    inputs = ReadoutInputs.of(draw_tokens(constant_last=True)).to("cuda")
    labels = inputs.tokens.sum(1) % 5

    def backward() -> None:
        for weight in model.parameters():
            weight.grad = None
        cross_entropy(model.readout(inputs).logits, labels).mean().backward()

    backward()
    eager = [weight.grad.clone() for weight in model.parameters()]
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        backward()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        backward()
    graph.replay()
    torch.cuda.synchronize()
    torch.testing.assert_close([weight.grad for weight in model.parameters()], eager)
