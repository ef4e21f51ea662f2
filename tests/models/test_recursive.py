"""The tiny recursive model: the explicit recursion, carried state, trained parts, and hooks."""

import re

import pytest
import torch
from torch import Tensor

from grokinterp.errors import ConfigError
from grokinterp.losses import cross_entropy
from grokinterp.models import ReadoutInputs, RecursiveModel, RecursiveSpec
from tests.cases.models import RECURSIVE_SPECS, draw, draw_tokens

EVERY_SPEC = pytest.mark.parametrize("spec", RECURSIVE_SPECS.values(), ids=RECURSIVE_SPECS)
SPEC = RECURSIVE_SPECS["recursive"]


# the recursion


def net_by_hand(model: RecursiveModel, u: Tensor) -> Tensor:
    """norm(u + act(u W_in + b_in) W_out + b_out) for one vector."""
    pre = u @ model.net.W_in + model.net.b_in
    act = {"silu": pre / (1 + (-pre).exp()), "relu": pre.clamp(min=0), "quadratic": pre**2}[model.spec.act_fn]
    out = u + act @ model.net.W_out + model.net.b_out
    return out / ((out**2).sum() / len(out) + 1e-5) ** 0.5


def answers_by_hand(model: RecursiveModel, tokens: list[int]) -> list[Tensor]:
    """The answer after every supervision step, carried as plain numbers."""
    x = sum(model.embed.W_E[position, token] for position, token in enumerate(tokens))
    y = z = torch.zeros(model.spec.d_model, dtype=torch.float64)
    answers = []
    for _ in range(model.spec.n_supervision):
        y, z = torch.tensor(y.tolist(), dtype=y.dtype), torch.tensor(z.tolist(), dtype=z.dtype)
        for _ in range(model.spec.n_latent):
            z = net_by_hand(model, x + y + z)
        y = net_by_hand(model, y + z)
        answers.append(y)
    return answers


@EVERY_SPEC
def test_forward_by_hand(spec: RecursiveSpec) -> None:
    model, tokens = draw(spec), draw_tokens(5)
    for sequence, logits in zip(tokens.tolist(), model(tokens), strict=True):
        expected = torch.stack(answers_by_hand(model, sequence)) @ model.W_U + model.unembed.b_U
        torch.testing.assert_close(logits, expected)


@EVERY_SPEC
def test_gradients_by_hand(spec: RecursiveSpec) -> None:
    """Every supervision step is trained, and no gradient reaches the previous step: its state is detached."""
    model, tokens = draw(spec), draw_tokens(5)
    labels = tokens.sum(1) % 5
    supervised = model.readout(ReadoutInputs.of(tokens)).supervised
    loss = cross_entropy(supervised, labels.expand(spec.n_supervision, -1)).sum()
    total = torch.zeros((), dtype=torch.float64)
    for sequence, label in zip(tokens.tolist(), labels, strict=True):
        for answer in answers_by_hand(model, sequence):
            total = total + cross_entropy(answer @ model.W_U + model.unembed.b_U, label)
    weights = list(model.parameters())
    torch.testing.assert_close(torch.autograd.grad(loss, weights), torch.autograd.grad(total, weights))


def test_the_answer_is_the_last_of_all_that_are_supervised() -> None:
    model, tokens = draw(SPEC), draw_tokens()
    readout = model.readout(ReadoutInputs.of(tokens))
    assert readout.supervised.shape == (3, 20, 5)
    torch.testing.assert_close(readout.supervised, model(tokens).transpose(0, 1))
    torch.testing.assert_close(readout.logits, model(tokens)[:, -1])
    torch.testing.assert_close(readout.residual @ model.W_U + model.unembed.b_U, readout.logits)
    assert not torch.allclose(readout.supervised[0], readout.supervised[1])


def test_all_steps_share_their_weights() -> None:
    sizes = {"d_vocab": 6, "d_vocab_out": 5, "n_ctx": 3}
    once, often = (RecursiveModel(RecursiveSpec(n_latent=n, n_supervision=n), **sizes) for n in (1, 4))
    assert {name: value.shape for name, value in once.state_dict().items()} == {
        name: value.shape for name, value in often.state_dict().items()
    }


def test_answers_are_normalized() -> None:
    _, cache = draw(SPEC).run_with_cache(draw_tokens())
    for name in ("steps.0.hook_answer", "steps.2.hook_answer", "steps.1.hook_latent.0"):
        assert float((cache[name].square().mean(-1) - 1).abs().max()) < 1e-3


# hooks


def test_hook_names() -> None:
    model = draw(SPEC)
    steps = [
        f"steps.{step}.hook_{name}" for step in range(3) for name in ("latent.0", "latent.1", "pre", "post", "answer")
    ]
    _, cache = model.run_with_cache(draw_tokens())
    assert list(cache) == ["hook_embed", *steps]
    assert sorted(model.hook_dict) == sorted(cache)


def test_a_hook_reaches_its_own_step_and_those_behind_it() -> None:
    model, tokens = draw(SPEC), draw_tokens()
    before = model(tokens)
    with model.hooks(fwd_hooks=[("steps.1.hook_answer", lambda y, *, hook: 0 * y)]):
        after = model(tokens)
    torch.testing.assert_close(after[:, 0], before[:, 0])
    torch.testing.assert_close(after[:, 1], model.unembed.b_U.expand(20, -1))
    assert not torch.allclose(after[:, 2], before[:, 2])


def test_initial_question_has_entries_of_order_one() -> None:
    model = RecursiveModel(
        RecursiveSpec(), d_vocab=50, d_vocab_out=50, n_ctx=4, generator=torch.Generator().manual_seed(0)
    )
    _, cache = model.run_with_cache(draw_tokens(200, d_vocab=50, n_ctx=4))
    assert float(cache["hook_embed"].sum(1).std()) == pytest.approx(1, rel=0.05)
    for name, fan_in in (("net.W_in", 64), ("net.W_out", 256), ("unembed.W_U", 64)):
        assert float(model.get_parameter(name).detach().std()) == pytest.approx(fan_in**-0.5, rel=0.05)


@pytest.mark.parametrize("key", ["d_model", "d_mlp", "n_latent", "n_supervision"])
@pytest.mark.parametrize("value", [0, 10**9])
def test_impossible_sizes_are_refused(key: str, value: int) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"{key}={value}: must be an integer from 1 to ")):
        RecursiveSpec(**{key: value})
