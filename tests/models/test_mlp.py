"""Perceptrons: each published convention written out, initial weights, and the network that is solved by hand."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from grokinterp.errors import ConfigError
from grokinterp.models import MLP, MLPSpec, ReadoutInputs, solved_addition
from tests.cases.models import MLP_SPECS, draw, draw_tokens

EVERY_SPEC = pytest.mark.parametrize("spec", MLP_SPECS.values(), ids=MLP_SPECS)


def build(spec: MLPSpec, *, p: int = 11, n_ctx: int = 2, seed: int = 0) -> MLP:
    return MLP(spec, d_vocab=p, d_vocab_out=p, n_ctx=n_ctx, generator=torch.Generator().manual_seed(seed))


# the conventions, one example at a time


def input_by_hand(model: MLP, tokens: list[int]) -> Tensor:
    """The input of the first layer for one sequence."""
    spec, d_vocab = model.spec, model.embedding.shape[0]
    if spec.d_embed is None:
        vectors = [torch.eye(d_vocab, dtype=torch.float64)[token] for token in tokens]
    elif spec.embedding == "shared":
        vectors = [model.embed.W_E[token] for token in tokens]
    else:
        vectors = [model.embed.W_E[position][token] for position, token in enumerate(tokens)]
    return torch.cat(vectors) if spec.combine == "concatenate" else torch.stack(vectors).sum(0)


ACTIVATIONS = {
    "relu": lambda x: max(x, 0.0),
    "quadratic": lambda x: x * x,
    "tanh": math.tanh,
    "silu": lambda x: x / (1 + math.exp(-x)),
    "gelu": lambda x: x * (1 + math.erf(x / 2**0.5)) / 2,
}


@EVERY_SPEC
@torch.no_grad()
def test_forward_by_hand(spec: MLPSpec) -> None:
    model, tokens = draw(spec), draw_tokens(5)
    for sequence, logits in zip(tokens.tolist(), model(tokens)[:, -1], strict=True):
        x = input_by_hand(model, sequence)
        for layer in model.layers:
            pre = x @ layer.W_in + layer.b_in
            pre = normalized_by_hand(pre, layer.norm, spec.normalization)
            x = torch.tensor([ACTIVATIONS[spec.act_fn](value) for value in pre.tolist()], dtype=torch.float64)
        torch.testing.assert_close(logits, spec.output_scale * (x @ model.unembed.W_U + model.unembed.b_U))


def normalized_by_hand(pre: Tensor, norm: Any, kind: str | None) -> Tensor:
    """The pre-activations of one example, normalized by running statistics or over the layer."""
    if kind is None:
        return pre
    mean, variance = (norm.mean, norm.variance) if kind == "BN" else (pre.mean(), pre.var(unbiased=False))
    return (pre - mean) / (variance + 1e-5).sqrt() * norm.w + norm.b


@torch.no_grad()
@pytest.mark.parametrize("name", ["S5_MLP_seed1", "D59_MLP_seed1", "A5_MLP_seed1"])
def test_computes_the_networks_of_chughtai(published: Path, name: str) -> None:
    """The answers form a group: an associative Latin square. This needs no knowledge of the element orders."""
    old = torch.load(published / "chughtai" / name / "model.pt", weights_only=True, map_location="cpu")
    n = len(old["W_x"])
    spec = MLPSpec(d_embed=256, embedding="separate", hidden=(128,), act_fn="relu", initialization="normal")
    model = MLP(spec, d_vocab=n, d_vocab_out=n, n_ctx=2)
    state = {"embed.W_E": torch.stack([old["W_x"], old["W_y"]]), "layers.0.W_in": old["W"], "unembed.W_U": old["W_U"]}
    assert set(state) == {name for name, _ in model.named_parameters()}
    model.load_state_dict(state, strict=False)
    pairs = torch.cartesian_prod(torch.arange(n), torch.arange(n))
    table = model(pairs)[:, -1].argmax(-1).view(n, n)
    everyone = torch.arange(n).expand(n, n)
    assert torch.equal(table.sort(0).values, everyone.T)
    assert torch.equal(table.sort(1).values, everyone)
    assert torch.equal(table[table], table[:, table])  # (a b) c = a (b c)


def test_deep_one_hot_perceptron_is_a_stack_of_linear_layers() -> None:
    """Prieto et al. 2025: one-hot vectors side by side, two hidden ReLU layers."""
    spec = MLPSpec(hidden=(20, 15), act_fn="relu", biases=True, initialization="pytorch")
    model, tokens = build(spec).double(), draw_tokens(d_vocab=11, n_ctx=2)
    linear = [nn.Linear(22, 20), nn.Linear(20, 15), nn.Linear(15, 11)]
    stack = nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2]).double()
    with torch.no_grad():
        for layer, (weight, bias) in zip(linear, weights_and_biases(model), strict=True):
            layer.weight.copy_(weight.T)
            layer.bias.copy_(bias)
    x = torch.cat([nn.functional.one_hot(tokens[:, 0], 11), nn.functional.one_hot(tokens[:, 1], 11)], 1).double()
    torch.testing.assert_close(model(tokens)[:, -1], stack(x))


def weights_and_biases(model: MLP) -> list[tuple[Tensor, Tensor]]:
    layers = [(layer.W_in, layer.b_in) for layer in model.layers]
    return [*layers, (model.unembed.W_U, model.unembed.b_U)]


@EVERY_SPEC
def test_embedding_is_what_a_token_is_turned_into(spec: MLPSpec) -> None:
    """One block of columns per table; the first layer's input depends on it alone."""
    model, tokens = draw(spec), draw_tokens()
    own_rows = spec.combine == "concatenate" if spec.d_embed is None else spec.embedding == "separate"
    tables = 3 if own_rows else 1
    blocks = model.embedding.unflatten(1, (tables, -1)).expand(-1, 3, -1)
    chosen = torch.stack([blocks[tokens[:, position], position] for position in range(3)], 1)
    _, cache = model.run_with_cache(tokens)
    if spec.d_embed is None:
        pre = model.layers[0].norm(chosen.sum(1) + model.layers[0].b_in)
        torch.testing.assert_close(pre, cache["layers.0.hook_pre"])
    else:
        torch.testing.assert_close(chosen, cache["hook_embed"])


