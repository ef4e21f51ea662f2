"""Logits from tables: where they are used, and what they refuse; their values are tested with the other fast forms."""

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from grokinterp.experiment import Experiment
from grokinterp.models import Model, ReadoutInputs, Transformer, TransformerSpec
from grokinterp.models.tabulated import AT_ONCE
from tests.cases.models import SPECS, draw, draw_tokens

SPEC = TransformerSpec(d_model=64, n_heads=2, d_mlp=64, d_head=4)


def large(n: int = 1200) -> tuple[Model, ReadoutInputs]:
    """A model and examples, of which there are several parts, for which tables save time."""
    return draw(SPEC), ReadoutInputs.of(draw_tokens(n, constant_last=True))


def from_tables(logits: Tensor) -> bool:
    """Return whether the logits, or those before an axis of answers was added, are those of tables."""
    node = logits.grad_fn
    if node is not None and node.name() == "UnsqueezeBackward0":
        node = node.next_functions[0][0]
    return node is not None and node.name() == "LogitsOfRowsBackward"


@pytest.mark.parametrize("options", [{}, {"read_at": "last"}, {"d_mlp": 256}])
def test_the_published_sizes_train_with_tables(options: dict) -> None:
    experiment = Experiment().override([f"model.{key}={value}" for key, value in options.items()])
    model, inputs = experiment.build_model(), ReadoutInputs.of(experiment.tokens())
    some = inputs.at(torch.arange(0, len(inputs.tokens), 3))
    assert from_tables(model.answers(some).logits)
    assert not from_tables(model.answers(inputs.at(torch.arange(8))).logits)
    assert not from_tables(model.readout(some).logits)


def test_many_examples_in_parts() -> None:
    model, inputs = large()
    assert len(inputs.tokens) > 2 * AT_ONCE * torch.get_num_threads()
    logits, labels = model.answers(inputs).logits, inputs.tokens.sum(1)
    assert from_tables(logits)
    logits = logits.squeeze(1)
    expected = model(inputs.tokens)[:, -1]
    torch.testing.assert_close(logits, expected)
    found, plain = (
        torch.autograd.grad((one * labels.unsqueeze(1)).sum(), list(model.parameters())) for one in (logits, expected)
    )
    torch.testing.assert_close(found, plain)
    once_more = model.answers(inputs).logits.squeeze(1) * labels.unsqueeze(1)
    again = torch.autograd.grad(once_more.sum(), list(model.parameters()))
    torch.testing.assert_close(again, found, rtol=0, atol=0)
    with torch.inference_mode():
        torch.testing.assert_close(model.answers(inputs).logits.squeeze(1), logits.detach(), rtol=0, atol=0)


def test_a_hook_is_obeyed() -> None:
    model, inputs = large(20 * AT_ONCE)
    with model.hooks(fwd_hooks=[("blocks.0.mlp.hook_post", lambda neurons, *, hook: 2 * neurons)]):
        doubled = model.answers(inputs)
        torch.testing.assert_close(doubled.logits, model(inputs.tokens)[:, -1:])
    assert not torch.allclose(model.answers(inputs).logits, doubled.logits)


@pytest.mark.parametrize("tokens", [draw_tokens(), draw_tokens(constant_last=True)], ids=["any last token", "="])
def test_attention_need_not_sum_to_a_constant(tokens: Tensor) -> None:
    model = draw(SPECS["one layer"])
    assert isinstance(model, Transformer)
    model.blocks[0].attn.attention_fn = lambda scores, dim: scores.sigmoid()
    torch.testing.assert_close(model.answers_by_tables(ReadoutInputs.of(tokens)).logits, model(tokens)[:, -1:])


def test_they_are_differentiated_once_or_refuse() -> None:
    """A second derivative and torch.func raise; ``readout`` has both."""
    model, inputs = large()
    weight = model.get_parameter("blocks.0.mlp.W_in")
    (first,) = torch.autograd.grad(model.answers(inputs).logits.square().sum(), [weight], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()

    class Squares(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self) -> Tensor:
            return self.model.answers(inputs).logits.square().sum()

    def squares(weight: Tensor) -> Tensor:
        return functional_call(Squares(), {"model.blocks.0.mlp.W_in": weight}, ())

    with pytest.raises(RuntimeError, match="functorch"):
        grad(squares)(weight.detach())
    with pytest.raises(RuntimeError, match="functorch"):
        vmap(squares)(weight.detach().expand(2, -1, -1))
