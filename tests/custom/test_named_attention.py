"""The attention of a user's module, computed in the ways that there are."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from grokinterp.analysis import analyze
from grokinterp.analysis.inside.ablation import neuron_ablation
from grokinterp.analysis.structure.attention import attention_pattern
from grokinterp.analysis.structure.fourier import neuron_logit_spectrum
from grokinterp.errors import NotDefined
from tests.support.own_modules import PAIRS, WIDTH, WITH_EQUALS, Net, P, record


class Softmax(nn.Module):
    """Attention by a functional softmax, heads in the axis of the examples as torch's own code has them."""

    def __init__(self) -> None:
        super().__init__()
        self.qk = nn.Linear(WIDTH, 2 * WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k = (part.unflatten(2, (2, -1)).transpose(1, 2).flatten(0, 1) for part in self.qk(x).chunk(2, -1))
        pattern = functional.softmax(torch.bmm(q, k.mT) / 2, dim=-1)
        self.seen = pattern.detach().unflatten(0, (-1, 2))
        return torch.bmm(pattern, x.repeat_interleave(2, 0)).unflatten(0, (-1, 2)).mean(1)


class Passed(Softmax):
    """The same, its pattern passed through a submodule."""

    def __init__(self) -> None:
        super().__init__()
        self.pattern = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        self.seen = self.pattern((x @ x.mT).softmax(-1)).detach().unsqueeze(1)
        return self.seen[:, 0] @ x


class Multihead(nn.MultiheadAttention):
    def forward(self, x: Tensor) -> Tensor:
        out, self.seen = super().forward(x, x, x, average_attn_weights=False)
        return out


ATTENTION = {
    "softmax": (Softmax, "layers.0 layers.1"), "inside": (Softmax, "layers"), "everything": (Softmax, ""),
    "submodule": (Passed, "layers.0.pattern layers.1.pattern"),
    "torch": (lambda: Multihead(WIDTH, 2, batch_first=True), "layers"),
}  # fmt: skip


@pytest.mark.parametrize("name", [*ATTENTION])
def test_attention_patterns_are_those_of_the_module(name, tmp_path):
    make, named = ATTENTION[name]
    torch.manual_seed(0)
    layers = nn.ModuleList(make() for _ in range(2))

    def forward(module: Any, tokens: Tensor) -> Tensor:
        x = module.emb(tokens)
        for layer in module.layers:
            x = x + layer(x)
        return module.out(x)[:, -1]

    module = Net(forward, emb=nn.Embedding(P + 1, WIDTH), layers=layers, out=nn.Linear(WIDTH, P))
    run = record(tmp_path, module, WITH_EQUALS, parts={"attention": named.split() or ""})
    found = attention_pattern(run[0]).attention_mean
    module.double()(WITH_EQUALS)
    expected = torch.stack([layer.seen[:, :, -1].mean(0) for layer in layers])
    torch.testing.assert_close(found, expected.double(), rtol=1e-6, atol=1e-9)
    assert analyze(run, only=["attention_map"]).analyses["attention_map"].sizes["head"] == found.shape[1]


def test_torchs_encoder_shows_its_attention(tmp_path):
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 12, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    module = Net(lambda m, x: m.out(m.encoder(m.emb(x)).mean(1)), emb=nn.Embedding(P, WIDTH), encoder=encoder,
                 out=nn.Linear(WIDTH, P))  # fmt: skip
    parts = {
        "embedding": "emb",
        "unembedding": "out",
        "attention": "encoder",
        "neurons": "encoder.layers.1.linear2.hook_in",
    }
    run = record(tmp_path, module, parts=parts, read_at="mean")
    found = attention_pattern(run[0]).attention_mean
    assert found.shape == (2, 2, 2)
    torch.testing.assert_close(found.sum(2), torch.ones(2, 2, dtype=torch.float64))
    with pytest.raises(NotDefined, match="the logits are not linear in the neurons"):  # a LayerNorm follows them
        neuron_ablation(run[0])


def test_hugging_face(tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=P, n_positions=4, n_embd=WIDTH, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
    parts = {"embedding": "transformer.wte", "unembedding": "lm_head", "attention": "transformer",
             "neurons": "transformer.h.1.mlp.act", "neuron_output": "transformer.h.1.mlp.c_proj"}  # fmt: skip
    run = record(tmp_path, GPT2LMHeadModel(config), {"input_ids": PAIRS}, parts=parts)
    checkpoint = run[0]
    assert run.experiment.model.reads == ("transformer",)  # which returns the output of its last LayerNorm
    assert checkpoint.model.W_L.shape == (4 * WIDTH, P)
    assert attention_pattern(checkpoint).attention_mean.shape == (2, 2, 2)
    assert neuron_logit_spectrum(checkpoint).neuron_logit_power.shape == (3,)