@pytest.mark.parametrize("d_vocab", [2, 40])
def test_long_sequences(d_vocab: int) -> None:
    """Parity of 40 bits with 1000 neurons: few tokens and many take different roads to the same sums."""
    model = MLP(
        MLPSpec(hidden=(1000,)), d_vocab=d_vocab, d_vocab_out=2, n_ctx=40, generator=torch.Generator().manual_seed(0)
    )
    tokens = draw_tokens(50, d_vocab=d_vocab, n_ctx=40)
    ours, plain = model.double().readout(ReadoutInputs.of(tokens)), model.readout_by_hooks(tokens)
    torch.testing.assert_close(ours.logits, plain.logits, rtol=1e-12, atol=1e-15)


# initial weights


@pytest.mark.parametrize(
    ("rule", "embedding", "hidden", "unembedding"),
    [
        ("normal", 64**-0.5, 128**-0.5, 300**-0.5),
        ("mean_field", 64**-0.5, 128**-0.5, 1 / 300),
        ("pytorch", 1.0, (3 * 128) ** -0.5, (3 * 300) ** -0.5),
    ],
)
def test_initial_scales(rule: str, embedding: float, hidden: float, unembedding: float) -> None:
    """Standard deviations; U(±b) has b/√3. Two positions of 64 numbers are 128 inputs."""
    model = build(MLPSpec(d_embed=64, hidden=(300,), biases=True, initialization=rule), p=101)
    expected = {"embed.W_E": embedding, "layers.0.W_in": hidden, "unembed.W_U": unembedding}
    for name, deviation in expected.items():
        weight = model.get_parameter(name).detach()
        spread = 5 / (2 * weight.numel()) ** 0.5
        assert float(weight.std()) == pytest.approx(deviation, rel=spread), name
        assert abs(float(weight.mean())) < 5 * deviation / weight.numel() ** 0.5, name
    for bias, fan_in in ((model.layers[0].b_in, 128), (model.unembed.b_U, 300)):
        largest = float(bias.detach().abs().max())
        assert largest == 0 if rule != "pytorch" else 0.8 * fan_in**-0.5 < largest <= fan_in**-0.5


