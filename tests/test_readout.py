"""The fast form changes no number: outputs and gradients equal the plain module's, for every model and any tokens."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import functional_call

from grokinterp.losses import cross_entropy
from grokinterp.models import Readout, ReadoutInputs, Transformer, TransformerSpec, readout, readout_by_hooks
from grokinterp.tasks import ModularAddition
from tests.model_cases import SMALL, SPECS, draw, draw_tokens

Form = Callable[[Transformer, Tensor], Readout]


def fast(model: Transformer, tokens: Tensor) -> Readout:
    return readout(model, ReadoutInputs.of(tokens))


def assert_close(ours: Tensor, plain: Tensor, name: str) -> None:
    assert ours.shape == plain.shape, name
    assert float((ours - plain).detach().norm()) <= 1e-10 * float(plain.detach().norm()), name


def gradient(form: Form, model: Transformer, tokens: Tensor) -> Tensor:
    """All parameters' gradients of a mean loss, as one vector."""
    labels = tokens.sum(1) % model.W_U.shape[1]
    loss = cross_entropy(form(model, tokens).logits, labels).mean()
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()))])


def assert_equal_forms(model: Transformer, tokens: Tensor) -> None:
    for name, ours, plain in zip(Readout._fields, fast(model, tokens), readout_by_hooks(model, tokens), strict=True):
        assert_close(ours, plain, name)
    assert not any(point.has_hooks() for point in model.hook_points())  # else both sides would be the plain module
    assert_close(gradient(fast, model, tokens), gradient(readout_by_hooks, model, tokens), "gradient")


TOKENS = {
    "a b =": draw_tokens(constant_last=True),
    "three tokens": draw_tokens(),
    "two tokens": draw_tokens(n_ctx=2),
    "one example": draw_tokens(1),
    "one position": draw_tokens(n_ctx=1),
    "many positions": draw_tokens(n_ctx=7),
    "full grid": torch.cartesian_prod(torch.arange(6), torch.arange(6)),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("tokens", TOKENS.values(), ids=TOKENS)
def test_equals_the_plain_module(spec: TransformerSpec, tokens: Tensor) -> None:
    assert_equal_forms(draw(spec, n_ctx=tokens.shape[1]), tokens)


@given(
    spec=st.builds(
        TransformerSpec,
        n_layers=st.integers(1, 3),
        d_model=st.sampled_from([4, 8]),
        n_heads=st.sampled_from([1, 2, 4]),
        d_head=st.sampled_from([None, 1, 3]),
        d_mlp=st.integers(1, 9),
        act_fn=st.sampled_from(["relu", "gelu", "silu"]),
        normalization=st.sampled_from([None, "LN", "LNPre"]),
        attention=st.sampled_from(["causal", "bidirectional"]),
        biases=st.booleans(),
    ),
    n=st.integers(1, 30),
    n_ctx=st.integers(1, 5),
    d_vocab=st.integers(1, 8),
    constant_last=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_equals_the_plain_module_whatever_the_sizes(
    spec: TransformerSpec, n: int, n_ctx: int, d_vocab: int, constant_last: bool, seed: int
) -> None:
    model = draw(spec, d_vocab=d_vocab, n_ctx=n_ctx, seed=seed)
    tokens = draw_tokens(n, d_vocab=d_vocab, n_ctx=n_ctx, constant_last=constant_last, seed=seed)
    assert_equal_forms(model, tokens)


def test_equals_the_plain_module_at_the_published_sizes() -> None:
    task = ModularAddition(p=113)
    model = Transformer(
        TransformerSpec(), d_vocab=114, d_vocab_out=113, n_ctx=3, generator=torch.Generator().manual_seed(0)
    ).double()
    assert_equal_forms(model, task.tokens()[torch.arange(0, 113**2, 31)])


def test_float32_agrees_within_its_rounding() -> None:
    model, tokens = draw(SPECS["two layers"]).float(), draw_tokens()
    torch.testing.assert_close(fast(model, tokens), readout_by_hooks(model, tokens), rtol=1e-4, atol=1e-4)


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


def stacked(spec: TransformerSpec, members: int = 3) -> tuple[Transformer, dict[str, Tensor]]:
    models = [draw(spec, seed=seed) for seed in range(members)]
    state = [dict(model.state_dict()) for model in models]
    return models[0], {name: torch.stack([one[name] for one in state]) for name in state[0]}


def call(model: Transformer, state: dict[str, Tensor], inputs: ReadoutInputs) -> Readout:
    """``readout`` of the model with the tensors of ``state`` in place of its own."""

    class Reader(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self) -> Readout:
            return readout(self.model, inputs)

    return functional_call(Reader(), {f"model.{name}": value for name, value in state.items()}, ())


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("tokens", [draw_tokens(), draw_tokens(constant_last=True)], ids=["any last token", "="])
def test_vmap_over_stacked_parameters(spec: TransformerSpec, tokens: Tensor) -> None:
    model, state = stacked(spec)
    inputs = ReadoutInputs.of(tokens)
    batched = torch.vmap(lambda one: call(model, one, inputs))(state)
    for member in range(3):
        alone = readout(draw(spec, seed=member), inputs)
        torch.testing.assert_close(Readout(*(part[member] for part in batched)), alone)


def loss_of(model: Transformer, inputs: ReadoutInputs, form: str) -> Callable[[dict[str, Tensor]], Tensor]:
    labels = inputs.tokens.sum(1) % 5

    def loss(state: dict[str, Tensor]) -> Tensor:
        if form == "readout":
            return cross_entropy(call(model, state, inputs).logits, labels).mean()
        return cross_entropy(functional_call(model, state, (inputs.tokens,))[:, -1], labels).mean()

    return loss


@pytest.mark.parametrize("name", ["one layer", "gelu", "two layers, LN, biases"])
def test_nested_gradients_agree(name: str) -> None:
    """The gradient of the squared gradient norm, of the fast form and of the plain module, alone and under vmap."""
    model, state = stacked(SPECS[name])
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
    for form in (fast, readout_by_hooks):
        model = draw(spec)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1.0)
        for _ in range(20):
            optimizer.zero_grad()
            cross_entropy(form(model, tokens).logits, tokens.sum(1) % 5).mean().backward()
            optimizer.step()
        ends.append(torch.nn.utils.parameters_to_vector(model.parameters()))
    torch.testing.assert_close(*ends, rtol=1e-9, atol=1e-9)


@pytest.mark.gpu
def test_step_is_captured_by_a_cuda_graph() -> None:
    """Forward, loss and backward replay as one graph, with the eager gradients."""
    model = draw(SPECS["two layers"]).cuda()
    inputs = ReadoutInputs.of(draw_tokens(constant_last=True)).to("cuda")
    labels = inputs.tokens.sum(1) % 5

    def backward() -> None:
        for weight in model.parameters():
            weight.grad = None
        cross_entropy(readout(model, inputs).logits, labels).mean().backward()

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
