"""StableMax in the attention of Hugging Face's models."""

import copy
from types import ModuleType

import pytest
import torch
from torch import nn

from grokinterp.custom.attention import replace_attention
from tests.support.softmaxes import Softmaxes


@pytest.fixture(scope="module")
def transformers() -> ModuleType:
    return pytest.importorskip("transformers")


def small(transformers, kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=13,
            n_positions=8,
            n_embd=16,
            n_layer=2,
            n_head=2,
            attn_pdrop=0.0,
            embd_pdrop=0.0,
            resid_pdrop=0.0,
        )
        return transformers.GPT2LMHeadModel(config)
    config = transformers.LlamaConfig(
        vocab_size=13, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=16,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_hugging_face_models(transformers, kind: str) -> None:
    """A softmax changes nothing; with StableMax no softmax runs, and padding has no effect."""
    theirs = small(transformers, kind).eval()
    ours, stable = copy.deepcopy(theirs), copy.deepcopy(theirs)
    names = replace_attention(ours, function=torch.softmax).replaced
    assert len(names) == 2
    assert all("attn" in name for name in names)
    tokens = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]])
    mask = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]])
    found, expected = (model(tokens, attention_mask=mask).logits for model in (ours, theirs))
    torch.testing.assert_close(found[mask > 0], expected[mask > 0], rtol=1e-5, atol=1e-5)
    replacement = replace_attention(stable)
    assert replacement == (names, ())
    with Softmaxes() as counted:
        logits = stable(tokens, attention_mask=mask).logits
    assert counted.seen == []
    assert not torch.allclose(logits, expected, atol=1e-4)
    other = stable(torch.where(mask > 0, tokens, 0), attention_mask=mask).logits
    torch.testing.assert_close(other[mask > 0], logits[mask > 0])
    later = torch.cat([tokens[:, :-1], torch.zeros(2, 1, dtype=torch.int64)], 1)
    torch.testing.assert_close(stable(later, attention_mask=mask).logits[:1, :-1], logits[:1, :-1])


def test_two_functions_of_one_name_are_two(transformers) -> None:
    """A second model's function leaves the first model as it is."""
    one, other = small(transformers, "gpt2").eval(), small(transformers, "gpt2").eval()
    tokens = torch.tensor([[1, 2, 3, 4, 5]])
    replace_attention(one, function=lambda scores, dim: torch.softmax(scores, dim))
    before = one(tokens).logits
    replace_attention(other, function=lambda scores, dim: torch.softmax(3 * scores, dim))
    assert torch.equal(one(tokens).logits, before)
    assert not torch.allclose(other(tokens).logits, before, atol=1e-6)


def test_hugging_face_refuses_attentions_and_eager_brings_the_softmax_back(transformers) -> None:
    model = small(transformers, "llama").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(10)
    tokens = torch.tensor([[1, 2, 3, 4, 5]])
    expected = model(tokens).logits
    replace_attention(model)
    with pytest.raises(ValueError, match="output_attentions"):
        model.config.output_attentions = True
    assert not torch.allclose(model(tokens).logits, expected, atol=1e-5)
    model.set_attn_implementation("eager")
    torch.testing.assert_close(model(tokens).logits, expected, rtol=1e-5, atol=1e-5)