def test_mean_field_starts_as_gromov_does() -> None:
    """Gromov 2023: f = (1/N) W₂ (W₁ x / √D)² with all weights from N(0, 1), D = 2p."""
    model = build(MLPSpec(hidden=(500,)), p=97)
    for weight in (model.layers[0].W_in * (2 * 97) ** 0.5, model.unembed.W_U * 500):
        assert float(weight.detach().std()) == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden": ()}, "hidden=(): must have from 1 to 128 layers"),
        ({"hidden": (5, 0)}, "hidden=0: must be an integer from 1 to 65536"),
        ({"hidden": (5,) * 1000}, "must have from 1 to 128 layers"),
        ({"hidden": (10**9,)}, "hidden=1000000000: must be"),
        ({"d_embed": 0}, "d_embed=0: must be an integer from 1 to 65536"),
        ({"embedding": "separate"}, "embedding=separate: one-hot vectors (d_embed=none) are shared by all positions"),
    ],
)
def test_impossible_choices_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        MLPSpec(**arguments)


# the network that is solved by hand


def solved(p: int, width: int, seed: int = 0) -> tuple[MLP, Tensor, Tensor]:
    """The network, all pairs, and its logits [a, b, c]."""
    model = solved_addition(p, width=width, generator=torch.Generator().manual_seed(seed))
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    return model, pairs, model(pairs)[:, -1].detach().view(p, p, p)


@pytest.mark.parametrize(("p", "width"), [(97, 500), (113, 500), (23, 100), (24, 200), (7, 60)])
@pytest.mark.parametrize("seed", range(3))
def test_solved_addition_is_always_right(p: int, width: int, seed: int) -> None:
    _, pairs, logits = solved(p, width, seed)
    assert torch.equal(logits.flatten(0, 1).argmax(-1), pairs.sum(1) % p)


def test_solved_addition_by_its_formula() -> None:
    """Phases read off the weights at token 0; then every logit written out."""
    p, width = 7, 6
    model, _, logits = solved(p, width)
    W_a, W_b = model.layers[0].W_in.detach().double().unflatten(0, (2, p))
    for n in range(width):
        w = 2 * math.pi * (1 + n % 3) / p
        for table in (W_a, W_b):  # cos(w t + φ) solves f(t + 1) + f(t - 1) = 2 cos(w) f(t)
            assert torch.allclose(table[:, n].roll(1) + table[:, n].roll(-1), 2 * math.cos(w) * table[:, n], atol=1e-5)
    phases = [[phase_of(table[:, n], 1 + n % 3) for n in range(width)] for table in (W_a, W_b)]
    for a, b, c in [(0, 0, 0), (1, 2, 3), (6, 5, 1), (3, 3, 3)]:
        total = 0.0
        for n in range(width):
            w, (φ, ψ) = 2 * math.pi * (1 + n % 3) / p, (phases[0][n], phases[1][n])
            total += (math.cos(w * a + φ) + math.cos(w * b + ψ)) ** 2 * math.cos(w * c + φ + ψ)
        assert float(logits[a, b, c]) == pytest.approx(2 / width * total, abs=1e-5)


def phase_of(wave: Tensor, frequency: int) -> float:
    """φ of cos(2πkt/p + φ), from its Fourier coefficient."""
    return float(torch.fft.fft(wave)[frequency].angle())


@pytest.mark.parametrize("p", [11, 12])
def test_solved_addition_tends_to_its_limit(p: int) -> None:
    """The mean over frequencies of cos(w (a + b - c)); for odd p that is 1 and -1 / (p - 1)."""
    width = 60_000
    _, pairs, logits = solved(p, width)
    offset = (pairs.sum(1)[:, None] - torch.arange(p)).view(p, p, p) % p
    limit = sum((2 * math.pi * k / p * offset).cos() for k in range(1, p // 2 + 1)) / (p // 2)
    assert float((logits - limit).abs().max()) < 12 / width**0.5
    if p % 2:
        assert torch.allclose(limit, torch.where(offset == 0, 1.0, -1 / (p - 1)))


@pytest.mark.parametrize(("p", "width", "key"), [(2, 5, "p=2"), (10**9, 5, "p=1000000000"), (7, 0, "width=0")])
def test_solved_addition_refuses(p: int, width: int, key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key}: must be an integer from"):
        solved_addition(p, width=width, generator=torch.Generator())
